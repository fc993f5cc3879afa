"""The welcome page, the error reference and static files, and the table of routes."""

import html
import itertools
import mimetypes
import stat
import string
from functools import partial
from pathlib import Path

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.staticfiles import StaticFiles

from imgserve.access.access import Access
from imgserve.errors import ConfigError, NotFound, every_error
from imgserve.http.headers import quoted_id
from imgserve.originals.folder import Originals
from imgserve.web.documents import HTML, Readers, address, breakable, document, inline, restricted
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
_HOUR, _DAY = "max-age=3600", "max-age=86400"
_EMPTY = "The folder of originals has no picture yet. Copy one into it and reload this page."
_HIDDEN = "The originals of this server are listed only for a browser on the same machine."
_EXAMPLE = string.Template(
    '<figure><a href="$src?width=1600&amp;auto=format"><img src="$src?width=640&amp;height=480&amp;auto=format" '
    'width="640" height="480" loading="lazy" alt="$name"></a>'
    "<figcaption><code>$src?width=640&amp;height=480&amp;auto=format</code></figcaption></figure>"
)


class Pages:
    """The welcome page, the error reference and the static files."""

    def __init__(self, static: Path, originals: Originals, prefix: str, version: str) -> None:
        self._originals = originals
        self._prefix = prefix
        self._version = html.escape(version)
        self._template = string.Template((static / "welcome.html").read_text(encoding="utf-8"))
        rows = "\n".join(
            f'<tr id="{kind.code}"><td>{kind.status}</td><td><code>{breakable(kind.code)}</code></td>'
            f"<td>{inline((kind.__doc__ or '').strip())}</td></tr>"
            for kind in every_error()
        )
        errors = string.Template((static / "errors.html").read_text(encoding="utf-8"))
        self._errors = errors.safe_substitute(rows=rows, version=self._version).encode()
        self._files = StaticFiles(directory=static)

    async def welcome(self, request: Request) -> Response:
        """Show the welcome page; direct requests of this machine see a few originals, whose names are not public."""
        local = is_local(request)
        page = self._template.safe_substitute(
            examples=await to_thread.run_sync(self._examples) if local else "",
            empty=_EMPTY if local else _HIDDEN,
            version=self._version,
            pictures=html.escape(address(request) + self._prefix),
        )
        return document(request, page.encode(), HTML, cache="private, no-cache")

    async def errors(self, request: Request) -> Response:
        """Show the reference of error codes."""
        return document(request, self._errors, HTML)

    async def file(self, request: Request, name: str = "", cache: str = _HOUR) -> Response:
        """Serve a static file by its name, or by the path in its URL, to which pages add their version."""
        name = name or request.path_params["path"]

        def read() -> tuple[bytes, int]:
            try:
                path, found = self._files.lookup_path(name)
                if found is None or not stat.S_ISREG(found.st_mode):
                    raise NotFound
                return Path(path).read_bytes(), found.st_mtime_ns
            except (OSError, ValueError):  # a name that no file can have
                raise NotFound from None

        content, modified_ns = await to_thread.run_sync(read)
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return document(request, content, media_type, cache=cache, modified_ns=modified_ns)

    def _examples(self) -> str:
        image_ids = itertools.islice(self._originals.list(), _MOST_EXAMPLES)
        shown = {name: name.encode("utf-8", "replace").decode() for name in image_ids}
        return "\n".join(
            _EXAMPLE.substitute(src=html.escape(f"{self._prefix}/{quoted_id(name)}"), name=html.escape(text))
            for name, text in shown.items()
        )


def routes(ops: Operations, pages: Pages, *more: BaseRoute, access: Access, welcome: Readers) -> list[BaseRoute]:
    """Return the routes other than pictures; `more` are those of the API, `welcome` who may read the welcome page."""
    return [
        *more,
        Route("/healthz", ops.alive),
        Route("/readyz", ops.ready),
        Route("/metrics", ops.metrics),
        Route("/", restricted(pages.welcome, welcome, access)),
        Route("/docs/errors", pages.errors),
        Route("/favicon.ico", partial(pages.file, name="favicon.svg", cache=_DAY)),
        Route("/robots.txt", partial(pages.file, name="robots.txt", cache=_DAY)),
        # With the version, so that a script and what it imports are of one version.
        Route("/static/@{version}/{path:path}", pages.file),
        Route("/static/{path:path}", pages.file),
    ]
