"""Domain tables as Delta tables that other engines read. Never decides what a domain table holds: it only copies."""
