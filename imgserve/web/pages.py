"""The welcome page, the error reference and static files, and the table of routes."""

import html
import itertools
import string
from pathlib import Path

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from imgserve.client.urls import quoted_id
from imgserve.errors import ConfigError, every_error
from imgserve.originals.folder import Originals
from imgserve.web.operations import Operations, is_local

_PACKAGE = Path(__file__).resolve().parent.parent


def static_folder(package: Path = _PACKAGE) -> Path:
    """Return the folder of static files: inside an installed package, or next to it in a checkout."""
    inside, beside = package / "_static", package.parent / "static"
    for folder in (inside, beside):
        if (folder / "welcome.html").is_file():
            return folder
    raise ConfigError([f"the static files of imgserve are missing: expected {inside} or {beside}; install it again"])


_MOST_EXAMPLES = 6
_CSP = (
    "default-src 'none'; img-src 'self'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
PAGE_HEADERS = {"content-security-policy": _CSP, "x-content-type-options": "nosniff", "cache-control": "no-cache"}
_EXAMPLE = string.Template(
    '<figure><a href="$src?width=1600&amp;auto=format"><img src="$src?width=640&amp;height=480&amp;auto=format" '
    'width="640" height="480" loading="lazy" alt="$name"></a>'
    "<figcaption><code>$src?width=640&amp;height=480&amp;auto=format</code></figcaption></figure>"
)


class Pages:
    """The welcome page, the error reference and the static files."""

    def __init__(self, static: Path, originals: Originals, prefix: str, version: str) -> None:
        self._static = static
        self._originals = originals
        self._prefix = prefix
        self._version = version
        self._template = string.Template((static / "welcome.html").read_text(encoding="utf-8"))
        self._errors = string.Template((static / "errors.html").read_text(encoding="utf-8"))
        self.files = StaticFiles(directory=static)

    async def welcome(self, request: Request) -> Response:
        """Show the welcome page; direct requests of this machine see a few originals, whose names are not public."""
        examples = await to_thread.run_sync(self._examples) if is_local(request) else ""
        page = self._template.safe_substitute(examples=examples, version=html.escape(self._version))
        return HTMLResponse(page, headers=PAGE_HEADERS)

    async def errors(self, _request: Request) -> Response:
        """Show the reference of error codes."""
        rows = "\n".join(
            f'<tr id="{kind.code}"><td>{kind.status}</td><td><code>{kind.code}</code></td>'
            f"<td>{html.escape((kind.__doc__ or '').strip())}</td></tr>"
            for kind in every_error()
        )
        return HTMLResponse(self._errors.safe_substitute(rows=rows), headers=PAGE_HEADERS)

    async def favicon(self, _request: Request) -> Response:
        """Serve the favicon."""
        return FileResponse(self._static / "favicon.svg", media_type="image/svg+xml", headers=PAGE_HEADERS)

    async def robots(self, _request: Request) -> Response:
        """Serve robots.txt."""
        return FileResponse(self._static / "robots.txt", media_type="text/plain", headers=PAGE_HEADERS)

    def _examples(self) -> str:
        image_ids = list(itertools.islice(self._originals.list(), _MOST_EXAMPLES))
        return "\n".join(
            _EXAMPLE.substitute(src=html.escape(self._prefix + "/" + quoted_id(name)), name=html.escape(_shown(name)))
            for name in image_ids
        )


def _shown(image_id: str) -> str:
    return image_id.encode("utf-8", "replace").decode()


def routes(ops: Operations, pages: Pages, *more: BaseRoute) -> list[BaseRoute]:
    """Return the routes other than pictures; `more` are those of the API."""
    return [
        *more,
        Route("/healthz", ops.alive),
        Route("/readyz", ops.ready),
        Route("/metrics", ops.metrics),
        Route("/", pages.welcome),
        Route("/docs/errors", pages.errors),
        Route("/favicon.ico", pages.favicon),
        Route("/robots.txt", pages.robots),
        Mount("/static", app=pages.files),
    ]
