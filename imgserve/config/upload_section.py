"""The section about pictures that clients bring, or have fetched."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from imgserve.config.units import Duration, Size
from imgserve.config.values import Networks, Section, split_words

_PORTS_SCHEMA = {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "string"}]}
_Ports = Annotated[
    tuple[Annotated[int, Field(ge=1, le=65_535)], ...], BeforeValidator(split_words), WithJsonSchema(_PORTS_SCHEMA)
]


class UploadsConfig(Section):
    """Pictures that clients bring, or name by an address; how large one may be says limits.original_bytes."""

    duplicates: Literal["existing", "refuse"] = "existing"
    """An upload of bytes that are here already: existing answers with the image that has them, refuse with 409."""
    files: Annotated[int, Field(ge=1, le=1000)] = 100
    """Files, or addresses, in one request."""
    request_bytes: Annotated[Size, Field(gt=0)] = 2_000_000_000
    """Most bytes of one request with all its files."""
    fetch: bool = True
    """Fetch pictures from addresses that clients name."""
    fetch_networks: Networks = ()
    """Networks of your own, such as 10.1.0.0/16, that may be fetched from beside the public Internet."""
    fetch_ports: _Ports = (80, 443)
    """Ports that may be fetched from."""
    fetch_timeout: Annotated[Duration, Field(gt=0, le=3600)] = 60.0
    """Time to fetch one picture, from the first look-up of its host to its last byte."""
