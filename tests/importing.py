"""The whole application in this process, for imports from a web server that a test writes."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
from starlette.applications import Starlette

from imgserve.app import Parts, create_app, lifespan
from imgserve.config import Config

KEY = "a-key-that-the-tests-know"
PATIENCE = 60.0


@dataclass
class Importer:
    """A client of the API of an application."""

    app: Starlette
    http: httpx2.AsyncClient

    @property
    def parts(self) -> Parts:
        parts: Parts = self.app.state.parts
        return parts

    async def ask(self, method: str, path: str, status: int = 200, **options: Any) -> httpx2.Response:
        answer = await self.http.request(method, path, **options)
        assert answer.status_code == status, answer.text
        return answer

    async def get(self, path: str, status: int = 200) -> Any:
        return (await self.ask("GET", path, status)).json()

    async def post(self, path: str, status: int = 200, **options: Any) -> Any:
        return (await self.ask("POST", path, status, **options)).json()

    async def start(self, rows: list[tuple[str, str]], query: str = "") -> str:
        """Start an import; return its id."""
        table = json.dumps([{"Product": product, "Image URL": url} for product, url in rows])
        job_id: str = (await self.post(f"/api/imports{query}", 201, content=table))["id"]
        return job_id

    async def until(self, job_id: str) -> dict[str, Any]:
        """Return an import when it is finished."""
        return await self.when(job_id, lambda job: bool(job["state"] == "finished"))

    async def when(self, job_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return an import when something holds."""
        with anyio.fail_after(PATIENCE):
            while True:
                job: dict[str, Any] = await self.get(f"/api/imports/{job_id}")
                if holds(job):
                    return job
                await anyio.sleep(0.02)

    async def items(self, job_id: str, query: str = "") -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.get(f"/api/imports/{job_id}/items{query}"))["items"]
        return items


def settings(folder: Path, **sections: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of an application over a folder, which may download from this machine."""
    given: dict[str, dict[str, Any]] = {
        "originals": {"folder": folder / "originals", "data_folder": folder / "data", "watch": False},
        "cache": {"folder": folder / "cache"},
        "access": {"admin_key": KEY},
        "rendering": {"processes": 1, "time_limit": 60},
        "uploads": {"fetch_networks": ["127.0.0.1"]},
    }
    return {name: given.get(name, {}) | sections.get(name, {}) for name in {*given, *sections}}


@asynccontextmanager
async def importing(folder: Path, **sections: dict[str, Any]) -> AsyncIterator[Importer]:
    """Run an application."""
    (folder / "originals").mkdir(exist_ok=True)
    app = create_app(Config.model_validate(settings(folder, **sections)))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {KEY}"}
    async with (
        lifespan(app),
        httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as http,
    ):
        yield Importer(app, http)
