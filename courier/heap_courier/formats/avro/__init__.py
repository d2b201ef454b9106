"""Avro object container files: bytes to batches of columns. Never another format."""
