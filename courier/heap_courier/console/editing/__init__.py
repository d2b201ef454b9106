"""Forms and the files that they edit: validated, and written without losing comments. Pages are not part of it."""
