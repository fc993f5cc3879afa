"""Who may read the metrics."""

from typing import Any

import pytest
from starlette.requests import Request

from imgserve.web.operations import MetricsAccess, is_local

BEARER = "sixteen-characters"
DIRECT = {"host": "127.0.0.1:8000"}


def request(client: str | None = "127.0.0.1", version: str = "1.1", **headers: str) -> Request:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in {**DIRECT, **headers}.items()]
    scope: dict[str, Any] = {"type": "http", "http_version": version, "headers": fields}
    return Request(scope | {"client": (client, 50000) if client else None})


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:80", "LOCALHOST", "[::1]:8000"])
def test_a_direct_request_of_this_machine_is_local(client: str, host: str) -> None:
    assert is_local(request(client, host=host))


@pytest.mark.parametrize(
    "proxied",
    [
        request("192.0.2.7"),
        request("2001:db8::1"),
        request(None),
        request("testclient"),
        request(version="1.0"),
        request(host="img.example.com"),
        request(host="127.0.0.1.example.com"),
        request(host=""),
        request(x_forwarded_for="192.0.2.7"),
        request(x_forwarded_for="127.0.0.1"),
        request(x_real_ip="192.0.2.7"),
        request(forwarded="for=192.0.2.7"),
        request(via="1.1 varnish"),
        request("::1", x_forwarded_proto="https"),
    ],
    ids=lambda item: f"{item.client} {dict(item.headers)}",
)
def test_what_may_have_come_through_a_proxy_is_not_local(proxied: Request) -> None:
    assert not is_local(proxied)
    assert not MetricsAccess().allows(proxied)


PROXIED = request("192.0.2.7", host="img.example.com", authorization="Bearer sixteen-characters")


@pytest.mark.parametrize(
    ("access", "allowed"),
    [
        (MetricsAccess(open_to=("everyone",)), True),
        (MetricsAccess(open_to=("192.0.2.0/24",)), True),
        (MetricsAccess(open_to=("loopback", "192.0.2.7")), True),
        (MetricsAccess(open_to=("198.51.100.0/24", "2001:db8::/32")), False),
        (MetricsAccess(token=BEARER), True),
        (MetricsAccess(token=BEARER[:-1]), False),
        (MetricsAccess(), False),
        (MetricsAccess(enabled=False, open_to=("everyone",), token=BEARER), False),
    ],
)
def test_settings_open_the_metrics(access: MetricsAccess, allowed: bool) -> None:
    assert access.allows(PROXIED) is allowed


def test_a_token_needs_its_scheme() -> None:
    access = MetricsAccess(token=BEARER)
    assert not access.allows(request("192.0.2.7", authorization="Basic sixteen-characters"))
    assert not access.allows(request("192.0.2.7", authorization="Bearer"))
    assert not access.allows(request("192.0.2.7", authorization="Bearer \udcff".encode("utf-8", "replace").decode()))
