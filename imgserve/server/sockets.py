"""The sockets that the server listens on."""

import errno
import socket
from collections.abc import Sequence

from imgserve.errors import ConfigError

_NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_HINTS = {
    errno.EADDRINUSE: "; is another server running? Stop it, or choose another port with --port (0 for any free one)",
    errno.EADDRNOTAVAIL: "; this machine has no such address: choose another one with --host (0.0.0.0 for all)",
    errno.EACCES: "; ports below 1024 need special permission: choose a higher one with --port",
}


def bind(host: str, port: int) -> list[socket.socket]:
    """Return sockets bound to every address of a host; port 0 uses any free port."""
    try:
        return _bind_host(host, port)
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "")
        raise ConfigError([f"cannot listen on {_join(host, port)}: {error.strerror}{hint}"]) from error


def address_of(sockets: Sequence[socket.socket], host: str) -> str:
    """Return the URL of the sockets, with the actual port."""
    return f"http://{_join(host, sockets[0].getsockname()[1])}"


def unbind(sockets: Sequence[socket.socket]) -> None:
    """Close the sockets."""
    for bound in sockets:
        bound.close()


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind_host(host: str, port: int) -> list[socket.socket]:
    """Return sockets bound to the addresses of a host, such as both of `localhost`, that this machine has."""
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
        actual_port = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(_bind_address(family, (address[0], actual_port, *address[2:])))
        except OSError as error:
            if error.errno not in _NOT_HERE:
                unbind(sockets)
                raise
            absent = error
    if absent and not sockets:
        raise absent
    return sockets


def _bind_address(family: int, address: tuple[str | int, ...]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and address[0] != "::":  # `::` listens on every address, IPv4 as well
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
