"""The sockets that the server listens on."""

import errno
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

from imgserve.errors import ConfigError

_NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_EVERYONE = 0o666
_HINTS = {
    errno.EADDRINUSE: "; is another server running? Stop it, or choose another port with --port (0 for any free one)",
    errno.EADDRNOTAVAIL: "; this machine has no such address: choose another one with --host (0.0.0.0 for all)",
    errno.EACCES: "; ports below 1024 need special permission: choose a higher one with --port",
}


def bind(host: str, port: int, uds: str | None) -> list[socket.socket]:
    """Bind every address of a host (or the path of a Unix socket); port 0 uses any free port."""
    where = f"unix:{uds}" if uds else _join(host, port)
    try:
        return [_bind_path(uds)] if uds else _bind_host(host, port)
    except OSError as error:
        raise ConfigError([f"cannot listen on {where}: {error.strerror}{_HINTS.get(error.errno or 0, '')}"]) from error


def address_of(sockets: Sequence[socket.socket], host: str) -> str:
    """Return the URL of the sockets, with the actual port."""
    name = sockets[0].getsockname()
    return f"unix:{name}" if isinstance(name, str) else f"http://{_join(host, name[1])}"


def unbind(sockets: Sequence[socket.socket], uds: str | None) -> None:
    """Close the sockets, and remove the path of a Unix socket."""
    for bound in sockets:
        bound.close()
    if uds:
        Path(uds).unlink(missing_ok=True)


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
                unbind(sockets, None)
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


def _bind_path(path: str) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_abandoned(path):
            Path(path).unlink()
        bound.bind(path)
        os.chmod(path, _EVERYONE)  # noqa: PTH101  a front server runs as another user; the folder guards
    except OSError:
        bound.close()
        raise
    return bound


def _is_abandoned(path: str) -> bool:
    """Return whether the path is a socket left behind by a killed server."""
    if not (os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode)):  # noqa: PTH110, PTH116  a plain path
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == errno.ECONNREFUSED
