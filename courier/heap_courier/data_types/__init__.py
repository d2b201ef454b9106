"""Field types, casts and date patterns: a value of a file to a value of a column. Never a file or a table."""
