"""Settings: their types, how they are read and validated, and the specification. Never the content of a record."""
