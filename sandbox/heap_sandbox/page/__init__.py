"""The live page and the addresses behind it: lists, counters, fault controls, access. Never Heap's own API."""
