"""Behind a caching nginx: no header of one client changes what another one receives."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import yaml

from tests.nginx import free_address, needs_nginx, nginx
from tests.pictures import encoded, opened, quarters
from tests.servers import Server, server, settled

OPEN, PAGES, KEYED = "/img/open/a.png?w=20&auto=format", "/img/pages/a.png?w=20", "/img/keyed/a.png?w=20"
KEY = "an-admin-key-for-tests"
CONFIG = {
    "access": {"admin_key": KEY},
    "http": {"cors_origins": ["https://shop.example", "https://blog.example"]},
    "sites": {
        "pages": {
            "folder": "pages",
            "rules": {"allow_domains": ["shop.example"], "hotlink_image": "open/stop.png"},
        },
        "keyed": {"folder": "keyed", "rules": {"require": "key"}},
    },
}
pytestmark = needs_nginx


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """Serve pictures through an nginx that caches, as its documentation shows it; yield server and address."""
    place = tmp_path_factory.mktemp("nginx")
    for folder, width in (("open", 60), ("pages", 80), ("keyed", 90)):
        settled(place / "photos" / folder / "a.png", encoded(quarters(width, 40), "png"))
    settled(place / "photos/open/stop.png", encoded(quarters(20, 60), "png"))
    settings = place / "imgserve.yaml"
    settings.touch(0o600)
    settings.write_text(yaml.safe_dump(CONFIG))
    address = free_address()
    with (
        server(place / "photos", "--config", settings) as running,
        nginx(place, address, _caching(place, address, running.base_url)) as url,
    ):
        yield running, url


def _caching(place: Path, address: str, upstream: str) -> str:
    return f"""
        proxy_cache_path {place / "cache"} keys_zone=pictures:1m;
        server {{
            listen {address};
            location / {{
                proxy_pass {upstream};
                proxy_http_version 1.1;
                proxy_set_header Host $http_host;
                proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                proxy_cache pictures;
                proxy_cache_key $request_uri;
                add_header X-Nginx $upstream_cache_status always;
            }}
        }}
        """


def asked(address: str, target: str, **headers: str) -> tuple[int, str, int, str]:
    """Return status, media type and width of a picture, and what nginx says of its cache."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = httpx2.get(address + target, headers={"accept": "*/*", **named})
    width = opened(answer.content).width if answer.status_code == 200 else 0
    return answer.status_code, answer.headers["content-type"], width, answer.headers["x-nginx"]


POISON = [
    {"host": "evil.example"},
    {"x-forwarded-host": "evil.example"},
    {"x-forwarded-proto": "https", "x-forwarded-for": "10.0.0.1", "forwarded": "host=evil.example"},
    {"accept": "image/webp,*/*"},
    {"accept": "image/avif"},
    {"origin": "https://evil.example"},
    {"origin": "https://blog.example"},
    {"referer": "https://evil.example/"},
    {"x-api-key": KEY},
    {"range": "bytes=0-9"},
    {"if-none-match": "*"},
]


@pytest.mark.parametrize("poison", POISON, ids=str)
def test_no_header_of_one_client_changes_what_another_one_receives(
    behind: tuple[Server, str], poison: dict[str, str]
) -> None:
    running, address = behind
    number = POISON.index(poison)
    for site, target in (("open", OPEN), ("pages", PAGES), ("keyed", KEYED)):
        fresh = f"{target}&v={number}"
        before = httpx2.get(address + fresh, headers={"accept": "*/*", **poison})
        assert before.status_code < 500
        honest = {"referer": "https://shop.example/cart"} if site == "pages" else {}
        seen = asked(address, fresh, **honest)
        expected = (401, "application/problem+json", 0) if site == "keyed" else (200, "image/png", 20)
        assert seen[:3] == expected, (site, poison)
        page = {**honest, "origin": "https://shop.example"}
        allowed = httpx2.get(address + fresh, headers={"accept": "*/*", **page}).headers
        if site != "keyed":
            assert allowed["access-control-allow-origin"] == "https://shop.example"
    assert running.process.poll() is None


def test_nginx_serves_public_pictures_from_its_cache_and_no_others(behind: tuple[Server, str]) -> None:
    _, address = behind
    shop = {"referer": "https://shop.example/"}
    assert [asked(address, f"{OPEN}&q=7")[3] for _ in range(2)] == ["MISS", "HIT"]
    assert [asked(address, f"{PAGES}&q=7", **shop)[3] for _ in range(2)] == ["MISS", "HIT"]
    hotlinked = [asked(address, f"{PAGES}&q=7", referer="https://evil.example/") for _ in range(2)]
    assert [(status, cached) for status, _, _, cached in hotlinked] == [(200, "MISS")] * 2
    assert [asked(address, f"{KEYED}&q=7", x_api_key=KEY)[3] for _ in range(2)] == ["MISS"] * 2
