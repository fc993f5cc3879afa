"""The calls about images: bring, find, change, take away. Each a value; nothing is sent here."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Unpack

from imgserve.client.address import api_path
from imgserve.client.api import reading, records
from imgserve.client.api.asking import (
    Changes,
    Details,
    Filters,
    changes_document,
    details_document,
    details_pairs,
    filter_pairs,
    selections,
    texts,
)
from imgserve.client.api.call import Answer, Call, Pairs, deleted, got, once, posted, query_text
from imgserve.client.api.files import File, FileBody, Progress, file_body
from imgserve.client.api.form import Form
from imgserve.client.api.reading import Page

_IMAGES = "/api/images"
PAGE = 500
"""Records asked for at a time."""
_LONG_QUERY = 2000
"""Bytes; servers in front take addresses of 4 or 8 KB."""


def path_of(image_id: str, action: str = "") -> str:
    """Give the address of an image, or of something about it.

    Raises:
        ValueError: no image can have this id.
    """
    return api_path(image_id, action)


def upload(
    file: File,
    *,
    image_id: str | None = None,
    folder: str | None = None,
    progress: Progress | None = None,
    **details: Unpack[Details],
) -> Call[records.Uploaded]:
    """Send a file."""
    body = file_body(file, progress)
    said = (*_given({"id": image_id, "folder": folder}), *details_pairs(details))
    return _sending("POST", _IMAGES, body, said, once())


def upload_url(
    url: str, *, image_id: str | None = None, folder: str | None = None, **details: Unpack[Details]
) -> Call[records.Uploaded]:
    """Let the server fetch a picture."""
    document = {"url": url, **dict(_given({"id": image_id, "folder": folder})), **details_document(details)}
    return posted(_IMAGES, document, reading.uploaded, slow=True)


def put(
    image_id: str,
    file: File,
    *,
    create_only: bool = False,
    progress: Progress | None = None,
    **details: Unpack[Details],
) -> Call[records.Uploaded]:
    """Send a file to a chosen id."""
    headers = {"if-none-match": "*"} if create_only else {}
    return _sending("PUT", path_of(image_id), file_body(file, progress), details_pairs(details), headers)


def get(image_id: str) -> Call[records.Image]:
    """Ask for a record."""
    return got(path_of(image_id), reading.image)


def find(filters: Mapping[str, Any], cursor: str | None, size: int = PAGE) -> Call[Page[records.Image]]:
    """Ask for a page of records."""
    return got(_IMAGES, reading.page("images", reading.image), (*filter_pairs(filters), *_paging(cursor, size)))


def similar(image_id: str, distance: int | None, limit: int | None) -> Call[list[records.Similar]]:
    """Ask for what looks alike."""
    query = _given({"distance": distance, "limit": limit})
    return got(path_of(image_id, "similar"), reading.listed("images", reading.similar), query)


def duplicates(cursor: str | None, size: int = PAGE) -> Call[Page[tuple[records.Image, ...]]]:
    """Ask for a page of groups of the same bytes."""
    return got("/api/duplicates", reading.page("groups", reading.group), _paging(cursor, size))


def tags() -> Call[list[records.TagCount]]:
    """Ask for every tag."""
    return got("/api/tags", reading.listed("tags", reading.tag_count))


def change(image_id: str, **changes: Unpack[Changes]) -> Call[records.Image]:
    """Change a record."""
    document = changes_document(changes)
    return Call(method="PATCH", path=path_of(image_id), read=lambda of: reading.image(of.json()), document=document)


def delete(image_id: str) -> Call[records.Deleted]:
    """Delete an image."""
    return deleted(path_of(image_id), lambda of: reading.listed("deleted", reading.deleted)(of)[0])


def delete_many(ids: Iterable[str] | None, **filters: Unpack[Filters]) -> list[Call[list[records.Deleted]]]:
    """Delete many images."""
    read = reading.listed("deleted", reading.deleted)
    return [posted("/api/bulk/delete", one, read, slow=True) for one in selections(ids, filters)]


def tag_many(
    ids: Iterable[str] | None, add: Iterable[str], remove: Iterable[str], **filters: Unpack[Filters]
) -> list[Call[int]]:
    """Change the tags of many images."""
    tags = {"add": texts("add", add), "remove": texts("remove", remove)}
    return [posted("/api/bulk/tag", {**one, **tags}, _changed, slow=True) for one in selections(ids, filters)]


def _changed(of: Mapping[str, Any]) -> int:
    return int(of["changed"])


def _sending(method: str, path: str, body: FileBody, said: Pairs, headers: Mapping[str, str]) -> Call[records.Uploaded]:
    """Send a file as all of the body, and what is said of it in the query; in a form where that would grow long."""
    query = (*said, *_given({"filename": body.name or None}))
    if len(query_text(query)) > _LONG_QUERY:
        body, query = replace(body, form=Form(said, body.name or "image")), ()
    return Call(method=method, path=path, read=_uploaded, query=query, file=body, headers=headers)


def _given(values: Mapping[str, object]) -> Pairs:
    return tuple((name, str(value)) for name, value in values.items() if value is not None)


def _paging(cursor: str | None, size: int) -> Pairs:
    return _given({"limit": size, "cursor": cursor})


def _uploaded(answer: Answer) -> records.Uploaded:
    return reading.uploaded(answer.json())
