"""Where originals are kept. Nothing here decodes, records or serves them."""
