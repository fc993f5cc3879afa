"""Connections that go where they may and nowhere else: what was checked is what is connected to."""

from collections.abc import Iterable

import httpcore2

from imgserve.download.networks import Networks
from imgserve.download.resolve import Resolve
from imgserve.errors import AddressRefused

REFUSED = "The host of this address is unknown, or not one that this server fetches from."
"""The same for a name that is not there and for one inside our network, whose names are nobody's business."""

_CONNECT_SECONDS = 5.0
"""For each address of a host."""


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Resolves a host once, checks all its addresses, and connects to one of exactly these.

    A name that resolves differently the next time (DNS rebinding) gains nothing: there is no next time. TLS, which
    httpcore puts on top, still asks for the host's name and checks its certificate.
    """

    def __init__(self, networks: Networks, resolve: Resolve) -> None:
        """Take what may be connected to, and who resolves names."""
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
        """Connect to the first address of a host that answers.

        Raises:
            AddressRefused: it has none, or one that is not to be connected to.
        """
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
