"""One upload: a file with its arguments, as the call that sends it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from imgserve.client.address import IMAGES, api_path
from imgserve.client.arguments import Details, encoded, query
from imgserve.client.call import Call, json_reader, once, query_text
from imgserve.client.errors import ServerUnreachable
from imgserve.client.files import File, Form, Progress, file_body
from imgserve.client.records import Sent, Uploaded, reader
from imgserve.errors import Forbidden, ImgserveError, Unauthorized

FAILURES = (ImgserveError, OSError, TypeError, ValueError)
"""Errors of one of many files, after which the others are sent."""

_LONG_QUERY = 2000
"""Bytes; proxies accept URLs of 4 or 8 KB."""


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

    def call(self) -> Call[Uploaded]:
        """Return the call that sends it."""
        details = encoded(self.details)
        if self.replace and self.image_id is not None:
            return self._call("PUT", api_path(self.image_id), details, {})
        return self._call("POST", IMAGES, {"id": self.image_id, "folder": self.folder, **details}, once())

    def shared(self, folder: str | None, details: Details) -> "Upload":
        """Return the upload with arguments of all uploads, which its own override."""
        below = None if self.image_id is not None else self.folder or folder
        return replace(self, folder=below, details=Details(**{**details, **self.details}))

    def failed(self, error: Exception) -> Sent:
        """Return the result of a failure.

        Raises:
            ImgserveError: the same, if all other files would fail too.
        """
        if isinstance(error, (ServerUnreachable, Unauthorized)) or type(error) is Forbidden:
            raise error
        return Sent(self.name, None, error)

    def _call(self, method: str, path: str, fields: Mapping[str, Any], headers: Mapping[str, str]) -> Call[Uploaded]:
        """Return a call whose body is the file and whose query has the fields; long fields make it a form."""
        body = file_body(self.file, self.progress)
        pairs = query({**fields, "filename": body.name or None})
        if len(query_text(pairs)) > _LONG_QUERY:
            body, pairs = replace(body, form=Form(query(fields), body.name or "image")), ()
        return Call(
            method=method, path=path, read=json_reader(reader(Uploaded)), query=pairs, file=body, headers=headers
        )


def upload_of(item: Upload | File) -> Upload:
    """Return an upload, which may be a file alone."""
    return item if isinstance(item, Upload) else Upload(item)
