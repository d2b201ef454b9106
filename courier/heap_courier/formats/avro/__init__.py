"""Avro object container files: bytes become batches of columns. Never another format."""
