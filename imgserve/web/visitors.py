"""Who is signed in, as a request shows it, and whether it comes from a page of this server."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from starlette.requests import Request

from imgserve.access.accounts import NAME, account_name, caller_of
from imgserve.access.keys import Caller
from imgserve.access.sessions import Session, Sessions
from imgserve.catalog import Account
from imgserve.errors import Forbidden
from imgserve.http.headers import RawHeaders
from imgserve.web.middleware import FROM_PROXY, KEY, RequestRecord
from imgserve.web.operations import is_local

From = Literal["everyone", "loopback", "off"]
"""From where people may sign in: everywhere, this machine, or nowhere."""
TOKEN_HEADER = "x-csrf-token"  # noqa: S105  a name
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_DEVICE_SECONDS = 400 * 86400


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person who is signed in."""

    name: str
    role: str
    token: str
    """Proves that a request comes from a page that this person received."""
    session: Session | None
    """None for a person whom a reverse proxy has signed in."""

    @property
    def caller(self) -> Caller:
        """Return what the person may do."""
        return caller_of(self.name, self.role)


@dataclass(frozen=True, slots=True)
class Visitors:
    """Recognizes people by their session, or by the header of a trusted proxy."""

    sessions: Sessions
    allowed: From
    proxy_header: str = ""
    """The header of a trusted proxy that names the person; empty for none."""
    proxy_role: str = "none"
    """The role of people without an account whom the proxy has signed in."""

    def find(self, request: Request) -> Visitor | None:
        """Return who is signed in, or None; a session that was used is renewed with the response to a safe request."""
        if self.allowed == "off" or (self.allowed == "loopback" and not is_local(request)):
            return None
        if visitor := self._by_proxy(request):
            return visitor
        cookie = cookie_name(request)
        session = self.sessions.read(request.cookies.get(cookie, "")) if cookie else None
        if session is None:
            return None
        if request.method in _SAFE and (renewed := self.sessions.renewed(session)):
            record: RequestRecord = request.scope[KEY]
            record.extra_headers += self.cookies(request, renewed)
        account = session.account
        return Visitor(account.name, account.role, self.sessions.token(f"session {session.id}"), session)

    def caller(self, request: Request) -> Caller | None:
        """Return who calls the API from a page, or None.

        A link from elsewhere may open what the API returns. No other page may embed or request it: the cookie is also
        sent for pages of the same site, such as those on another port of this host.

        Raises Forbidden if another page may have caused a call that changes something, or embeds the response.
        """
        visitor = self.find(request)
        if visitor is None:
            return None
        headers = request.headers
        if request.method not in _SAFE:
            self.check_origin(request)
            self.check_token(visitor, headers.get(TOKEN_HEADER, ""))
        elif "sec-fetch-site" in headers and headers.get("sec-fetch-dest") != "document":
            self.check_origin(request)
        return visitor.caller

    def check_origin(self, request: Request) -> None:
        """Check that a page of this server sent a request; raise Forbidden if another page did, or no browser."""
        headers = request.headers
        site, origin = headers.get("sec-fetch-site"), urlsplit(headers.get("origin", "")).netloc.lower()
        same = site in {"same-origin", "none"} if site is not None else origin == headers.get("host", "").lower() != ""
        if not same:
            raise Forbidden("Only a page of this server may send this request.")

    def check_token(self, visitor: Visitor, token: str) -> None:
        """Check that a request comes from a page that the person received; raise Forbidden if it does not."""
        session = visitor.session
        if not self.sessions.is_token(f"session {session.id}" if session else f"proxy {visitor.name}", token):
            raise Forbidden("The page was opened in another session: load it again.")

    def cookies(self, request: Request, session: Session) -> RawHeaders:
        """Return the header that stores a session in the browser.

        Lax, so that links from elsewhere to the admin page find the session. What such a link can request changes
        nothing, and everything else needs a token too.
        """
        return [_cookie(request, cookie_name(request), self.sessions.text(session), int(self.sessions.longest))]

    def device_cookie(self, request: Request, account: Account) -> RawHeaders:
        """Return the header by which the browser is recognized at the next login of this person."""
        return [_cookie(request, _device_name(request), self.sessions.device(account), _DEVICE_SECONDS)]

    def no_cookies(self, request: Request) -> RawHeaders:
        """Return the header that removes the session from the browser."""
        name = cookie_name(request)
        return [] if name is None else [_cookie(request, name, "", 0)]

    def device(self, request: Request, name: str) -> str:
        """Return what identifies a browser in which this person has signed in before, or an empty text."""
        return self.sessions.known_device(name, request.cookies.get(_device_name(request), ""))

    def _by_proxy(self, request: Request) -> Visitor | None:
        if not (self.proxy_header and request.scope.get("state", {}).get(FROM_PROXY)):
            return None
        names = [account_name(value) for value in request.headers.getlist(self.proxy_header)]
        if len(names) != 1 or not NAME.fullmatch(names[0]):
            return None
        account = self.sessions.accounts.find(names[0])
        role = self.proxy_role if account is None else account.role
        return None if role == "none" else Visitor(names[0], role, self.sessions.token(f"proxy {names[0]}"), None)


def cookie_name(request: Request) -> str | None:
    """Return the name of the session's cookie, or None where a session could be overheard: without TLS on a network."""
    if request.url.scheme == "https":
        return "__Host-imgserve"  # browsers accept it only over TLS, for this host, from this host
    return "imgserve" if is_local(request) else None


def _device_name(request: Request) -> str:
    return f"{cookie_name(request)}-device"


def _cookie(request: Request, name: str | None, value: str, seconds: int) -> tuple[bytes, bytes]:
    secure = "; Secure" if request.url.scheme == "https" else ""
    text = f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    return b"set-cookie", text.encode("ascii")
