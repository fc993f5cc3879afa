"""HTTP as it goes over the wire: bytes written as a test likes, answers cut apart by the rules and nothing added."""

import re
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_PER_ANSWER = {"date", "x-request-id"}
_REQUEST_ID = re.compile(rb'"request_id": "[0-9a-f]+"')


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One answer but for what differs each time."""

    status: str
    headers: tuple[tuple[str, str], ...]
    """As sent, in order; names in lower case."""
    body: bytes
    request_id: str = field(default="", compare=False)

    def header(self, name: str) -> str:
        """Return the value of a header, or nothing."""
        return dict(self.headers).get(name, "")


def raw(text: str) -> bytes:
    """Write a request, one line a line, with the end of the head."""
    return text.strip("\n").replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n"


def talk(connection: socket.socket, requests: Sequence[bytes], splits: Iterable[int] = ()) -> list[RawAnswer]:
    """Send requests at once, or in pieces that end at these places, and read their answers, or as many as come."""
    octets, start = b"".join(requests), 0
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for end in [*sorted(splits), len(octets)]:
        if octets[start:end]:
            connection.sendall(octets[start:end])
            start = end
            time.sleep(0.002 if end < len(octets) else 0)
    reader = AnswerReader(connection)
    answers = []
    for request in requests:
        answer = reader.read(request.partition(b" ")[0])
        while answer is not None and answer.status.startswith("HTTP/1.1 1"):
            answers.append(answer)
            answer = reader.read(request.partition(b" ")[0])
        if answer is None:
            break
        answers.append(answer)
    return answers


class AnswerReader:
    """Cuts answers out of what a server sends."""

    def __init__(self, connection: socket.socket) -> None:
        """Accept the connection."""
        self._connection = connection
        self._received = b""

    def read(self, method: bytes = b"GET") -> RawAnswer | None:
        """Read the answer to a request with this method; None where the server has closed before."""
        while b"\r\n\r\n" not in self._received:
            if not self._more():
                assert not self._received
                return None
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
        bodiless = method == b"HEAD" or status.split(" ")[1] in {"100", "204", "304"}
        length = 0 if bodiless else int(dict(headers)["content-length"])
        while len(self._received) < length:
            assert self._more(), "cut short"
        body, self._received = self._received[:length], self._received[length:]
        lasting = tuple((name, value) for name, value in headers if name not in _PER_ANSWER)
        assert _PER_ANSWER & {name for name, _ in headers} or status.startswith("HTTP/1.1 1")
        return RawAnswer(status, lasting, _REQUEST_ID.sub(b"", body), dict(headers).get("x-request-id", ""))

    def _more(self) -> bool:
        try:
            piece = self._connection.recv(1 << 20)
        except ConnectionResetError:
            return False
        self._received += piece
        return bool(piece)
