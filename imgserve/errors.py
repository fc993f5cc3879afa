"""The errors of the server: HTTP status, machine code and a sentence for clients.

The docstring of a class is its default sentence. Details that a client must not see go to the log.

    ImgserveError
    ├ BadRequest 400 ── BadTransform · BadHost · BadCursor · BadImageId
    ├ Unauthorized 401 · Forbidden 403 ── DomainDenied · ReadOnlyOriginals · OriginalsNotServed · BadSignature
    ├ NotFound 404 ── ImageNotFound ── OriginalDenied · TrashItemNotFound · KeyNotFound · AccountNotFound · LinkExpired
    ├ MethodNotAllowed 405 · ImageExists 409 · DuplicateImage 409 · AccountExists 409 · PreconditionFailed 412
    ├ TooLarge 413 · BodyTooLarge 413
    ├ UnsupportedImage 415 · UnsupportedContent 415
    ├ RangeNotSatisfiable 416
    ├ UnreadableImage 422 ── LimitExceeded · RenderTimeout · RenderCrashed
    ├ IdempotencyConflict 422 · FetchFailed 422 ── FetchTooSlow · AddressRefused 422
    ├ RateLimited 429
    ├ OriginalChanged 503 · OriginalUnsettled 503 · Busy 503 · CatalogUnavailable 503
    ├ StorageFull 507
    └ ConfigError (start-up only)
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

_CAPITAL = re.compile("(?<!^)(?=[A-Z])")


class ImgserveError(Exception):
    """The server could not answer this request."""

    status: int = 500
    """Set on the class; a client sets status and code on the error itself if it does not know the code."""
    code: str = "internal_error"
    """Clients compare it, so it never changes; that of a class here is its name, unless the class states another."""

    def __init_subclass__(cls) -> None:
        """Set the code of a class of this module."""
        if cls.__module__ == __name__ and "code" not in vars(cls):
            cls.code = _CAPITAL.sub("_", cls.__name__).lower()

    def __init__(
        self, detail: str = "", *, retry_after: int | None = None, members: Mapping[str, object] | None = None
    ) -> None:
        """Use a sentence for clients, seconds until a retry may help, and further members of the response."""
        self.detail = detail or (self.__doc__ or "").strip()
        self.retry_after = retry_after
        self.members = dict(members or {})
        super().__init__(self.detail)


def rebuilt(
    kind: type[ImgserveError], detail: str, retry_after: int | None, members: Mapping[str, object]
) -> ImgserveError:
    """Return the error that a response describes; raise ValueError if it describes none."""
    if issubclass(kind, BadTransform):
        mistakes = members.get("mistakes")
        if not (isinstance(mistakes, list) and all(isinstance(mistake, str) for mistake in mistakes)):
            raise ValueError("a bad transform without mistakes")
        return kind(mistakes)
    error = kind.__new__(kind)
    ImgserveError.__init__(error, detail, retry_after=retry_after, members=members)
    return error


def every_error() -> list[type[ImgserveError]]:
    """Return every error class that a server responds with, by status and code."""
    found, left = set[type[ImgserveError]](), [ImgserveError]
    while left:
        kind = left.pop()
        found.add(kind)
        left.extend(kind.__subclasses__())
    ours = {kind for kind in found if kind.__module__ == __name__} - {ConfigError}
    return sorted(ours, key=lambda kind: (kind.status, kind.code))


class BadRequest(ImgserveError):
    """The request could not be understood."""

    status = 400


class BadTransform(BadRequest):
    """The picture parameters could not be understood."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        """Use all mistakes, each a separate sentence."""
        self.mistakes = list(mistakes)
        super().__init__("; ".join(mistakes), members={"mistakes": list(mistakes)})


class BadHost(BadRequest):
    """The Host header is missing, repeated or not a name of this server."""


class BadCursor(BadRequest):
    """The cursor does not belong to this list."""


class BadImageId(BadRequest):
    """No image can have this id."""


class Unauthorized(ImgserveError):
    """This needs a valid API key, in the header `Authorization: Bearer` or `X-API-Key`."""

    status = 401


class Forbidden(ImgserveError):
    """This API key does not allow that."""

    status = 403
    caller: str = ""
    """The caller with the key, for the security log; empty for none."""


class DomainDenied(Forbidden):
    """Pages of this domain may not show pictures of this site."""

    code = "domain_denied"


class ReadOnlyOriginals(Forbidden):
    """The folder of this original is read-only for this server."""


class OriginalsNotServed(Forbidden):
    """This server does not serve untouched originals by URL."""


class BadSignature(Forbidden):
    """The signature of this URL is missing or wrong."""


class NotFound(ImgserveError):
    """There is nothing at this address."""

    status = 404


class ImageNotFound(NotFound):
    """There is no image with this id."""


class OriginalDenied(ImageNotFound):
    """The server may not read the file of this image; its owner or mode must change."""


class KeyNotFound(NotFound):
    """There is no API key with this id."""


class TrashItemNotFound(NotFound):
    """There is no such item in the trash."""


class LinkExpired(NotFound):
    """This link has expired."""


class AccountNotFound(NotFound):
    """There is no account with this name."""


class MethodNotAllowed(ImgserveError):
    """This address does not support this method."""

    status = 405


class ImageExists(ImgserveError):
    """An image with this id exists already."""

    status = 409


class DuplicateImage(ImgserveError):
    """An image with the same bytes exists already."""

    status = 409


class AccountExists(ImgserveError):
    """An account with this name exists already."""

    status = 409


class PreconditionFailed(ImgserveError):
    """The picture is not in the state that the request requires."""

    status = 412


class TooLarge(ImgserveError):
    """The original is larger than this server accepts."""

    status = 413
    code = "original_too_large"


class BodyTooLarge(ImgserveError):
    """The body of the request is larger than this address accepts."""

    status = 413


class UnsupportedImage(ImgserveError):
    """The original is not in an image format that this server reads."""

    status = 415


class UnsupportedContent(ImgserveError):
    """The body of the request has a type that this address does not accept."""

    status = 415


class RangeNotSatisfiable(ImgserveError):
    """The requested range is outside the picture."""

    status = 416


class UnreadableImage(ImgserveError):
    """The original is damaged and cannot be decoded."""

    status = 422


class LimitExceeded(UnreadableImage):
    """The original exceeds a limit of this server."""


class RenderTimeout(UnreadableImage):
    """Rendering this picture took longer than this server allows."""


class RenderCrashed(UnreadableImage):
    """Decoding the original crashed the rendering process."""


class IdempotencyConflict(ImgserveError):
    """The same idempotency key came with another request, or with one that is still in progress."""

    status = 422


class FetchFailed(ImgserveError):
    """The picture could not be fetched from its address."""

    status = 422


class FetchTooSlow(FetchFailed):
    """The server of the picture sends it too slowly."""


class AddressRefused(ImgserveError):
    """This server does not fetch from that address."""

    status = 422


class RateLimited(ImgserveError):
    """Too many requests of this kind; retry later."""

    status = 429
    code = "rate_limited"


class Unavailable(ImgserveError):
    """The server cannot answer this right now; retry shortly."""

    status = 503


class OriginalChanged(Unavailable):
    """The original was replaced while it was read; retry."""


class OriginalUnsettled(Unavailable):
    """The original is still being written; retry shortly."""


class Busy(Unavailable):
    """The server is rendering as many pictures as it can; retry shortly."""


class CatalogUnavailable(Unavailable):
    """The catalog cannot be read or written right now; pictures are served without it."""


class StorageFull(ImgserveError):
    """There is no space left for originals."""

    status = 507


class ConfigError(ImgserveError):
    """The configuration has mistakes."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        """Use all mistakes, one line each."""
        self.mistakes = list(mistakes)
        super().__init__("\n".join(mistakes))


_QUOTED_LENGTH = 40


def quoted(text: str) -> str:
    """Return received text in quotes: control characters escaped, at most 40 characters."""
    start = text[: _QUOTED_LENGTH + 1]
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in start)
    if len(escaped) > _QUOTED_LENGTH:
        escaped = escaped[: _QUOTED_LENGTH - 3] + "..."
    return f'"{escaped}"'


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the nearest known word as the end of a sentence, or an empty text."""
    if len(word) > _QUOTED_LENGTH:
        return ""
    nearest = difflib.get_close_matches(word.lower(), known, n=1)
    return f', did you mean "{nearest[0]}"?' if nearest else ""
