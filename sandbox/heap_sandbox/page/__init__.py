"""The live page and the endpoints behind it: lists, counters, fault controls, access. Never Heap's own API."""
