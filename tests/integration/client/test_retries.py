"""A server that is busy, unreachable or not imgserve, and what both clients do then."""

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from imgserve.client.api import AnswerNotUnderstood, Imgserve, Retries, ServerUnreachable
from imgserve.errors import (
    BadTransform,
    Busy,
    CatalogUnavailable,
    IdempotencyConflict,
    ImgserveError,
    StorageFull,
    TooLarge,
    Unauthorized,
)
from tests.api_server import ApiServer, MakeClient, api_server, record, told
from tests.prefork import PATIENCE

DATA = bytes(100_000)


def _busy() -> Response:
    return told(Busy(retry_after=0))


class OneWay(io.BytesIO):
    def seekable(self) -> bool:
        return False


@contextmanager
def dropping(answers: list[bytes | None]) -> Iterator[str]:
    """Serve answers, one a connection, each to the head of a request; None closes the connection instead."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answer in answers:
            connection, _ = listener.accept()
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(65536)
                if answer:
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with closing(listener):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_busy_server_gets_the_same_request_again(api: ApiServer, client: Imgserve) -> None:
    api.first.extend([_busy, _busy])
    steps: list[int] = []
    client.upload(("a.jpg", DATA), progress=lambda sent, _: steps.append(sent))
    assert [seen.body for seen in api.seen] == [DATA] * 3
    assert len({seen.headers["idempotency-key"] for seen in api.seen}) == 1
    assert steps.count(len(DATA)) == 3


def test_every_upload_has_a_key_of_its_own(api: ApiServer, client: Imgserve) -> None:
    client.upload(("a.jpg", b"1"))
    client.upload(("b.jpg", b"1"))
    assert len({seen.headers["idempotency-key"] for seen in api.seen}) == 2


def test_a_server_that_stays_busy_is_an_error(api: ApiServer, make: MakeClient) -> None:
    api.first.extend([_busy] * 100)
    with pytest.raises(Busy):
        make(api.base_url, retries=Retries(seconds=2.0, first=0.5, most=0.8)).stats()
    assert 1 < len(api.seen) < 10


def test_a_wait_beyond_the_limit_is_not_begun(api: ApiServer, make: MakeClient) -> None:
    api.first.append(lambda: told(CatalogUnavailable(retry_after=3600)))
    began = time.monotonic()
    with pytest.raises(CatalogUnavailable) as caught:
        make(api.base_url).stats()
    assert caught.value.retry_after == 3600
    assert len(api.seen) == 1
    assert time.monotonic() - began < 60


def test_a_stream_that_cannot_go_back_is_sent_once(api: ApiServer, client: Imgserve) -> None:
    api.first.append(_busy)
    with pytest.raises(Busy):
        client.upload(("a.jpg", OneWay(DATA)))
    assert len(api.seen) == 1


@pytest.mark.parametrize("error", [Unauthorized(), StorageFull(), ImgserveError()])
def test_another_error_is_raised_at_once(api: ApiServer, client: Imgserve, error: ImgserveError) -> None:
    api.first.append(lambda: told(error))
    with pytest.raises(type(error)):
        client.stats()
    assert len(api.seen) == 1


def test_a_lost_response_is_waited_for(api: ApiServer, client: Imgserve) -> None:
    api.first.extend([_busy, lambda: told(IdempotencyConflict())])
    assert client.upload(("a.jpg", b"1")).outcome == "created"
    api.first.append(lambda: told(IdempotencyConflict()))
    with pytest.raises(IdempotencyConflict):
        client.upload(("b.jpg", b"1"))


def test_a_server_that_was_never_reached_is_an_error_at_once(make: MakeClient) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    tries: list[float] = []
    client = make(f"http://127.0.0.1:{port}", retries=Retries(report=lambda _, wait: tries.append(wait)))
    with pytest.raises(ServerUnreachable, match=f"http://127.0.0.1:{port}: cannot be reached: Connection refused"):
        client.stats()
    assert tries == []


def test_a_server_that_was_reached_is_retried_until_the_limit_and_each_wait_is_reported(make: MakeClient) -> None:
    reports: list[tuple[str, float]] = []
    retries = Retries(seconds=0.2, first=0.05, report=lambda error, wait: reports.append((error.detail, wait)))
    good = b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{"tags":[]}'
    with dropping([good]) as base_url:
        client = make(base_url, retries=retries)
        assert client.tags() == []
    with pytest.raises(ServerUnreachable, match="Connection refused"):
        client.tags()
    assert reports
    assert all(detail == f"{base_url}: cannot be reached: Connection refused" and wait > 0 for detail, wait in reports)


def test_a_connection_that_breaks_off_is_made_anew(make: MakeClient) -> None:
    good = b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{"tags":[]}'
    cut = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"
    with dropping([None, cut, good]) as base_url:
        assert make(base_url).tags() == []


def test_a_server_that_sends_nothing_is_an_error(make: MakeClient) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        client = make(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)
        with pytest.raises(ServerUnreachable, match=r"no answer within 0\.2 seconds"):
            client.stats()


def test_a_refusal_before_the_whole_file_is_sent_is_read(make: MakeClient) -> None:
    early = b'{"code": "original_too_large", "detail": "Too much."}'
    head = b"HTTP/1.1 413 No\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(early)
    with dropping([head + early]) as base_url, pytest.raises(TooLarge, match="Too much"):
        make(base_url).upload(("a.jpg", bytes(20_000_000)))


def test_a_redirect_is_not_followed_and_the_key_goes_nowhere(api: ApiServer, client: Imgserve) -> None:
    with api_server() as elsewhere:
        api.first.append(lambda: RedirectResponse(f"{elsewhere.base_url}/api/stats"))
        with pytest.raises(ImgserveError, match=r"redirects to http://.*/api/stats, which is not followed") as caught:
            client.stats()
        assert elsewhere.seen == []
    assert caught.value.status == 307


@pytest.mark.parametrize(
    ("answer", "status", "code", "detail"),
    [
        (lambda: JSONResponse({"code": "new_error", "detail": "Told.", "status": 418}, 418), 418, "new_error", "Told."),
        (lambda: PlainTextResponse("Bad gateway", 502), 502, "unknown", "The server answered 502 Bad Gateway without"),
        (lambda: JSONResponse(["no", "problem"], 500), 500, "unknown", "The server answered 500"),
        (lambda: JSONResponse({"code": "bad_transform"}, 400), 400, "bad_transform", "The server answered 400."),
    ],
)
def test_an_error_of_an_unknown_kind_has_its_status(
    api: ApiServer, client: Imgserve, answer: Callable[[], Response], status: int, code: str, detail: str
) -> None:
    api.first.append(answer)
    with pytest.raises(ImgserveError) as caught:
        client.stats()
    assert type(caught.value) is ImgserveError
    assert (caught.value.status, caught.value.code) == (status, code)
    assert caught.value.detail.startswith(detail)


def test_every_mistake_of_a_bad_request_comes_back(api: ApiServer, client: Imgserve) -> None:
    api.first.append(lambda: told(BadTransform(["a: wrong", "b: wrong"])))
    with pytest.raises(BadTransform) as caught:
        client.stats()
    assert caught.value.mistakes == ["a: wrong", "b: wrong"]


@pytest.mark.parametrize(
    "answer",
    [PlainTextResponse("<html>"), JSONResponse({"tags": [{}]}), JSONResponse(None), JSONResponse([]), Response(b"")],
)
def test_a_response_of_something_else_is_not_understood(api: ApiServer, client: Imgserve, answer: Response) -> None:
    api.answers["/api/tags"] = answer
    with pytest.raises(AnswerNotUnderstood, match="GET /api/tags"):
        client.tags()


def test_the_key_comes_from_the_environment_and_stays_out_of_sight(
    api: ApiServer, make: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.images["a.jpg"] = record("a.jpg")
    monkeypatch.setenv("IMGSERVE_KEY", "the-key")
    client = make(api.base_url, key=None)
    assert client.get("a.jpg").image_id == "a.jpg"
    assert "the-key" not in repr(vars(client))


@pytest.mark.parametrize("base_url", ["", "img.example.com", "ftp://a", "http://a?b", "http://a:port"])
def test_an_address_of_no_server_is_refused(make: MakeClient, base_url: str) -> None:
    with pytest.raises(ValueError, match=r"server|base"):
        make(base_url)


@pytest.mark.parametrize("key", ["two words", "umlaut-ä", "line\n"])
def test_a_malformed_key_is_refused_without_being_shown(make: MakeClient, key: str) -> None:
    with pytest.raises(ValueError, match="key: expected an API key") as caught:
        make("http://a", key=key)
    assert key not in str(caught.value)
