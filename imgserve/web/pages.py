"""The welcome page, the error reference and static files, and the table of routes."""

import contextlib
import itertools
import mimetypes
import stat
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from functools import partial
from pathlib import Path

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.staticfiles import StaticFiles

from imgserve.access.access import Access
from imgserve.access.sites import Sites
from imgserve.errors import CatalogUnavailable, ConfigError, NotFound, every_error
from imgserve.http.headers import quoted_id
from imgserve.originals.folder import Originals
from imgserve.web.documents import HTML, Readers, address, document, page_templates, restricted
from imgserve.web.operations import Operations, is_local

_PACKAGE = Path(__file__).resolve().parent.parent


def static_folder(package: Path = _PACKAGE) -> Path:
    """Return the folder of static files: inside an installed package, or next to it in a checkout."""
    inside, beside = package / "_static", package.parent / "static"
    for folder in (inside, beside):
        if (folder / "welcome.html").is_file():
            return folder
    raise ConfigError([f"the static files of imgserve are missing: expected {inside} or {beside}; install it again"])


_EXAMPLES, _SEARCHED = 3, 200
"""Pictures on the welcome page, and the originals among which those are chosen that look like photographs."""
_PHOTOGRAPHS = (".jpg", ".jpeg", ".heic", ".webp", ".avif")
_HOUR, _DAY = "max-age=3600", "max-age=86400"
_EMPTY = "The folder of originals has no public picture yet. Copy one into it and reload this page."
_HIDDEN = "The originals of this server are shown only to a browser on the same machine."


class Pages:
    """The welcome page, the error reference and the static files."""

    def __init__(
        self,
        static: Path,
        originals: Originals,
        sites: Sites,
        prefix: str,
        version: str,
        *,
        problems: Callable[[Sequence[str]], Awaitable[Container[str]]],
        admin: bool = True,
    ) -> None:
        """`problems` finds those of some ids that are not usable images; `admin` is whether there is an admin page."""
        self._problems = problems
        self._originals = originals
        self._sites = sites
        self._prefix = prefix
        templates = page_templates(static)
        templates.globals |= {"version": version, "prefix": prefix, "admin": admin}
        self._welcome = templates.get_template("welcome.html")
        self._errors = templates.get_template("errors.html").render(errors=every_error()).encode()
        self._files = StaticFiles(directory=static)

    async def welcome(self, request: Request) -> Response:
        """Show the welcome page; direct requests of this machine see a few originals, whose names are not public."""
        local = is_local(request)
        page = self._welcome.render(
            pictures=await self._examples() if local else [],
            empty=_EMPTY if local else _HIDDEN,
            address=address(request) + self._prefix,
        )
        return document(request, page.encode(), HTML, cache="private, no-cache", scripts=True)

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

    async def _examples(self) -> list[Mapping[str, str]]:
        """Return path and name of a few originals that everybody may see, photographs first."""
        found = await to_thread.run_sync(self._public)
        with contextlib.suppress(CatalogUnavailable):  # the page is shown without the catalog too
            broken = await self._problems(found)
            found = [image_id for image_id in found if image_id not in broken]
        found.sort(key=lambda image_id: not image_id.lower().endswith(_PHOTOGRAPHS))
        return [
            {"path": quoted_id(image_id), "name": image_id.encode("utf-8", "replace").decode()}
            for image_id in found[:_EXAMPLES]
        ]

    def _public(self) -> list[str]:
        some = itertools.islice(self._originals.list(), _SEARCHED)
        return [image_id for image_id in some if self._sites.find(b"", image_id)[0].rules.require == "nothing"]


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
