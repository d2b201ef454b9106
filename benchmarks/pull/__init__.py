"""Benchmark of the courier and a script that does the same; `bash scripts/bench pull` runs it."""
