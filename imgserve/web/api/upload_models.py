"""What the API tells of uploads, as models: names that others script against, so none is ever renamed."""

from typing import Annotated, Literal

from pydantic import Field

from imgserve.web.api.error_models import ErrorWithin
from imgserve.web.api.models import ImageOut
from imgserve.web.api.told import Told


class Alike(Told):
    """An image that looks like the one that came in."""

    id: str
    """Its image id."""
    distance: Annotated[int, Field(ge=0, le=64)]
    """Bits of 64 in which their perceptual hashes differ."""


class UploadedOut(Told):
    """An image that came in, or was here already."""

    image: ImageOut
    """Its record."""
    outcome: Literal["created", "replaced", "existing"]
    """What became of the upload; `existing`: the same bytes were here already."""
    examples: dict[str, str]
    """Paths of pictures to try: `default`, `width_400`, `square_200`, and a `srcset`."""
    similar: list[Alike]
    """Images that look alike, the most alike first."""


class TakenFile(UploadedOut):
    """A file of several that came in."""

    status: int
    """As if it had come alone."""
    name: str
    """Of the file, or the address that it was fetched from."""


class RefusedFile(Told):
    """A file of several that was refused."""

    status: int
    """As if it had come alone."""
    name: str
    """Of the file, or the address that it was to be fetched from."""
    problem: ErrorWithin
    """Why."""


class UploadsOut(Told):
    """What became of several files, each by itself."""

    results: list[TakenFile | RefusedFile]
    """In the order in which they came."""
