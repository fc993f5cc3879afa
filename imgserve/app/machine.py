"""Checks of the machine: what will fail on it or is exposed, and what to do."""

import importlib.metadata
import logging
import math
import resource
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from imgserve.access.admin_key import key_file
from imgserve.app.pictures import processes, server_processes, tree_of
from imgserve.app.settings import is_writable, nearest_existing
from imgserve.config import Config
from imgserve.formats import FORMATS
from imgserve.pipeline.order import fast_encoders
from imgserve.web.operations import Finding, State

_logger = logging.getLogger(__name__)
_LITTLE_BYTES, _FEW_BYTES = 200_000_000, 2_000_000_000
"""Free space that is a problem, and that is a warning."""
_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_FILES = 4096
"""Files that a busy server opens at the same time: connections, renditions, and the catalog."""
_SKEW = 2.0
_SET_BY, _DOUBT = 60.0, 3600.0
"""Seconds by which a clock differs that was set, and for which it is doubted then."""
_RENDER_BYTES = 150_000_000
"""What a rendering process usually needs."""
_CONNECT_SECONDS = 2.0
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "redis": 6379, "rediss": 6379}
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_watches")


def examine(config: Config, data: Path) -> Iterator[Finding]:
    """Yield the result of every check; `data` is the data folder."""
    yield from _software()
    yield from _permissions(config, data)
    yield from _space(config, data)
    yield from _limits(config)
    yield _clock(data)
    for name, url in _services(config).items():
        yield _reached(name, url)


def _software() -> Iterator[Finding]:
    packages = ("imgserve", "pyvips", "pyvips-binary", "uvicorn", "starlette")
    yield Finding("software", found="it runs " + ", ".join(f"{name} {_version(name)}" for name in packages))
    missing = [one for one in FORMATS.values() if one.missing_extra]
    names = ", ".join(one.name for one in FORMATS.values() if one not in missing)
    extras = ", ".join(f"{one.name} (install imgserve[{one.extra}])" for one in missing)
    yield Finding("formats", found=f"it knows {names}{'; not installed: ' if extras else ''}{extras}")
    encoder = fast_encoders() or "libvips; imgserve[fast] takes less time"
    yield Finding("encoders", found=f"AVIF and WebP are encoded by {encoder}")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "of the system"


def _permissions(config: Config, folder: Path) -> Iterator[Finding]:
    mode = _mode(folder)
    yield Finding.unless(
        not is_writable(folder), "data folder", "problem", f"{folder} cannot be written to", "correct its permissions"
    )
    yield Finding.unless(
        mode & stat.S_IWOTH,
        "permissions of the data folder",
        "problem",
        f"every account of this machine can write to {folder}",
        f"run: chmod o-w {folder}",
    )
    catalog = folder / "catalog.sqlite"
    exposed = mode & stat.S_IXOTH and _mode(catalog) & stat.S_IROTH
    yield Finding.unless(
        exposed,
        "catalog",
        "warning",
        f"every account of this machine can read {catalog}, with hashes of keys and passwords",
        f"run: chmod 700 {folder}",
    )
    path = key_file(folder)
    key_mode = 0 if config.access.admin_key.get_secret_value() else _mode(path)
    shared: State = "problem" if key_mode & _OTHERS_WRITE else "warning"
    yield Finding.unless(
        key_mode & (_OTHERS_READ | _OTHERS_WRITE),
        "admin key",
        shared,
        f"other accounts can {'write to' if shared == 'problem' else 'read'} {path}",
        f"run: chmod 600 {path}",
    )
    cached = config.cache.disk_bytes or config.cache.mezzanine_bytes
    yield Finding.unless(
        cached and not is_writable(config.cache.folder),
        "cache folder",
        "problem",
        f"{config.cache.folder} cannot be written to: every picture is rendered again after it left memory",
        "correct its permissions, or set cache.folder",
    )


