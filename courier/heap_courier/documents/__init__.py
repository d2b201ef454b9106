"""YAML and JSON documents read strictly, and the wording that messages share. Never what a document means."""
