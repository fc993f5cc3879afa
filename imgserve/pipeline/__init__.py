"""The only code that touches pixels: bytes and a transform in, a rendition out. No HTTP, no cache, no paths."""
