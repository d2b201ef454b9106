"""Settings: their types, reading and validating them, and the specification drawn from them. Never what a record holds."""
