"""Keyword arguments about images as typed dictionaries, and their form in queries and JSON."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, TypedDict

from imgserve.client.call import Call, Pairs, json_reader, query_text
from imgserve.client.files import File, Form, Progress, file_body
from imgserve.client.records import Uploaded, reader
from imgserve.http.headers import api_path
from imgserve.transform import compose, read_parameters

FocalPoint = tuple[float, float]
"""Fractions from the left and from the top of the upright image."""

Step = str | Mapping[str, Any]
"""Picture parameters, as a query (`"width=400"`) or by name (`{"width": 400}`)."""


class Details(TypedDict, total=False):
    """What an upload or a change says about an image.

    In an upload None is the same as no value: the server reads EXIF and IPTC. In a change None clears a field, or an
    entry of `metadata`.
    """

    title: str | None
    alt: str | None
    description: str | None
    tags: Iterable[str] | None
    metadata: Mapping[str, Any] | None
    focal_point: FocalPoint | None


Changes = Details


class Filters(TypedDict, total=False):
    """Conditions that images meet, all of them."""

    prefix: str
    """The start of the image id."""
    q: str
    """Every word begins a word of title, alt, description, tags or image id."""
    tags: Iterable[str]
    """All of these."""
    formats: Iterable[str]
    """One of these."""
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
    """Conditions and the order of a list."""

    sort: Literal["created", "changed", "id", "bytes", "pixels"]
    order: Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to upload, with arguments of its own among many."""

    file: File
    image_id: str | None = None
    folder: str | None = None
    progress: Progress | None = None
    details: Details = field(default_factory=Details, hash=False)
    replace: bool = False
    """Replace the image that has the id."""

    @property
    def name(self) -> str:
        """The name of its result."""
        if isinstance(self.file, tuple):
            return self.file[0]
        if isinstance(self.file, (str, os.PathLike)):
            return os.fspath(self.file)
        return self.image_id or str(getattr(self.file, "name", ""))


_IDS_PER_REQUEST = 500
"""The longest ids fill half of the JSON that a server accepts."""


def encoded(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as the JSON values of the API; None stays.

    Raises TypeError for a text instead of several, and ValueError for a time without a time zone.
    """
    values = dict(arguments)
    for name, value in arguments.items():
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise ValueError(f"{name}: expected a time with a time zone, but received {value!r}")
            values[name] = value.isoformat()
        elif name == "focal_point" and value is not None:
            x, y = value
            values[name] = {"x": float(x), "y": float(y)}
        elif name in {"tags", "formats"} and value is not None:
            values[name] = texts(name, value)
        elif isinstance(value, Mapping):
            values[name] = dict(value)
    return values


def encoded_filters(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters by the names and as the JSON values of the API; raise TypeError or ValueError as `encoded`."""
    names = {"tags": "tag", "formats": "format"}
    return {names.get(name, name): value for name, value in given(encoded(filters)).items()}


def query(values: Mapping[str, Any]) -> Pairs:
    """Return JSON values as a query: a list as repeated parameters, None left out."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        if name == "focal_point":
            pairs.append((name, f"{value['x']},{value['y']}"))
        elif value is not None:
            items = value if isinstance(value, list) else [value]
            pairs += [(name, item if isinstance(item, str) else json.dumps(item)) for item in items]
    return tuple(pairs)


def selection(ids: Iterable[str] | None, filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the selection of images in JSON, by ids or by filters.

    Raises ValueError if neither or both are given; only `prefix=""` selects all images.
    """
    if (ids is None) == (not filters):
        raise ValueError("expected either image ids or filters, such as prefix=; for all images prefix=''")
    return {"query": encoded_filters(filters)} if ids is None else {"ids": texts("ids", ids)}


def selections(ids: Iterable[str] | None, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the selection of images in parts of the size that a server accepts; raise ValueError as `selection`."""
    whole = selection(ids, filters)
    listed = whole.get("ids")
    if listed is None:
        return [whole]
    return [{"ids": listed[start : start + _IDS_PER_REQUEST]} for start in range(0, len(listed), _IDS_PER_REQUEST)]


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def step_texts(steps: Step | Iterable[Step]) -> list[str]:
    """Return steps or several transforms, each as a query; raise BadTransform with the mistakes of the first bad."""
    listed = [steps] if isinstance(steps, (str, Mapping)) else list(steps)
    return [compose(read_parameters(step)) for step in listed]


def texts(name: str, values: Iterable[str]) -> list[str]:
    """Return texts as a list; raise TypeError if it is a single text, which is iterable too."""
    if isinstance(values, str):
        raise TypeError(f"{name}: expected several, such as [{values!r}], but received {values!r}")
    return list(values)


_LONG_QUERY = 2000
"""Bytes; proxies accept URLs of 4 or 8 KB."""


def upload_call(item: Upload, headers: Mapping[str, str] | None = None) -> Call[Uploaded]:
    """Return the call that sends a file as the body, with a query; a long query becomes a form."""
    fields, named = encoded(item.details), {"id": item.image_id, "folder": item.folder}
    replaces = item.replace and item.image_id is not None
    method, path = ("PUT", api_path(item.image_id or "")) if replaces else ("POST", "/api/images")
    fields, body = fields if replaces else {**named, **fields}, file_body(item.file, item.progress)
    pairs = query({**fields, "filename": body.name or None})
    if len(query_text(pairs)) > _LONG_QUERY:
        body, pairs = replace(body, form=Form(query(fields), body.name or "image")), ()
    read = json_reader(reader(Uploaded))
    return Call(method=method, path=path, read=read, query=pairs, file=body, headers=headers or {})
