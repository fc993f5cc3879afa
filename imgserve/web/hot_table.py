"""The answers that can be given again, by the target as it was sent and the class of the client. Bounded by count."""

from collections.abc import Callable
from itertools import islice

from starlette.types import Scope

from imgserve.cache import RenditionKey, TierName
from imgserve.model import Rendition
from imgserve.services.finding import Sight
from imgserve.web.hot_entry import Guard, HotEntry, hot_entry, picture_head
from imgserve.web.negotiate import AcceptClass, accept_class
from imgserve.web.wanted import Wanted

LookUp = Callable[[RenditionKey], tuple[Rendition, TierName] | None]
"""Finds a rendition at once, in the tiers that never let the caller wait, and counts that as use."""

TARGET = "imgserve.target"
"""Where the state of a request tells its target as it was sent, if the answer to it may be kept."""

_MOST = 8192
_LONGEST = 1024
_MOST_ACCEPTS = 512


class HotTable:
    """Keeps what was answered, for as long as it would be answered again."""

    def __init__(self, admits: Guard | None) -> None:
        """Take whom answers are for, where that depends on a request's headers."""
        self._admits = admits
        self._entries: dict[tuple[bytes, AcceptClass], HotEntry] = {}
        self._classes: dict[bytes | None, AcceptClass] = {None: ()}

    def find(self, target: bytes, accept: bytes | None) -> HotEntry | None:
        """Find what was kept for a target and an Accept header."""
        accepted = self._classes.get(accept)
        if accepted is None:
            accepted = self._class_of(accept or b"")
        return self._entries.get((target, accepted))

    def remember(
        self, scope: Scope, accept: str, wanted: Wanted, sights: tuple[Sight, ...], rendition: Rendition | None
    ) -> None:
        """Keep an answer that was given: a picture, or without a rendition a 304. Its original is settled for good."""
        target = scope.get("state", {}).get(TARGET)
        if target is None or len(target) > _LONGEST or target != _spelled(scope):
            return
        place = (target, accept_class(accept))
        entry = self._entries.get(place)
        if entry is None or entry.wanted is not wanted:
            entry = self._keep(place, hot_entry(wanted, sights, self._admits))
        entry.sights = sights
        if rendition is not None and not (entry.picture and entry.picture.describes(rendition)):
            entry.picture = picture_head(wanted, rendition)

    def _keep(self, place: tuple[bytes, AcceptClass], entry: HotEntry) -> HotEntry:
        if len(self._entries) >= _MOST and place not in self._entries:
            # Many at once: each removal from the front of a dictionary leaves a gap that the next one has to pass.
            for oldest in list(islice(self._entries, _MOST // 8)):
                del self._entries[oldest]
        self._entries[place] = entry
        return entry

    def _class_of(self, accept: bytes) -> AcceptClass:
        accepted = accept_class(accept.decode("latin-1"))
        if len(accept) <= _LONGEST:
            if len(self._classes) >= _MOST_ACCEPTS:
                self._classes = {None: ()}
            self._classes[accept] = accepted
        return accepted


def _spelled(scope: Scope) -> bytes:
    """Write the target of a request as clients do; one that was spelled otherwise is not worth an exception."""
    path: bytes = scope["raw_path"][len(scope.get("root_path", "")) :]
    query: bytes = scope["query_string"]
    return path + b"?" + query if query else path
