"""Forms and the files that they edit: validated, and written without losing comments. Never contains pages."""
