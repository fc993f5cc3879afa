"""What every answer of the API has in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Told(BaseModel):
    """An answer; more fields may come to it."""

    model_config = ConfigDict(
        frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )


Next = Annotated[str | None, Field(description="What to give as `cursor` for the next page; null after the last.")]
