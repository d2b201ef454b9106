"""Payloads to Heap: batches, order, rate limits, requests, and what an answer means. Never a column or a value."""
