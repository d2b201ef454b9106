"""Field types, casts and date patterns: from a value in a file to a value in a column. Never a file or a table."""
