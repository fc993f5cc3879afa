"""The hot path: cached responses are sent from the connection, without ASGI."""

import functools
import re
import time
from collections.abc import Collection, Mapping

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware, _TrustedHosts
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from imgserve.access.access import Fields
from imgserve.cache import TierName
from imgserve.errors import BadHost
from imgserve.http.conditional import parse_http_date
from imgserve.http.headers import RawHeaders, cache_status, check_host
from imgserve.web.hot_table import HotEntry, HotTable, LookUp
from imgserve.web.middleware import STATUSES, QuickOutcome, RequestLog
from imgserve.web.respond import lines

_UNUSUAL = frozenset(
    {
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"upgrade",
        b"range",
        b"if-range",
        b"if-match",
        b"if-unmodified-since",
    }
)
"""Header fields that may change the response, or announce a body."""
_LAST = b"x-request-id: "
_METHODS = frozenset({b"GET", b"HEAD"})
_MOST_HOSTS, _LONGEST_HOST = 256, 256
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


class HotPath:
    """Sends cached responses again."""

    def __init__(
        self,
        table: HotTable,
        look_up: LookUp,
        *,
        requests: RequestLog,
        allowed_hosts: Collection[str],
        timing_headers: bool,
    ) -> None:
        self._table = table
        self._look_up = look_up
        self._requests = requests
        self._allowed_hosts = allowed_hosts
        self._hosts: set[bytes] = set()
        self._remotes: dict[tuple[str, bytes], str] = {}
        self._tiers: Mapping[TierName, bytes] = {
            "memory": _tier_line("memory", shown=timing_headers),
            "disk": _tier_line("disk", shown=timing_headers),
        }
        self._id_start = requests.ids.start.encode()
        self._dated: RawHeaders = []
        self._seconds = 0
        self._ok = self._unmodified = b""
        self.responses = 0
        """Number of responses from the hot path."""

    def respond(self, connection: HttpToolsProtocol, headers: RawHeaders) -> bool:
        """Respond to a request whose head is complete, on a connection that is free; return whether it was done.

        Nothing is sent if the request needs the ordinary path.
        """
        started = time.monotonic()
        fields = dict(headers)
        entry = self._table.find(connection.url, fields.get(b"accept"))
        if entry is None or len(fields) != len(headers) or not _UNUSUAL.isdisjoint(fields):
            return False
        method = connection.parser.get_method()
        parser, host = connection.parser, fields.get(b"host")
        stays_open = parser.should_keep_alive() and parser.get_http_version() == "1.1"
        plain = method in _METHODS and stays_open and (host in self._hosts or self._admit(host))
        if not (plain and entry.is_valid_for(started, self.date(connection.server_state.default_headers), fields)):
            return False
        ready = self._ready(entry, fields)
        if ready is None:
            return False
        outcome, head, body = ready
        if method == b"HEAD":
            body = b""
        given = fields.get(b"x-request-id")
        request_id = None if given is None else proxy_request_id(connection, given)
        if request_id is None:
            request_id = b"%b%08x" % (self._id_start, next(self._requests.ids.numbers))
        head = b"%b%b\r\n\r\n" % (head, request_id)
        if body:
            connection.transport.writelines((head, body))
            tally = entry.tally
            tally.sent += len(body)
            tally.original += entry.response.request.original.size
            entry.hits += 1
        else:
            connection.transport.write(head)
        connection.server_state.total_requests += 1
        self.responses += 1
        seconds = time.monotonic() - started
        self._requests.metrics.count_quickly(outcome, seconds, len(body), connection.loop)
        if entry.site:
            self._requests.metrics.count_site(entry.site, outcome)
        log = self._requests.access_log
        if log.enabled:
            agent, remote = fields.get(b"user-agent", b""), self._remote(connection, fields)
            log.write(
                (method.decode(), connection.url, STATUSES[outcome], len(body)),
                (outcome, fields.get(b"referer", b""), agent, remote),
                request_id,
                time.time() - seconds,
                seconds,
            )
        return True

    def date(self, headers: RawHeaders) -> int:
        """Return the Date among uvicorn's default headers in Unix seconds; it replaces them once per second."""
        if headers is not self._dated:
            self._dated = headers
            self._seconds = parse_http_date(dict(headers).get(b"date", b"").decode("latin-1")) or int(time.time())
            self._ok = b"HTTP/1.1 200 OK\r\n" + lines(headers)
            self._unmodified = b"HTTP/1.1 304 Not Modified\r\n" + lines(headers)
        return self._seconds

    def _ready(self, entry: HotEntry, fields: Fields) -> tuple[QuickOutcome, bytes, bytes] | None:
        """Return outcome, head (without the request id) and body, or None if the ordinary path must decide."""
        tag = fields.get(b"if-none-match")
        if tag is not None:  # then If-Modified-Since is ignored (RFC 9110, 13.1.3)
            if not entry.has_tag(tag):
                return None
            head = b"".join((self._unmodified, b"etag: ", tag, b"\r\n", entry.stable, _LAST))
            return "not_modified", head, b""
        if b"if-modified-since" in fields or entry.picture is None:
            return None
        found = self._look_up(entry.key)
        if found is None:
            return None
        rendition, tier = found
        picture = entry.picture
        if not picture.describes(rendition):
            return None
        head = b"".join((self._ok, picture.before, self._tiers[tier], picture.length, _LAST))
        return tier, head, rendition.data

    def _admit(self, host: bytes | None) -> bool:
        """Check a new Host; only valid ones are remembered."""
        if host is None:
            return False
        try:
            check_host([(b"host", host)], "1.1", self._allowed_hosts)
        except BadHost:
            return False
        if len(host) <= _LONGEST_HOST:
            if len(self._hosts) >= _MOST_HOSTS:
                self._hosts.clear()
            self._hosts.add(host)
        return True

    def _remote(self, connection: HttpToolsProtocol, fields: Fields) -> str:
        """Return the address of the client, from X-Forwarded-For behind a trusted proxy, like uvicorn does."""
        peer, forwarded = connection.client[0] if connection.client else "", fields.get(b"x-forwarded-for", b"")
        if not isinstance(connection.app, ProxyHeadersMiddleware):
            return peer
        known = self._remotes.get((peer, forwarded))
        if known is None:
            known, proxies = peer, connection.app.trusted_hosts
            if (peer or None) in proxies:
                known = proxies.get_trusted_client_address(forwarded.decode("latin-1"))[0] or peer
            if len(self._remotes) >= _MOST_HOSTS:
                self._remotes.clear()
            self._remotes[peer, forwarded] = known
        return known


def proxy_request_id(connection: HttpToolsProtocol, given: bytes) -> bytes | None:
    """Return the X-Request-Id of a request if it is from a trusted proxy and plain text, else None."""
    return given if _REQUEST_ID.fullmatch(given) and from_proxy(connection) else None


def from_proxy(connection: HttpToolsProtocol) -> bool:
    """Return whether a connection is from a trusted proxy."""
    if not isinstance(connection.app, ProxyHeadersMiddleware):
        return False
    return _is_trusted(connection.app.trusted_hosts, connection.client[0] if connection.client else None)


@functools.lru_cache(_MOST_HOSTS)
def _is_trusted(proxies: _TrustedHosts, peer: str | None) -> bool:
    return peer in proxies


def hot_path_of(app: object) -> HotPath | None:
    """Return the hot path of our application, or None if the application is wrapped in another one."""
    found = getattr(getattr(app, "state", None), "hot_path", None)
    return found if isinstance(found, HotPath) else None


def _tier_line(tier: TierName, *, shown: bool) -> bytes:
    return lines([(b"cache-status", cache_status(detail=tier).encode())]) if shown else b""
