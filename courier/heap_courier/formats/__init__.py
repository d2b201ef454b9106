"""Readers of Avro, Parquet, CSV and JSON: bytes to batches of columns. Never a feed or a table."""
