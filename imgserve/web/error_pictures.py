"""Pictures that are sent with an error, so that a page shows something in place of the one that it requested."""

import logging
import re
from dataclasses import dataclass
from http import HTTPStatus

from starlette.types import Scope

from imgserve.access.access import Access, Grant
from imgserve.errors import ImgserveError, LinkExpired
from imgserve.http.headers import RawHeaders, accept_class
from imgserve.images.renditions import FormatDropped, Renditions
from imgserve.images.resolve import Resolver
from imgserve.model import Rendition
from imgserve.transform.pairs import split
from imgserve.web.respond import SAFETY, image_path

_logger = logging.getLogger(__name__)
_UNDECIDED = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
"""With these, the query cannot be read, or decides nothing because nobody permitted it."""
_READS_PROBLEM = re.compile(r"application/(?:problem\+)?json", re.IGNORECASE)
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class ErrorPictures:
    """Finds the picture of an error: of the preset, or else of the site, for its status."""

    access: Access
    resolver: Resolver
    renditions: Renditions
    prefix: str

    async def find(self, scope: Scope, error: ImgserveError) -> tuple[RawHeaders, bytes] | None:
        """Return the body of an error with its headers in the requested size and format, or None for no picture.

        Clients that accept JSON receive the problem. A busy server renders nothing for errors.
        """
        fields = dict(scope["headers"])
        accept = b", ".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")
        try:
            site, path = self.access.sites.find(fields.get(b"host", b""), image_path(scope, self.prefix))
            rules, query = site.rules, scope["query_string"]
            image_id, presets = rules.error_images.get(error.status, ""), rules.query.presets
            last = path.rpartition("/")[2].lower()
            if error.status == HTTPStatus.NOT_FOUND:
                named = (pair.value.decode("latin-1").lower() for pair in split(query) if pair.name == "preset")
                found = (presets[name].missing for name in (last, *named) if name in presets)
                image_id = next(filter(None, found), image_id)
            if not image_id or _READS_PROBLEM.search(accept):
                return None
            if error.status in _UNDECIDED or isinstance(error, LinkExpired) or rules.require != "nothing":
                query = b""
            elif last in presets:
                image_id = f"{image_id}/{last}"
            client = scope.get("client")
            grant = Grant(image_id, query, rules.query, site.name)
            rendition = await self._rendition(grant, accept, client[0] if client else "", error.status)
        except ImgserveError as inner:
            _logger.warning("the picture of the status %d cannot be sent: %s", error.status, inner.detail)
            return None
        return None if rendition is None else (_headers(rendition, error.code), rendition.data)

    async def _rendition(self, grant: Grant, accept: str, address: str, status: int) -> Rendition | None:
        for _ in range(_ATTEMPTS):
            request, _ = await self.resolver.resolve(grant.image_id, grant.query, accept_class(accept), grant.settings)
            if request.query.document:
                return None
            served = await self.renditions.cached(request.key, request.original if request.negotiated else None)
            if served is not None:
                return served.rendition
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
                return None
            await self.access.count_new(grant, address)
            try:
                served = await self.renditions.make(
                    request.original,
                    request.transform,
                    request.key,
                    negotiated=request.negotiated,
                    earlier=request.earlier,
                )
            except FormatDropped:
                continue
            return served.rendition
        return None


def _headers(rendition: Rendition, code: str) -> RawHeaders:
    return [
        (b"content-type", rendition.media_type.encode()),
        (b"content-length", b"%d" % len(rendition.data)),
        (b"x-image-error", code.encode()),
        (b"vary", b"Accept"),
        *SAFETY,
        (b"cross-origin-resource-policy", b"cross-origin"),
    ]
