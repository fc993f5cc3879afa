"""The read side: from a URL to a rendition."""
