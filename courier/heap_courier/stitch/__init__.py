"""Stitch: finds the records of each customer across all feeds, and writes tables. Never reads files or buckets."""
