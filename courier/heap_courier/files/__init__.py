"""The bucket and its files: entities, patterns, days, filesets, archives. Never what a file contains."""
