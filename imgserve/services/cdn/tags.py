"""The tags that an answer carries, for caches that can drop all that has a tag. Pure."""

import hashlib

EVERYTHING = "imgserve"
"""On every picture."""


def image_tag(image_id: str) -> str:
    """Name all pictures of one image; a digest, for a tag has no spaces, no commas and little room."""
    return "i-" + hashlib.sha256(image_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def preset_tag(name: str) -> str:
    """Name all pictures made with one preset."""
    return f"p-{name.lower()}"


def tags_of(image_id: str, preset: str | None) -> tuple[str, ...]:
    """List the tags of a picture."""
    tags = (EVERYTHING, image_tag(image_id))
    return tags if preset is None else (*tags, preset_tag(preset))
