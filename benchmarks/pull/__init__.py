"""How fast the courier is, beside a script that does the same by hand; `bash scripts/bench pull` runs it."""
