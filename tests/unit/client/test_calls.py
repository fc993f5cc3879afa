"""Calls as values: what both clients have in common."""

import inspect
import re
from datetime import UTC, datetime

import pytest

from imgserve.client.api import AsyncImgserve, Imgserve
from imgserve.client.call import Call
from imgserve.client.errors import error_of
from imgserve.client.files import file_body
from imgserve.errors import ConfigError, ImgserveError, every_error
from imgserve.http.headers import retry_after_seconds

METHODS = sorted(name for name, _ in inspect.getmembers(Imgserve, inspect.isfunction) if not name.startswith("_"))


def test_both_clients_have_the_same_methods() -> None:
    others = {name for name, _ in inspect.getmembers(AsyncImgserve, inspect.isfunction) if not name.startswith("_")}
    assert others == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_the_same_signature_and_docstring_in_both_clients(name: str) -> None:
    one, other = getattr(Imgserve, name), getattr(AsyncImgserve, name)
    ours, theirs = inspect.signature(one).parameters, dict(inspect.signature(other).parameters)
    if name == "upload_many":
        assert theirs.pop("parallel").default == 4
        assert one.__doc__ != other.__doc__
    else:
        assert one.__doc__ == other.__doc__
    assert list(ours.values()) == list(theirs.values())


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.code)
def test_every_error_of_the_server_comes_back_as_itself(kind: type[ImgserveError]) -> None:
    members = b', "mistakes": ["w: wrong"]' if kind.code == "bad_transform" else b', "limit": 5'
    body = b'{"type": "t", "code": "%s", "detail": "Told.", "request_id": "7"%s}' % (kind.code.encode(), members)
    error = error_of(kind.status, {"retry-after": "3"}, body)
    assert type(error) is kind
    assert (error.status, error.code) == (kind.status, kind.code)
    if kind.code != "bad_transform":
        assert (error.detail, error.retry_after, error.members) == ("Told.", 3, {"request_id": "7", "limit": 5})


def test_an_error_that_no_server_answers_with_is_not_made() -> None:
    assert type(error_of(500, {}, b'{"code": "config_error"}')) is not ConfigError


def test_an_unknown_error_does_not_change_its_class() -> None:
    error = error_of(418, {}, b'{"code": "teapot"}')
    assert (error.status, error.code) == (418, "teapot")
    assert (ImgserveError.status, ImgserveError.code, ImgserveError().status) == (500, "internal_error", 500)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), (" 7 ", 7), ("", None), ("soon", None), ("-3", None), ("Fri, 20 Nov 2026 12:00:30 GMT", 30),
     ("Fri, 20 Nov 2026 11:00:00 GMT", 0)],
)  # fmt: skip
def test_a_retry_after_is_seconds_or_a_date(text: str, seconds: int | None) -> None:
    assert retry_after_seconds(text, datetime(2026, 11, 20, 12, tzinfo=UTC)) == seconds


def test_every_call_has_a_key_of_its_own() -> None:
    calls = [Call(method=method, path="/api/images", read=bool) for method in ("POST", "POST", "PUT")]
    first, second, put = (call.all_headers for call in calls)
    assert re.fullmatch(r"[0-9a-f-]{36}", first["idempotency-key"])
    assert first["idempotency-key"] == calls[0].all_headers["idempotency-key"] != second["idempotency-key"]
    assert "idempotency-key" not in put


def test_the_same_bytes_are_read_at_every_opening() -> None:
    body = file_body(b"12345")
    assert [body.open().read(), body.open().read()] == [b"12345", b"12345"]
