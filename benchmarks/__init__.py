"""Benchmarks of the connector against a plain loop and a do-nothing destination; `bash scripts/bench` runs them."""
