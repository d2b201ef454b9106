"""Feeds: how the columns of a file become the fields of a domain table. Never where files or tables are."""
