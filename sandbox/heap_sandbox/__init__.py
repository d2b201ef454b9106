"""A local Heap: the documented addresses, rules and rates, and faults on demand."""
