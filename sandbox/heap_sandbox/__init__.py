"""A local mock of Heap's API: its documented endpoints, rules and rate limits, and simulated faults."""