def _space(config: Config, folder: Path) -> Iterator[Finding]:
    for name, place in (("disk of the data", folder), ("disk of the cache", config.cache.folder)):
        free = shutil.disk_usage(nearest_existing(place)).free
        yield Finding.unless(
            free < _FEW_BYTES,
            name,
            "problem" if free < _LITTLE_BYTES else "warning",
            f"{free // 1_000_000} MB are free at {nearest_existing(place)}",
            "free some space, or lower cache.disk_bytes and cache.mezzanine_bytes",
        )


def _limits(config: Config) -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield Finding.unless(
        soft < _FILES,
        "open files",
        "warning",
        f"a process may open {soft} files, too few for many connections",
        f"raise the limit to {_FILES} or more: ulimit -n, or LimitNOFILE of the service",
    )
    if config.originals.watch and _INOTIFY.exists():
        most = int(_INOTIFY.read_text())
        folders = len(tree_of(config).folders([""]))
        yield Finding.unless(
            folders > most,
            "watched folders",
            "warning",
            f"the originals have more folders than the {most} that the system watches for this account, so "
            "new files are noticed only by scans",
            "raise fs.inotify.max_user_watches with sysctl",
        )
    servers, memory = server_processes(config), psutil.virtual_memory().total
    needed = servers * (config.cache.memory_bytes + processes(config) * _RENDER_BYTES)
    yield Finding.unless(
        needed > memory,
        "memory",
        "warning",
        f"memory tier and rendering processes need about {needed // 1_000_000} MB of {memory // 1_000_000} MB",
        "lower cache.memory_bytes, server.workers or rendering.processes",
    )


def _boot_time() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockWatch:
    """Notices that the clock was set, by comparing it with one that nobody can set."""

    def __init__(self, clock: Callable[[], float] = time.time, steady: Callable[[], float] = _boot_time) -> None:
        """Compare these clocks, from now on."""
        self._clock = clock
        self._steady = steady
        self._offset = clock() - steady()
        self._doubted_until = -math.inf

    def in_doubt(self) -> bool:
        """Return whether the clock was set within the last hour, perhaps by mistake."""
        offset, now = self._clock() - self._steady(), self._steady()
        if abs(offset - self._offset) > _SET_BY:
            _logger.warning("the clock was set: for an hour, nothing is deleted because it has expired")
            self._offset, self._doubted_until = offset, now + _DOUBT
        return now < self._doubted_until


def _clock(data: Path) -> Finding:
    """Compare the clock with that of the file system, which may be on another machine."""
    if not is_writable(data) or not data.is_dir():
        return Finding("clock")
    with tempfile.NamedTemporaryFile(dir=data, prefix=".clock-") as file:
        skew = Path(file.name).stat().st_mtime - time.time()
    return Finding.unless(
        abs(skew) > _SKEW,
        "clock",
        "warning",
        f"the clocks of this machine and of the file system of {data} differ by {abs(skew):.0f} s, so new files "
        "seem to be in the future, or links expire at the wrong time",
        "synchronize both clocks with NTP",
    )


def _services(config: Config) -> Mapping[str, str]:
    """Return the addresses of the services that the settings name."""
    found = {"catalog": config.catalog.url, "rate limits": config.rates.storage}
    cdn = config.cdn
    found["Cloudflare"] = cdn.cloudflare.api if cdn.cloudflare.zone else ""
    found["Fastly"] = cdn.fastly.api if cdn.fastly.service else ""
    found |= {f"the cache {url}": url for url in (*cdn.varnish_urls, *cdn.purge_urls)}
    return {name: url for name, url in found.items() if urlsplit(url).hostname}


def _reached(name: str, url: str) -> Finding:
    parts, cause = urlsplit(url), ""
    host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme.partition("+")[0], 443)
    try:
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except OSError as error:
        cause = error.strerror or str(error)
    return Finding.unless(
        cause,
        f"connection to {name}",
        "problem" if name == "catalog" else "warning",
        f"{host}:{port} cannot be reached: {cause}",
        "start the service, or correct its address in the settings",
    )


def _mode(path: Path) -> int:
    """Return the permissions of a file; 0 if there is none, or it cannot be examined."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0
