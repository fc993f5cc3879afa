"""A server whose originals are managed, asked by its API as a program would."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from tests.servers import Server, server

KEY = "a-key-that-the-tests-know"


@dataclass(frozen=True, slots=True)
class Api:
    """The API of one server, with the key."""

    served: Server

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request with the key."""
        headers = {"authorization": f"Bearer {KEY}", **options.pop("headers", {})}
        return self.served.client.request(method, self.served.base_url + path, headers=headers, **options)

    def get(self, path: str) -> Any:
        """Read an answer of 200."""
        answer = self.ask("GET", path)
        assert answer.status_code == httpx2.codes.OK, answer.text
        return answer.json()

    def record(self, image_id: str) -> dict[str, Any]:
        """Read the record of an image that is there."""
        record: dict[str, Any] = self.get(f"/api/images/{quote(image_id)}")
        return record

    def found(self, image_id: str) -> dict[str, Any] | None:
        """Read the record of an image, if it is there and not only moved from there."""
        answer = self.ask("GET", f"/api/images/{quote(image_id)}")
        assert answer.status_code in {200, 308, 404}, answer.text
        return answer.json() if answer.status_code == httpx2.codes.OK else None

    def ids(self, query: str) -> list[str]:
        """List the ids of images."""
        return [image["id"] for image in self.get("/api/images" + query)["images"]]

    def every_id(self) -> list[str]:
        """List the ids of all images, page by page."""
        ids, cursor = list[str](), ""
        while True:
            page = self.get(f"/api/images?sort=id&order=asc&limit=100{cursor}")
            ids += [image["id"] for image in page["images"]]
            if page["next"] is None:
                return ids
            cursor = f"&cursor={page['next']}"

    def problem(self, image_id: str) -> dict[str, Any] | None:
        """Return what is wrong with a file, if anything is."""
        problems = self.get(f"/api/problems?prefix={quote(image_id)}")["problems"]
        return next((problem for problem in problems if problem["id"] == image_id), None)

    def picture(self, target: str) -> httpx2.Response:
        """Request a picture, as anybody may."""
        return self.served.get(f"/img/{target}")

    def lines(self, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Read an answer that is a line of JSON after another."""
        answer = self.ask("POST", path, json=body)
        assert answer.status_code == httpx2.codes.OK, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]


@contextlib.contextmanager
def managed(originals: Path, *options: object, env: Mapping[str, str] | None = None) -> Iterator[Api]:
    """Serve a folder that is watched, with a key that is known."""
    settings = {"IMGSERVE_ORIGINALS__WATCH": "true", "IMGSERVE_ACCESS__ADMIN_KEY": KEY, **(env or {})}
    with server(originals, *options, env=settings) as served:
        yield Api(served)
