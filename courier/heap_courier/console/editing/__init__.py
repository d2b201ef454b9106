"""Forms, and the files that they change: read, validated and replaced with their comments. Never a page."""
