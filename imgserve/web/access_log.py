"""The access log: lines are collected on the event loop, and a thread writes them, whole and in order."""

import json
import logging
import os
import re
import select
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import unquote_plus

from imgserve.errors import ConfigError

Style = Literal["json", "text"]
What = tuple[str, bytes, int, int]
"""Method, target with the query, status, bytes of the body."""
Who = tuple[str, bytes, bytes, str]
"""Outcome, referrer, user agent, address of the client."""

_LINES: dict[Style, bytes] = {
    "json": b'{"time":"%b.%03dZ",%b,"duration_ms":%.2f,%b,"request_id":"%b"}\n',
    "text": b'time="%b.%03dZ" %b duration_ms=%.2f %b request_id="%b"\n',
}
_INTERVAL = 0.05
"""Seconds for which lines are collected; a process that is killed loses about as many."""
_MOST_PENDING = 4_000_000
"""Bytes of lines that wait for a slow reader; further lines are dropped."""
_STOP_SECONDS = 2.0
"""Time limit for the last lines."""
_FILE_PIECE = 65_536
_MOST_PARTS, _LONGEST_PART = 4096, 1024
"""Formatted parts of lines that are remembered: most clients and pictures occur again and again."""
_MAX_FIELD = 900
"""Characters of a field, escaped: so a line is at most PIPE_BUF (4096 bytes) long, which a pipe takes in one piece."""
_MAX_ESCAPE = 6
_URLS = {"path", "referrer"}
_SECRETS = {"s", "signature", "key", "s64", "signature64", "key64", "token"}
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F)} | {ord('"'): '\\"', ord("\\"): "\\\\"}
_QUERY_PAIR = re.compile(r"[^&#]+")
_STDOUT = 1
_log = logging.getLogger(__name__)


class AccessLog:
    """Writes one line per request as JSON or text, to standard output or a file; it never fails or delays a request."""

    def __init__(self, target: str, style: Style = "json", count_dropped: Callable[[int], None] | None = None) -> None:
        """Write to "stdout", a file, or nowhere with "off"; raise ConfigError for a file that cannot be written."""
        path = Path(target)
        if target not in {"off", "stdout"} and not os.access(path if path.exists() else path.parent, os.W_OK):
            raise ConfigError([f"access log: cannot write to {target}"])
        self.enabled = False
        """Whether lines are written, so that callers can skip what is only for them."""
        self._target = target
        self._style: Style = style
        self._line = _LINES[style]
        self._count_dropped = count_dropped or (lambda _number: None)
        self._parts: dict[What | Who, bytes] = {}
        self._second, self._shown_second = 0, b""
        # The event loop appends to this list and the thread removes from its front: steps that the interpreter does
        # not interrupt.
        self._lines: list[bytes] = []
        self._added = self._done = 0
        """Bytes of lines, counted by one thread each."""
        self._unwritten = 0
        """Lines that the thread has taken."""
        self._due, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread()

    def open(self) -> None:
        """Open the output and start to write; raise ConfigError if the file cannot be written."""
        if self._target != "off":
            self._closing.clear()
            self._thread = threading.Thread(
                target=self._run, args=(_Output(self._target),), name="access log", daemon=True
            )
            self._thread.start()
            self.enabled = True

    def write(self, what: What, who: Who, request_id: bytes, arrived: float, seconds: float) -> None:
        """Add the line of a request that arrived at a Unix time and lasted some seconds."""
        if not self.enabled:
            return
        if self._added - self._done > _MOST_PENDING:
            self._count_dropped(1)
            return
        second = int(arrived)
        if second != self._second:
            self._second = second
            self._shown_second = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
        line = self._line % (
            self._shown_second,
            (arrived - second) * 1000,
            self._parts.get(what) or self._part(what, ("method", "path", "status", "bytes")),
            seconds * 1000,
            self._parts.get(who) or self._part(who, ("outcome", "referrer", "user_agent", "remote")),
            request_id,
        )
        self._added += len(line)
        self._lines.append(line)
        if not self._due.is_set():
            self._due.set()

    def close(self) -> None:
        """Write what was collected, and close a file; standard output stays open."""
        if not self.enabled:
            return
        self.enabled = False
        self._closing.set()
        self._due.set()
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive():
            _log.error("the end of the access log could not be written within %s s", _STOP_SECONDS)
            self._count_dropped(self._unwritten + len(self._lines))

    def _part(self, values: What | Who, names: Sequence[str]) -> bytes:
        """Format and remember a part of a line."""
        parts: Sequence[str | bytes | int] = values
        fields = {name: _shown(name, part) for name, part in zip(names, parts, strict=True)}
        if self._style == "json":
            part = json.dumps(fields, separators=(",", ":"))[1:-1].encode()
        else:
            part = " ".join(f"{name}={_quoted(value)}" for name, value in fields.items()).encode()
        if len(part) <= _LONGEST_PART:
            if len(self._parts) >= _MOST_PARTS:
                self._parts.clear()
            self._parts[values] = part
        return part

    def _run(self, output: "_Output") -> None:
        failing = last = False
        while not last:
            self._due.wait()
            self._due.clear()
            last = self._closing.wait(_INTERVAL)
            self._unwritten = number = len(self._lines)
            lines = self._lines[:number]
            del self._lines[:number]
            for piece, contained in _pieces(lines, output.piece):
                try:
                    output.write(piece)
                    failing = False
                except OSError as error:
                    if not failing:
                        _log.error("cannot write the access log: %s", error)
                    failing = True
                    self._count_dropped(contained)
                self._done += len(piece)
                self._unwritten -= contained
        output.close()


