"""Which URLs and IP addresses may be fetched, and connections that reach no other address."""

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from email.message import Message
from urllib.parse import unquote

import httpcore2
import httpx2
from anyio import getaddrinfo

from imgserve.errors import AddressRefused

_LONGEST = 8192
_HOST = re.compile(rb"[a-z0-9._-]{1,253}|[0-9a-f:.]{2,45}")
"""An IDNA encoded name or an address, without a zone or percent sign: nothing ambiguous."""


def read_address(text: str, ports: Collection[int], base: httpx2.URL | None = None) -> httpx2.URL:
    """Return a URL that may be downloaded, relative to `base`, if given.

    Raises AddressRefused, whose message states the expected form.
    """
    try:
        if len(text) > _LONGEST:
            raise AddressRefused(f"expected a URL of at most {_LONGEST} characters")
        url = httpx2.URL(text) if base is None else base.join(text)
    except httpx2.InvalidURL as error:
        raise AddressRefused("expected a URL such as https://www.example.com/photo.jpg") from error
    if url.scheme not in {"http", "https"} or not _HOST.fullmatch(url.raw_host):
        raise AddressRefused("expected a URL that starts with http:// or https:// and a host name")
    if url.userinfo:
        raise AddressRefused("expected a URL without user name and password")
    if port_of(url) not in ports:
        allowed = " or ".join(map(str, sorted(ports))) or "none"
        raise AddressRefused(f"expected a URL with the port {allowed}, but received {port_of(url)}")
    return url.copy_with(fragment=None)


def port_of(url: httpx2.URL) -> int:
    """Return the port of a URL."""
    return url.port if url.port is not None else {"http": 80, "https": 443}[url.scheme]


def file_name(url: httpx2.URL, disposition: str) -> str:
    """Return the file name of a download, from Content-Disposition or the URL; may be empty."""
    header = Message()
    header["content-disposition"] = disposition.replace("\r", " ").replace("\n", " ")
    named = header.get_filename() if disposition else None
    return named or unquote(url.raw_path.partition(b"?")[0].decode("ascii").rpartition("/")[2], errors="replace")


_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network, and on Linux this machine: RFC 791, 3.2
        "10.0.0.0/8",  # private: RFC 1918
        "100.64.0.0/10",  # shared by carriers and their customers: RFC 6598; metadata service of one cloud
        "127.0.0.0/8",  # loopback: RFC 1122, 3.2.1.3
        "168.63.129.16/32",  # a public address that Azure answers inside every machine with its platform service
        "169.254.0.0/16",  # link-local: RFC 3927; metadata service of most clouds
        "172.16.0.0/12",  # private: RFC 1918
        "192.0.0.0/24",  # protocol assignments: RFC 6890, 2.1; metadata service of one cloud
        "192.0.2.0/24",  # documentation: RFC 5737
        "192.88.99.0/24",  # 6to4 relays: RFC 7526
        "192.168.0.0/16",  # private: RFC 1918
        "198.18.0.0/15",  # benchmarks: RFC 2544
        "198.51.100.0/24",  # documentation: RFC 5737
        "203.0.113.0/24",  # documentation: RFC 5737
        "224.0.0.0/4",  # multicast: RFC 5771
        "240.0.0.0/4",  # reserved, with the broadcast address at its end: RFC 1112, 4; RFC 919, 7
    )
)
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
"""The only block assigned to the Internet: RFC 4291, 2.4.

This excludes unspecified, loopback, IPv4-compatible (::/96) and IPv4-mapped (::ffff:0:0/96)
addresses (RFC 4291, 2.5), NAT64 (64:ff9b::/96: RFC 6052; 64:ff9b:1::/48: RFC 8215), discard-only (100::/64: RFC 6666),
segment routing (5f00::/16: RFC 9602), unique local (fc00::/7: RFC 4193), link-local (fe80::/10: RFC 4291, 2.5.6),
site-local (fec0::/10: RFC 3879), multicast (ff00::/8: RFC 4291, 2.7).
"""
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: RFC 2928; Teredo (RFC 4380), benchmarks (RFC 5180), ORCHID (RFC 7343)
        "2001:db8::/32",  # documentation: RFC 3849
        "2002::/16",  # 6to4, which holds an IPv4 address: RFC 3056
        "3ffe::/16",  # 6bone, given back: RFC 3701
        "3fff::/20",  # documentation: RFC 9637
    )
)


class Networks:
    """The addresses that downloads may reach."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = tuple(ipaddress.ip_network(network, strict=False) for network in allowed)

    def admit(self, text: str) -> bool:
        """Return whether an address is allowed; False for anything else."""
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return False
        return _is_public(address) or any(address in network for network in self._allowed)


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _REFUSED_V6)


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns every address of a host; raises OSError if there is none."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host from the system, which also parses 127.1, 0x7f.1 and 2130706433."""
    found = await getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


REFUSED = "The host is unknown, or this server does not download from it."
"""The same message for an unknown name and for one inside our network, whose names are not public."""
_CONNECT_SECONDS = 5.0
"""For each address of a host."""


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Resolves a host once, checks all its addresses, and connects to one of exactly these.

    A name that resolves differently the next time (DNS rebinding) gains nothing: there is no next time. TLS, which
    httpcore puts on top, still asks for the host's name and checks its certificate.
    """

    def __init__(self, networks: Networks, resolve: Resolve) -> None:
        self._networks = networks
        self._resolve = resolve
        self._connector = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the signature of httpcore
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address of a host that answers; raise AddressRefused for none, or one not allowed."""
        error: Exception = AddressRefused(REFUSED)
        for address in await self._addresses(host, port):
            try:
                return await self._connector.connect_tcp(
                    address, port, timeout or _CONNECT_SECONDS, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failure:
                error = failure
        raise error

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            addresses = list(await self._resolve(host.strip("[]"), port))
        except (OSError, UnicodeError) as error:
            raise AddressRefused(REFUSED) from error
        if not all(self._networks.admit(address) for address in addresses):
            raise AddressRefused(REFUSED)
        return addresses
