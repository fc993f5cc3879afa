"""The errors of the server: HTTP status, machine code and a sentence for clients.

The docstring of a class is its default sentence. Details that a client must not see go to the log.
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

    def __init_subclass__(cls, status: int | None = None) -> None:
        """Set the status, where it differs from that of the base, and the code of a class of this module."""
        cls.status = status or cls.status
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


class BadRequest(ImgserveError, status=400):
    """The request could not be understood."""


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


class Unauthorized(ImgserveError, status=401):
    """This needs a valid API key, in the header `Authorization: Bearer` or `X-API-Key`."""


class Forbidden(ImgserveError, status=403):
    """This API key does not allow that."""

    caller: str = ""
    """The caller with the key, for the security log; empty for none."""


class DomainDenied(Forbidden):
    """Pages of this domain may not show pictures of this site."""


class ReadOnlyOriginals(Forbidden):
    """The folder of this original is read-only for this server."""


class OriginalsNotServed(Forbidden):
    """This server does not serve untouched originals by URL."""


class BadSignature(Forbidden):
    """The signature of this URL is missing or wrong."""


class NotFound(ImgserveError, status=404):
    """There is nothing at this address."""


class ImageNotFound(NotFound):
    """There is no image with this id."""


class MarkNotFound(NotFound):
    """There is no image with the id of the mark."""


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


class PresetNotFound(NotFound):
    """There is no preset with this name in the catalog."""


class ImportNotFound(NotFound):
    """There is no import, or no part of it, with this id."""


class MethodNotAllowed(ImgserveError, status=405):
    """This address does not support this method."""


class ImageExists(ImgserveError, status=409):
    """An image with this id exists already."""


class DuplicateImage(ImgserveError, status=409):
    """An image with the same bytes exists already."""


class AccountExists(ImgserveError, status=409):
    """An account with this name exists already."""


class PresetConflict(ImgserveError, status=409):
    """This preset exists already, is set in the settings, or others build on it."""


class WrongState(ImgserveError, status=409):
    """The import is not in a state that allows this."""


class PreconditionFailed(ImgserveError, status=412):
    """The picture is not in the state that the request requires."""


class TooLarge(ImgserveError, status=413):
    """The original is larger than this server accepts."""

    code = "original_too_large"


class BodyTooLarge(ImgserveError, status=413):
    """The body of the request is larger than this address accepts."""


class UnsupportedImage(ImgserveError, status=415):
    """The original is not in an image format that this server reads."""


class UnsupportedContent(ImgserveError, status=415):
    """The body of the request has a type that this address does not accept."""


class RangeNotSatisfiable(ImgserveError, status=416):
    """The requested range is outside the picture."""


class UnreadableImage(ImgserveError, status=422):
    """The original is damaged and cannot be decoded."""


class LimitExceeded(UnreadableImage):
    """The original exceeds a limit of this server."""


class MaxBytesUnreachable(UnreadableImage):
    """No picture of so few bytes can be made of this original."""


class UnreadableMark(UnreadableImage):
    """The mark of this picture cannot be used."""


class RenderTimeout(UnreadableImage):
    """Rendering this picture took longer than this server allows."""


class RenderCrashed(UnreadableImage):
    """Decoding the original crashed the rendering process."""


class IdempotencyConflict(ImgserveError, status=422):
    """The same idempotency key came with another request, or with one that is still in progress."""


class FetchFailed(ImgserveError, status=422):
    """The picture could not be fetched from its address."""

    again: bool = False
    """Whether another attempt may succeed."""
    upstream: int | None = None
    """The HTTP status of the server of the picture; None if it did not respond."""
    wait: float = 0.0
    """Seconds until the next attempt that this server wishes."""


class FetchTooSlow(FetchFailed):
    """The server of the picture sends it too slowly."""

    again = True


class AddressRefused(ImgserveError, status=422):
    """This server does not fetch from that address."""


class RateLimited(ImgserveError, status=429):
    """Too many requests of this kind; retry later."""


class Unavailable(ImgserveError, status=503):
    """The server cannot answer this right now; retry shortly."""


class OriginalChanged(Unavailable):
    """The original was replaced while it was read; retry."""

    @property
    def changed(self) -> str:
        """The image id of a mark that was replaced, instead of the original; empty for the original."""
        return str(self.members.get("mark", ""))


class OriginalUnsettled(Unavailable):
    """The original is still being written; retry shortly."""


class Busy(Unavailable):
    """The server is rendering as many pictures as it can; retry shortly."""


class CatalogUnavailable(Unavailable):
    """The catalog cannot be read or written right now; pictures are served without it."""


class StorageFull(ImgserveError, status=507):
    """There is no space left for originals."""


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
