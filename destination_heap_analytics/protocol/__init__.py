"""Airbyte messages in and states out, the configured catalog, checkpoints. Never anything of Heap."""
