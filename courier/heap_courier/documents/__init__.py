"""Reads YAML and JSON strictly, and has the wording that messages share. Never what a document means."""
