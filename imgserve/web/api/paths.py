"""Which endpoints an address means, by its raw bytes: image ids hold slashes, and need not be UTF-8."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from imgserve.errors import MethodNotAllowed, NotFound
from imgserve.web.api.endpoint import Endpoint

DEEP = "image_id"
"""The piece of a path that may hold slashes, as they are or as %2F."""


@dataclass(frozen=True, slots=True)
class Place:
    """One address, and what answers there by method."""

    pattern: re.Pattern[str]
    endpoints: Mapping[str, Endpoint]

    def endpoint(self, method: str) -> Endpoint:
        """Choose what answers a method.

        Raises:
            MethodNotAllowed: nothing does.
        """
        found = self.endpoints.get("GET" if method == "HEAD" else method)
        if found is None:
            methods = {*self.endpoints, *(("HEAD",) if "GET" in self.endpoints else ())}
            raise MethodNotAllowed(members={"allow": sorted(methods)})
        return found


class Places:
    """All addresses.

    A last piece that is the name of an action, as in `/api/images/a.jpg/purge`, is that action; an image id that ends
    so is written with %2F for its slash.
    """

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        """Take the endpoints; two for the same method and address are a mistake in the code."""
        by_path = dict[str, dict[str, Endpoint]]()
        for one in endpoints:
            if by_path.setdefault(one.path, {}).setdefault(one.method, one) is not one:
                raise ValueError(f"{one.method} {one.path} is declared twice")
        # What says more is asked first: an id may be anything, also the name of an action.
        paths = sorted(by_path, key=lambda path: -sum("{" not in part for part in path.split("/")))
        self._places = [Place(_pattern(path), by_path[path]) for path in paths]

    def find(self, raw_path: bytes) -> tuple[Place, dict[str, str]]:
        """Find an address and the decoded pieces of it.

        Raises:
            NotFound: there is none like this.
        """
        text = raw_path.decode("latin-1")
        for place in self._places:
            if match := place.pattern.fullmatch(text):
                return place, {name: _decoded(piece) for name, piece in match.groupdict().items()}
        raise NotFound


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    named = (f"(?P<{name}>{'.+' if name == DEEP else '[^/]+'})" for name in parts[1::2])
    fixed = [re.escape(part) for part in parts[::2]]
    return re.compile("".join(a + b for a, b in zip(fixed, [*named, ""], strict=True)), re.DOTALL)


def _decoded(piece: str) -> str:
    return unquote_to_bytes(piece).decode("utf-8", "surrogateescape")
