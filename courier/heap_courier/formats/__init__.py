"""Readers for Avro, Parquet, CSV and JSON: bytes become batches of columns. Never a feed or a table."""
