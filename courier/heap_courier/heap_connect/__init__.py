"""Heap Connect for S3: manifests, dumps, resyncs and identity migrations. Never a feed."""
