"""What the API is told and tells about pictures that it makes, as models: names that others script against."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, RootModel, model_validator
from pydantic.config import JsonDict

from imgserve.library.convert import MOST_STEPS
from imgserve.web.api.asked import SELECTED, Asked, Selected
from imgserve.web.api.error_models import ErrorWithin
from imgserve.web.api.mistakes import stated
from imgserve.web.api.models import ImageOut
from imgserve.web.api.told import Told
from imgserve.web.api.upload_models import UploadedOut

_Query = Annotated[str, Field(max_length=4096)]
_Queries = Annotated[list[_Query], Field(max_length=100)]
_Names = Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=100)]
_Steps = Annotated[list[_Query], Field(min_length=1, max_length=MOST_STEPS)]


def _some(name: str) -> JsonDict:
    return {"required": [name], "properties": {name: {"minItems": 1}}}


class TransformOne(Asked):
    """What is made of an image."""

    steps: _Steps
    """Parameters as in a URL; each step is made of the picture of the one before, without a loss."""
    output: Literal["url", "picture", "original"] = "picture"
    """The address of the picture (of one step alone), the picture itself, or a new original."""
    id: Annotated[str, Field(max_length=1000)] | None = None
    """Image id of the new original; left out, it is named by its content."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.id is not None and self.output != "original":
            raise stated('id: is for "output": "original" alone')
        return self


class TransformMany(Selected):
    """What is made of many images."""

    steps: _Steps
    """Parameters as in a URL; each step is made of the picture of the one before, without a loss."""
    output: Literal["urls", "originals", "zip"] = "zip"
    """Addresses (of one step alone), new originals named by their content, or a ZIP of the pictures."""


class WarmWhat(Selected):
    """What is made ahead of time."""

    model_config = ConfigDict(json_schema_extra={**SELECTED, "anyOf": [_some("presets"), _some("transforms")]})

    presets: _Names = Field(default_factory=list)
    """Names of presets."""
    transforms: _Queries = Field(default_factory=list)
    """Parameters as in a URL, such as `w=400&auto=format`."""

    @model_validator(mode="after")
    def _check_something(self) -> Self:
        if not (self.presets or self.transforms):
            raise stated("expected presets or transforms")
        return self


class UrlOut(Told):
    """Where a picture is."""

    url: str
    """Path and query; the shortest that asks for it."""


class TransformedOut(RootModel[UrlOut | UploadedOut]):
    """Where a picture is, or the original that it became."""


class MadeUrl(UrlOut):
    """Where the picture of one of many images is."""

    id: str
    """Of the image that it is made of."""


class MadeOriginal(Told):
    """What one of many images became."""

    id: str
    """Of the image that it was made of."""
    image: ImageOut
    """Record of the new original."""
    outcome: Literal["created", "replaced", "existing"]
    """What became of it; `existing`: the same bytes were here already."""


class NotMade(Told):
    """An image of which nothing was made."""

    id: str
    """Its image id."""
    problem: ErrorWithin
    """Why."""


class MadeManyOut(Told):
    """What a transform gave for many images."""

    results: list[MadeUrl | MadeOriginal | NotMade]
    """One for each image."""


class WarmedLine(Told):
    """How far warming has come."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    done: int
    """Of `total`; those that failed are among them."""
    total: int
    """Images times what is made of each."""
    failed: int
    """How many could not be made."""
    made: int
    """Pictures made by now; of `auto=format` one for each kind of browser, and none that was there already."""
    id: str = ""
    """The image that this line is about."""
    problem: ErrorWithin | None = None
    """Why it could not be made."""
    finished: bool = False
    """True in the last line."""
