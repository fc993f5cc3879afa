"""The methods of both clients that make pictures. `transport` explains the decorators."""

import functools
import json
import operator
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Unpack

import httpx2

from imgserve.client.arguments import Filters, Step, given, selection, selections, step_texts, texts
from imgserve.client.call import Call, T, json_reader, parsed, read_picture
from imgserve.client.errors import ServerUnreachable
from imgserve.client.parameters import Parameters
from imgserve.client.records import CheckedUrl, Made, Picture, Uploaded, list_reader, reader
from imgserve.client.transport import Connected, S, endpoint, stream
from imgserve.client.urls import ImageUrls
from imgserve.http.headers import encoded_id
from imgserve.records import Warmed
from imgserve.transform import compose, read_parameters

_EXTENSION = re.compile(r"[A-Za-z0-9]+")


class PictureEndpoints(Connected[S]):
    """The methods of a client that make pictures, of one image or of many."""

    _pictures: ImageUrls

    @endpoint
    async def convert(self, image_id: str, extension: str, **parameters: Unpack[Parameters]) -> Picture:
        """Return a picture in the format of a file extension."""
        plain = extension.removeprefix(".")
        if not _EXTENSION.fullmatch(plain):
            raise ValueError(f"extension: expected one such as webp, but received {extension!r}")
        path = _about(f"convert/{plain}", image_id, parameters)
        return await self.sender.send(Call(method="GET", path=path, read=read_picture))

    @endpoint
    async def transform(self, image_id: str, steps: Step | Iterable[Step]) -> Picture:
        """Return a picture made in steps, each of which continues with the result of the one before."""
        return await self._transform(image_id, steps, read_picture, output="picture")

    @endpoint
    async def transform_url(self, image_id: str, steps: Step | Iterable[Step]) -> str:
        """Return the URL of such a picture."""
        return await self._transform(image_id, steps, json_reader(lambda made: str(made["url"])), output="url")

    @endpoint
    async def transform_original(
        self, image_id: str, steps: Step | Iterable[Step], *, new_id: str | None = None
    ) -> Uploaded:
        """Store such a picture as a new original."""
        named = given({"id": new_id})
        return await self._transform(image_id, steps, json_reader(reader(Uploaded)), output="original", **named)

    @endpoint
    async def transform_many(
        self,
        steps: Step | Iterable[Step],
        ids: Iterable[str] | None = None,
        *,
        output: Literal["urls", "originals"] = "urls",
        **filters: Unpack[Filters],
    ) -> list[Made]:
        """Return the URLs of such pictures of many images, or store them as new originals."""
        read, listed = list_reader("results", Made), step_texts(steps)
        return await self._bulk("/api/transform", read, [], ids, filters, steps=listed, output=output)

    @endpoint
    async def transform_zip(
        self,
        steps: Step | Iterable[Step],
        ids: Iterable[str] | None = None,
        *,
        to: str | Path,
        **filters: Unpack[Filters],
    ) -> None:
        """Write such pictures of many images to a ZIP file, which appears only when it is complete."""
        await self._zip(step_texts(steps), ids, filters, to)

    @endpoint
    async def originals_zip(
        self, ids: Iterable[str] | None = None, *, to: str | Path, **filters: Unpack[Filters]
    ) -> None:
        """Write the originals of many images to a ZIP file, which appears only when it is complete."""
        await self._zip(["format=original"], ids, filters, to)

    @endpoint
    async def original(self, image_id: str, *, to: str | Path) -> None:
        """Write an original to a file, which appears only when it is complete."""
        path = f"/api/original/{encoded_id(image_id)}"
        await self.sender.save(Call(method="GET", path=path, read=json_reader(dict), slow=True), Path(to))

    @stream
    def warm(
        self,
        ids: Iterable[str] | None = None,
        *,
        presets: Iterable[str] = (),
        transforms: Step | Iterable[Step] = (),
        **filters: Unpack[Filters],
    ) -> AsyncGenerator[Warmed]:
        """Render pictures ahead of time while this is iterated, and report the progress."""
        pictures = {"presets": texts("presets", presets), "transforms": step_texts(transforms)}
        if not any(pictures.values()):
            raise ValueError("warm: expected presets or transforms, but received neither")
        return self._warm({**selection(ids, filters), **pictures})

    @endpoint
    async def picture(self, image_id: str, **parameters: Unpack[Parameters]) -> Picture:
        """Return a picture as browsers receive it."""
        path = self._pictures.url(image_id, **parameters)
        return await self.sender.send(Call(method="GET", path=path, read=read_picture, public=True))

    @endpoint
    async def preview(self, image_id: str, **parameters: Unpack[Parameters]) -> Picture:
        """Return a picture even if the rules of its server would reject the URL."""
        return await self.sender.send(
            Call(method="GET", path=_about("preview", image_id, parameters), read=read_picture)
        )

    @endpoint
    async def check_url(
        self, image_id: str, *, expires: int | None = None, **parameters: Unpack[Parameters]
    ) -> CheckedUrl:
        """Return the URL of a picture, whether everybody may request it, and signed, until a time in Unix seconds."""
        return await self._json("GET", _about("url", image_id, parameters, expires), reader(CheckedUrl))

    async def _json(self, method: str, path: str, read: Callable[[Any], T], **request: Any) -> T:
        return await self.sender.send(Call(method=method, path=path, read=json_reader(read), **request))

    async def _transform(
        self, image_id: str, steps: Step | Iterable[Step], read: Callable[[httpx2.Response], T], **output: str
    ) -> T:
        path, document = f"/api/transform/{encoded_id(image_id)}", {"steps": step_texts(steps), **output}
        slow = output["output"] == "original"
        return await self.sender.send(Call(method="POST", path=path, read=read, document=document, slow=slow))

    async def _zip(
        self, steps: list[str], ids: Iterable[str] | None, filters: Mapping[str, Any], to: str | Path
    ) -> None:
        document = {**selection(ids, filters), "steps": steps, "output": "zip"}
        await self.sender.save(
            Call(method="POST", path="/api/transform", read=json_reader(dict), document=document, slow=True), Path(to)
        )

    async def _bulk(
        self,
        path: str,
        read: Callable[[Any], T],
        empty: T,
        ids: Iterable[str] | None,
        filters: Mapping[str, Any],
        **more: Any,
    ) -> T:
        """Send calls for selected images in parts of the size that a server accepts, and add up the results."""
        parts = [
            await self._json("POST", path, read, document={**part, **more}, slow=True)
            for part in selections(ids, filters)
        ]
        return functools.reduce(operator.add, parts, empty)

    async def _warm(self, document: Mapping[str, Any]) -> AsyncGenerator[Warmed]:
        progress = None
        async for line in self.sender.lines(
            Call(method="POST", path="/api/warm", read=json_reader(dict), document=document, slow=True)
        ):
            progress = parsed(f"warm: {line[:80]!r}", lambda text: reader(Warmed)(json.loads(text)), line)
            yield progress
        if progress is None or not progress.finished:
            raise ServerUnreachable("warm: the answer broke off before all was done")


def _about(what: str, image_id: str, parameters: Parameters, expires: int | None = None) -> str:
    """Return the path of a call about a picture."""
    until = "" if expires is None else f"expires={expires:d}"
    text = "&".join(filter(None, (compose(read_parameters(parameters)), until)))
    return f"/api/{what}/{encoded_id(image_id)}{'?' if text else ''}{text}"
