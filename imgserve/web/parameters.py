"""The reference of URL parameters, with an example of each that readers can change."""

import functools
from collections.abc import Mapping
from pathlib import Path

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from imgserve.access.access import Access, Grant
from imgserve.errors import BadTransform
from imgserve.http.headers import accept_class
from imgserve.images.locate import Locator
from imgserve.images.renditions import Renditions
from imgserve.images.resolve import Resolver
from imgserve.images.settings import QuerySettings
from imgserve.originals.folder import Originals
from imgserve.transform.examples import example_of
from imgserve.transform.parameters import PICTURE_GROUPS
from imgserve.web.documents import HTML, Readers, document, page_templates, restricted
from imgserve.web.facts import DocumentRequest, MakeDocument

EXAMPLES = "examples"
"""The folder of rendered examples, below that of static files."""


class ParameterReference:
    """The page of parameters, and renditions of the sample pictures for its examples."""

    def __init__(
        self,
        static: Path,
        renditions: Renditions,
        settings: QuerySettings,
        access: Access,
        *,
        documents: Mapping[str, MakeDocument],
        prefix: str,
        version: str,
    ) -> None:
        """Render as pictures with these settings are, but without limits of what URLs may request."""
        self._documents = documents
        presets = settings.presets
        self._resolver = Resolver(
            Locator(Originals(static / "samples"), recheck=60, presets=presets), renditions, settings
        )
        self._renditions = renditions
        self._access = access
        self._static = static
        self._globals = {"version": version, "prefix": prefix, "max_side": settings.max_side}

    @functools.cached_property
    def _page(self) -> bytes:
        files = {path.stem: path.name for path in sorted((self._static / EXAMPLES).iterdir())}
        groups = {
            group: [(row, example_of(row), files[row.name]) for row in rows] for group, rows in PICTURE_GROUPS.items()
        }
        template = page_templates(self._static).get_template("parameters.html", globals=self._globals)
        return template.render(groups=groups).encode()

    def routes(self, readers: Readers) -> list[BaseRoute]:
        """Return the routes of both."""
        return [
            Route("/docs", restricted(self.page, readers, self._access)),
            Route("/docs/parameters", restricted(self.page, readers, self._access)),
            Route("/docs/parameters/{picture:path}", restricted(self.picture, readers, self._access)),
        ]

    async def page(self, request: Request) -> Response:
        """Return the page."""
        return document(request, await to_thread.run_sync(lambda: self._page), HTML, scripts=True)

    async def picture(self, request: Request) -> Response:
        """Return a rendition of a sample picture."""
        accepted = accept_class(", ".join(request.headers.getlist("accept")))
        path, query = request.path_params["picture"], request.scope["query_string"]
        wanted, _ = await self._resolver.resolve(path, query, accepted, self._resolver.free)
        grant = Grant(path, query)
        if wanted.query.document:
            make = self._documents.get(wanted.query.document)
            if make is None:
                raise BadTransform([f"{wanted.query.document}: not available for the sample pictures"])
            made = await make(DocumentRequest(request.scope, grant, wanted))
            return document(request, made.body, made.media_type)
        served = await self._renditions.cached(wanted.key)
        if served is None:
            await self._access.count_new(grant, request.client.host if request.client else "")
            served = await self._renditions.make(wanted.original, wanted.transform, wanted.key, earlier=wanted.earlier)
        rendition = served.rendition
        response = document(request, rendition.data, rendition.media_type)
        response.headers["vary"] = "Accept"
        if notes := (*wanted.query.notes, *rendition.notes):
            response.headers["x-image-adjusted"] = "; ".join(notes).encode("ascii", "replace").decode()
        return response
