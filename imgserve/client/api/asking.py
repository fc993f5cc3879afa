"""What callers say about images in keyword arguments, and how it stands in queries and JSON. Pure."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, TypedDict

from imgserve.client.api.call import Pairs
from imgserve.transform import compose, read_parameters

FocalPoint = tuple[float, float]
"""Fractions from the left and from the top of the upright image."""

Step = str | Mapping[str, Any]
"""Picture parameters, as a query (`"width=400"`) or by name (`{"width": 400}`)."""


class Details(TypedDict, total=False):
    """What an uploader says of an image; what is left out is taken from EXIF and IPTC."""

    title: str
    alt: str
    description: str
    tags: Iterable[str]
    metadata: Mapping[str, Any]
    focal_point: FocalPoint | None


class Changes(TypedDict, total=False):
    """What is changed of a record; what is left out stays, None empties it, and so does an entry of `metadata`."""

    title: str | None
    alt: str | None
    description: str | None
    tags: Iterable[str] | None
    metadata: Mapping[str, Any] | None
    focal_point: FocalPoint | None


class Filters(TypedDict, total=False):
    """Which images are meant: those for which all of this is true."""

    prefix: str
    """The image id begins so."""
    q: str
    """Every word begins a word of title, alt, description, tags or image id."""
    tags: Iterable[str]
    """It has all of these."""
    formats: Iterable[str]
    """It has one of these."""
    origin: Literal["upload", "watch", "import"]
    min_bytes: int
    max_bytes: int
    min_width: int
    max_width: int
    min_height: int
    max_height: int
    created_from: datetime
    created_before: datetime
    changed_from: datetime
    changed_before: datetime


class Listing(Filters, total=False):
    """Which images are listed, and in which order."""

    sort: Literal["created", "changed", "id", "bytes", "pixels"]
    order: Literal["asc", "desc"]


_IDS = 500
"""Of one request: with the longest ids there are, half of the JSON that a server reads."""
_REPEATED = {"tags": "tag", "formats": "format"}


def filter_pairs(filters: Mapping[str, Any]) -> Pairs:
    """Write filters as a query, repeated where there are several of a kind."""
    pairs: list[tuple[str, str]] = []
    for name, value in _filters(filters).items():
        pairs += [(name, item) for item in value] if isinstance(value, list) else [(name, str(value))]
    return tuple(pairs)


def selection(ids: Iterable[str] | None, filters: Mapping[str, Any]) -> dict[str, Any]:
    """Write which images are meant, by ids or by what is true of them.

    Raises:
        ValueError: neither or both are given; all images are meant only by `prefix=""`.
    """
    if (ids is None) == (not filters):
        raise ValueError("expected either image ids or filters, such as prefix=; for all images prefix=''")
    if ids is None:
        return {"query": _filters(filters)}
    return {"ids": texts("ids", ids)}


def selections(ids: Iterable[str] | None, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Write which images are meant in as many pieces as servers take; none for no ids.

    Raises:
        ValueError: as `selection`.
    """
    whole = selection(ids, filters)
    listed = whole.get("ids")
    if listed is None:
        return [whole]
    return [{"ids": listed[start : start + _IDS]} for start in range(0, len(listed), _IDS)]


def details_pairs(details: Mapping[str, Any]) -> Pairs:
    """Write what an uploader says as a query."""
    pairs: list[tuple[str, str]] = []
    for name, value in _said(details).items():
        if name == "tags":
            pairs += [("tags", tag) for tag in value]
        elif name == "focal_point":
            pairs.append((name, f"{value['x']},{value['y']}"))
        else:
            pairs.append((name, value if isinstance(value, str) else json.dumps(value)))
    return tuple(pairs)


def details_document(details: Mapping[str, Any]) -> dict[str, Any]:
    """Write what an uploader says as JSON."""
    return _said(details)


def changes_document(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Write what is changed as JSON.

    Raises:
        ValueError: nothing is.
    """
    if not changes:
        raise ValueError("expected something to change, such as title=")
    return {name: _plain(name, value) for name, value in changes.items()}


def step_texts(steps: Step | Iterable[Step]) -> list[str]:
    """Write the steps of a transform, or several transforms, each as the query that a picture would be asked with.

    Raises:
        BadTransform: with every mistake of the first wrong one.
    """
    listed = [steps] if isinstance(steps, (str, Mapping)) else list(steps)
    return [compose(read_parameters(step)) for step in listed]


def texts(name: str, values: Iterable[str]) -> list[str]:
    """List texts.

    Raises:
        TypeError: it is a single one, which would be taken letter by letter.
    """
    if isinstance(values, str):
        raise TypeError(f"{name}: expected several, such as [{values!r}], but received {values!r}")
    return list(values)


def _filters(filters: Mapping[str, Any]) -> dict[str, Any]:
    named = {_REPEATED.get(name, name): _plain(name, value) for name, value in filters.items()}
    return {name: value for name, value in named.items() if value is not None}


def _said(details: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(name, value) for name, value in details.items() if value is not None}


def _plain(name: str, value: Any) -> Any:
    """Write a value as JSON has it.

    Raises:
        ValueError: it is a time without a time zone, which means another one elsewhere.
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{name}: expected a time with a time zone, but received {value!r}")
        return value.isoformat()
    if name == "focal_point":
        x, y = value
        return {"x": float(x), "y": float(y)}
    if name in {"tags", "formats"}:
        return texts(name, value)
    return dict(value) if isinstance(value, Mapping) else value
