"""The use cases: the only place where originals, cache and pipeline meet. No HTTP types."""
