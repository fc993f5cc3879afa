"""Connections that only reach checked addresses."""

import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence

import httpcore2
from anyio import getaddrinfo

from imgserve.download.networks import Networks
from imgserve.errors import AddressRefused

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