class _Output:
    """Standard output, or a file that is opened again after it was renamed."""

    def __init__(self, target: str) -> None:
        self._path = None if target == "stdout" else Path(target)
        self._torn = False
        try:
            self._descriptor = _STDOUT if self._path is None else _open(self._path)
            regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        except OSError as error:
            raise ConfigError([f"access log: cannot write to {target}: {error.strerror}"]) from error
        self.piece = _FILE_PIECE if regular else select.PIPE_BUF
        """Bytes of one write, with which what other processes write to the same file or pipe does not mix."""

    def write(self, piece: bytes) -> None:
        """Write whole lines; if a full disk took a part of them, the next line starts on a new line."""
        if self._path is not None and not _is_at(self._path, self._descriptor):
            descriptor = _open(self._path)
            os.close(self._descriptor)
            self._descriptor, self._torn = descriptor, False
        rest = memoryview(b"\n" + piece if self._torn else piece)
        while rest:
            try:
                written = os.write(self._descriptor, rest)
            except BlockingIOError:  # whoever started this process has made the pipe non-blocking
                select.select([], [self._descriptor], [])
                continue
            rest = rest[written:]
            self._torn = bool(rest)

    def close(self) -> None:
        """Close a file."""
        if self._path is not None:
            os.close(self._descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether a file is still at its path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _pieces(lines: Sequence[bytes], most: int) -> Iterator[tuple[bytes, int]]:
    """Yield lines joined to pieces of at most so many bytes, and their number; a longer line is a piece of its own."""
    piece, size = list[bytes](), 0
    for line in lines:
        if piece and size + len(line) > most:
            yield b"".join(piece), len(piece)
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield b"".join(piece), len(piece)


def _shown(name: str, value: str | bytes | int) -> str | int:
    """Return a value without secrets, its length limited, and invalid characters escaped."""
    if isinstance(value, int):
        return value
    text = value if isinstance(value, str) else value.decode("latin-1")
    text = _mask(text) if name in _URLS else text
    for most in (_MAX_FIELD, _MAX_FIELD // _MAX_ESCAPE):
        text = text if len(text) <= most else text[:most] + "..."
        if len(json.dumps(text)) <= _MAX_FIELD + len('"..."'):
            break
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _quoted(value: str | int) -> str:
    """Return a value quoted so that it can neither end the line nor control a terminal."""
    if not isinstance(value, str):
        return str(value)
    return f'"{value.translate(_CONTROL).encode("ascii", "backslashreplace").decode()}"'


def _mask(url: str) -> str:
    """Return a URL with the values of secret parameters hidden."""
    path, question, query = url.partition("?")
    return path + question + mask_query(query) if question else url


def mask_query(query: str) -> str:
    """Return a query with the values of secret parameters hidden."""
    return _QUERY_PAIR.sub(_masked_pair, query)


def _masked_pair(pair: re.Match[str]) -> str:
    name, equals, _ = pair[0].partition("=")
    return f"{name}=***" if equals and unquote_plus(name).strip().lower() in _SECRETS else pair[0]
