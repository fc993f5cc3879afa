"""HTTP in and out. No pixels and no SQL."""
