"""The section of the settings about bulk imports."""

from typing import Annotated

from pydantic import AfterValidator, Field

from imgserve.config.values import Section, Size
from imgserve.errors import BadImageId
from imgserve.originals.writable import check_id
from imgserve.validation import expected


def _path(text: str) -> str:
    try:
        check_id(text.format(product="a", name="a.jpg"))
    except (BadImageId, KeyError, IndexError, ValueError):
        raise expected("a path such as products/{product}/{name}") from None
    if "{product}" not in text or not text.endswith("{name}"):
        raise expected("a path with {product} that ends with {name}")
    return text


class ImportsConfig(Section):
    """Bulk imports of images from tables of URLs. uploads.fetch turns them off."""

    path: Annotated[str, AfterValidator(_path)] = "products/{product}/{name}"
    """Ids of imported images."""
    rows: Annotated[int, Field(ge=1, le=1_000_000)] = 100_000
    """Maximum rows of a table; it may have twice as many images."""
    file_bytes: Annotated[Size, Field(gt=0)] = 50_000_000
    """Maximum size of the file with a table."""
