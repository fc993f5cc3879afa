"""Which endpoints an address means, by its raw bytes: image ids hold slashes, and need not be UTF-8."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from imgserve.errors import MethodNotAllowed, NotFound
from imgserve.web.api.endpoint import IMAGE_ID, Endpoint

# Until release 0.2, actions followed the image id: /api/images/a.jpg/purge.
_OLD_ACTIONS = {
    "GET": re.compile(r"/api/images/(.+)/(similar|convert/[^/]+)", re.DOTALL),
    "POST": re.compile(r"/api/images/(.+)/(purge|transform)", re.DOTALL),
}


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
    """All addresses."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        """Take the endpoints; two for the same method and address are a mistake in the code."""
        by_path = dict[str, dict[str, Endpoint]]()
        for one in endpoints:
            if by_path.setdefault(one.path, {}).setdefault(one.method, one) is not one:
                raise ValueError(f"{one.method} {one.path} is declared twice")
        # What says more is asked first: a piece may be anything.
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


def moved(scope: Scope) -> Response | None:
    """Return a redirect from the address that an action had in earlier releases, or None for any other request.

    A slash written as %2F never began an action.
    """
    pattern = _OLD_ACTIONS.get("GET" if scope["method"] == "HEAD" else scope["method"])
    match = pattern and pattern.fullmatch(raw_path(scope).decode("latin-1"))
    if not match:
        return None
    root, query = scope.get("root_path", ""), scope["query_string"].decode("latin-1")
    return RedirectResponse(f"{root}/api/{match[2]}/{match[1]}" + (f"?{query}" if query else ""), 308)


def raw_path(scope: Scope) -> bytes:
    """Return the path as it was sent, below the path that the application is mounted at."""
    raw: bytes = scope["raw_path"]
    return raw.removeprefix(scope.get("root_path", "").encode())


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    named = (f"(?P<{name}>{'.+' if name == IMAGE_ID else '[^/]+'})" for name in parts[1::2])
    fixed = [re.escape(part) for part in parts[::2]]
    return re.compile("".join(a + b for a, b in zip(fixed, [*named, ""], strict=True)), re.DOTALL)


def _decoded(piece: str) -> str:
    return unquote_to_bytes(piece).decode("utf-8", "surrogateescape")
