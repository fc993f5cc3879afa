"""Endpoints about the URLs of pictures: what they mean, whether everybody may request them, and what they show."""

from dataclasses import dataclass

from pydantic import Field
from starlette.responses import Response

from imgserve.access.access import Access
from imgserve.access.keys import Scope
from imgserve.access.sites import Rules
from imgserve.catalog import Images
from imgserve.client import ImageUrls
from imgserve.errors import BadSignature, BadTransform, ImageNotFound, ImgserveError, MarkNotFound, Unauthorized
from imgserve.images.convert import Converter
from imgserve.images.locate import Found, Locator
from imgserve.images.resolve import Resolver
from imgserve.images.settings import QuerySettings
from imgserve.transform import compose_chain
from imgserve.transform.pairs import is_signature, split
from imgserve.transform.parameters import ACCESS_NAMES
from imgserve.transform.signing import without
from imgserve.web.api.convert import NOT_CONVERTED, PICTURES, accepted_formats, picture_endpoint, picture_response
from imgserve.web.api.embedding import CodeOut, alternative, embedding
from imgserve.web.api.endpoint import Answer, Call
from imgserve.web.api.messages import ErrorWithin, ResponseModel, error_within
from imgserve.web.documents import address

_ROTATED = 5
"""From this EXIF orientation on, width and height are exchanged."""


class CheckedUrlOut(ResponseModel):
    """A URL of a picture, and what is known about it without rendering."""

    url: str | None = None
    """With the shortest query; null if there are mistakes."""
    mistakes: list[str] = Field(default=[])
    """Everything that is wrong with the parameters, unknown names included."""
    rejection: ErrorWithin | None = None
    """The error that a request without a key and a signature receives; null if everybody may see the picture."""
    signing: bool
    """Whether URLs of this picture can be signed."""
    signed: str | None = None
    """The signed URL, which ends at the time `expires` of the query; only for callers with the scope `manage`."""
    domains: bool
    """Whether only pages of some domains may show the picture."""
    code: CodeOut | None = None
    """Code that embeds the picture; null if there are mistakes."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Endpoints about the URLs of pictures."""

    images: Images
    locator: Locator
    resolver: Resolver
    converter: Converter
    access: Access
    prefix: str

    @picture_endpoint("GET", "/api/url/{image_id}", Scope.READ, "Check the URL of a picture", errors=[ImageNotFound])
    async def check(self, image_id: str, call: Call) -> CheckedUrlOut:
        """Return what a URL with the parameters of the query means, and code that embeds its picture.

        Nothing is rendered. The code has signed URLs if others are rejected and the caller may sign.
        """
        query, expires = _split(call.request.scope["query_string"])
        found = await self.locator.find_exactly(image_id)
        rules = self.access.sites.find(b"", image_id)[0].rules
        settings = {"signing": bool(rules.secrets), "domains": rules.domains is not None}
        try:
            await self._resolve(found, query, call, rules.free, strict=True)
            requested = query.decode("utf-8", "surrogateescape")
            text = "&then&".join(compose_chain(requested))
        except BadTransform as error:
            return CheckedUrlOut(**settings, mistakes=list(error.mistakes))
        path = self.access.sites.path(call.request.headers.get("host", "").encode("latin-1"), image_id)
        rejection = await self._rejection(rules, found, query, call, elsewhere=path is None)
        base, shown = address(call.request) + self.prefix, image_id if path is None else path
        may_sign = bool(rules.secrets) and call.caller.may(Scope.MANAGE)
        plain = ImageUrls(base)
        signing = ImageUrls(base, secret=rules.secrets[0], expires=expires) if may_sign else None
        record = await self.images.get(image_id)
        original = found.original
        sides = original.width, original.height
        return CheckedUrlOut(
            **settings,
            url=plain.with_query(text).url(shown),
            rejection=None if rejection is None else error_within(rejection, call.request),
            signed=None if signing is None else signing.with_query(text).url(shown),
            code=embedding(
                signing if signing and rejection else plain,
                shown,
                requested,
                text,
                alt=alternative(image_id, record.title, record.alt) if record else alternative(image_id, "", ""),
                upright=sides[::-1] if original.orientation >= _ROTATED else sides,
                needs_key=rules.require in {"key", "either"} and not may_sign,
            ),
        )

    @picture_endpoint(
        "GET",
        "/api/preview/{image_id}",
        Scope.READ,
        "Get a picture without the rules of URLs",
        errors=NOT_CONVERTED,
        answers={200: Answer("The picture.", media_types=PICTURES)},
    )
    async def preview(self, image_id: str, call: Call) -> Response:
        """Return the picture of a URL with the parameters of the query, even if the URL would be rejected.

        Limits of the variety of URLs and of new renditions apply to keys without the scope `manage`.
        """
        request, (settings, count, sees) = call.request, self.access.of_call(call.caller, image_id, call.address)
        query = _split(request.scope["query_string"])[0]
        accepted = accepted_formats(request)
        return picture_response(
            await self.converter.preview(image_id, query, accepted, settings=settings, count=count, sees=sees)
        )

    async def _resolve(self, found: Found, query: bytes, call: Call, settings: QuerySettings, *, strict: bool) -> None:
        await self.resolver.request(found, query, accepted_formats(call.request), strict=strict, settings=settings)

    async def _rejection(
        self, rules: Rules, found: Found, query: bytes, call: Call, *, elsewhere: bool
    ) -> ImgserveError | None:
        """Return the error of a request for the picture without a key and a signature, or None."""
        if elsewhere:
            return ImageNotFound("This host name has the images of another site.")
        if rules.require == "signature":
            return BadSignature("This picture needs a signed URL.")
        if rules.require != "nothing":
            return Unauthorized(f"This picture needs an API key{' or a signed URL' * (rules.require == 'either')}.")
        try:
            await self._resolve(found, query, call, rules.query, strict=False)
        except (BadTransform, MarkNotFound) as error:
            return error
        return None


def _split(query: bytes) -> tuple[bytes, int | None]:
    """Return a query without what is about access, and its time of expiry."""
    times = [pair.value for pair in split(query) if pair.name == "expires" and pair.value.isdigit()]
    rest = without(query, lambda pair: pair.name in ACCESS_NAMES or is_signature(pair))
    return rest, int(times[-1]) if times else None
