"""How fast the connector is, beside what it can be compared with; `bash scripts/bench` runs it."""
