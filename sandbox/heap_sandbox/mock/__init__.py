"""What Heap does: rules, limits, responses and storage; and simulated faults. Never the page or a server."""
