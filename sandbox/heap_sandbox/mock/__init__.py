"""What Heap does: its rules, limits and answers, what it stores, and faults on demand. Never the page or a server."""
