"""Benchmark of the courier against a script that does the same; `bash scripts/bench pull` runs it."""
