"""Loads Heap's exports (Heap Connect for S3) into tables: couriers, feeds, load operations, courier groups."""
