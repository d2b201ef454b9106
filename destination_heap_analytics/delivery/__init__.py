"""Payloads to Heap: batches, order, rate limits, concurrency, requests and what their answers mean. Never a column or a value."""
