"""Sends payloads to Heap: batches, order, rate limits, requests, what a response means. Never a column or a value."""
