"""Other servers of this kind, if they are installed: found, configured like imgserve, started, requested."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.programs import Program, free_address, serving
from benchmarks.servers import nginx_serving
from imgserve.formats import FORMATS

_QUALITY = FORMATS["jpg"].quality
_CORES = os.cpu_count() or 1
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
"""Debian has servers in these folders, which are only on the PATH of root."""
_VERSION = re.compile(r"\d+\.\d+[\w.-]*")
_FILTER = "http_image_filter_module"
_BUFFER_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that makes the same pictures."""

    name: str
    description: str
    """Its version and settings."""
    path: Callable[[str, int], str]
    """Returns the path of an original in a width, as JPEG of the default quality of imgserve."""
    start: Callable[[Path, Path], AbstractContextManager[Program]]
    """Runs it on a folder of originals, with a new folder for its own files."""


@dataclass(frozen=True, slots=True)
class Commands:
    """The paths of the other programs; None if one is not installed."""

    thumbor: str | None = None
    ipx: str | None = None
    nginx: str | None = None
    wrk: str | None = None


def find(**named: str | None) -> Commands:
    """Return the named commands, and the others from PATH."""
    named = dict.fromkeys(("thumbor", "ipx", "nginx", "wrk")) | named
    return Commands(**{name: shutil.which(path or name, path=_PATH) for name, path in named.items()})


def installed(commands: Commands) -> tuple[list[Peer], list[str]]:
    """Return the peers that are installed, and a sentence for each that is not."""
    peers: list[Peer] = []
    skipped: list[str] = []
    if commands.thumbor:
        peers += [_thumbor(commands.thumbor, progressive=progressive) for progressive in (True, False)]
    else:
        skipped.append("thumbor: not found. pip install thumbor in an environment of its own; name it with --thumbor.")
    if commands.ipx:
        peers.append(_ipx(commands.ipx))
    else:
        skipped.append("ipx: not found. npm install ipx; name node_modules/.bin/ipx with --ipx.")
    if commands.nginx and (modules := _image_filter(commands.nginx)) is not None:
        peers.append(_nginx(commands.nginx, modules))
    else:
        skipped.append(
            "nginx with image_filter: not found. apt-get install nginx libnginx-mod-http-image-filter;"
            " name it with --nginx."
        )
    return peers, skipped


def _thumbor(command: str, *, progressive: bool) -> Peer:
    @contextlib.contextmanager
    def start(originals: Path, folder: Path) -> Iterator[Program]:
        folder.mkdir()
        address, file = free_address(), folder / "thumbor.conf"
        file.write_text(
            "LOADER = 'thumbor.loaders.file_loader'\n"
            f"FILE_LOADER_ROOT_PATH = {str(originals)!r}\n"
            "STORAGE = 'thumbor.storages.no_storage'\n"
            "RESULT_STORAGE = None\n"
            "ALLOW_UNSAFE_URL = True\n"
            f"QUALITY = {_QUALITY}\n"
            f"PROGRESSIVE_JPEG = {progressive}\n",
            encoding="utf-8",
        )
        host, port = address.removeprefix("http://").split(":")
        arguments = ["-i", host, "-p", port, "-c", str(file), "-l", "error", "--processes", str(_CORES)]
        with serving([command, *arguments], folder, address=address) as program:
            yield program

    name = "thumbor" if progressive else "thumbor, baseline JPEG"
    what = "progressive JPEG, its default" if progressive else "baseline JPEG, as imgserve"
    description = f"{name} {_version(command, '--version')}: {_CORES} processes, no result storage, {what}"
    return Peer(name, description, lambda name, width: f"/unsafe/{width}x0/{name}", start)


def _ipx(command: str) -> Peer:
    @contextlib.contextmanager
    def start(originals: Path, folder: Path) -> Iterator[Program]:
        address = free_address()
        host, port = address.removeprefix("http://").split(":")
        arguments = ["serve", "--dir", str(originals), "--host", host, "--port", port]
        with serving([command, *arguments], folder, address=address) as program:
            yield program

    description = f"ipx {_version(command, '--version')}: one process with the threads of libuv, which is its default"
    return Peer("ipx", description, lambda name, width: f"/w_{width},f_jpeg,q_{_QUALITY}/{name}", start)


def _nginx(command: str, modules: list[str]) -> Peer:
    def start(originals: Path, folder: Path) -> AbstractContextManager[Program]:
        location = (
            f"root {originals}; image_filter resize $arg_w -; image_filter_jpeg_quality {_QUALITY};"
            f" image_filter_buffer {_BUFFER_BYTES};"
        )
        return nginx_serving(command, folder, location, workers=_CORES, modules=modules)

    description = f"nginx {_version(command, '-v')} image_filter: {_CORES} workers"
    return Peer("nginx image_filter", description, lambda name, width: f"/{name}?w={width}", start)


def _image_filter(nginx: str) -> list[str] | None:
    """Return the modules that nginx must load to resize, or None if it cannot."""
    built = _output(nginx, "-V")
    folder = re.search(r"--modules-path=(\S+)", built)
    module = Path(folder[1] if folder else "modules") / f"ngx_{_FILTER}.so"
    if module.exists():
        return [str(module)]
    return [] if re.search(rf"--with-{_FILTER}(?!=dynamic)", built) else None


def _version(command: str, flag: str) -> str:
    found = _VERSION.search(_output(command, flag))
    return found[0] if found else "of unknown version"


def _output(command: str, flag: str) -> str:
    done = subprocess.run([command, flag], capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr
