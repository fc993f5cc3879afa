"""A real Varnish and a real Caddy with the files of deploy/: cache keys, purges, and what may not be stored."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest
import yaml

from tests.nginx import answers, free_address
from tests.pictures import encoded, noise, opened, quarters
from tests.servers import Server, server, settled, until

DEPLOY = Path(__file__).parents[2] / "deploy"
VARNISH, CADDY = (shutil.which(name) or f"/usr/sbin/{name}" for name in ("varnishd", "caddy"))
needs_varnish = pytest.mark.skipif(not Path(VARNISH).exists(), reason="varnish is not installed")
needs_caddy = pytest.mark.skipif(not Path(CADDY).exists(), reason="caddy is not installed")
KEY = "an-admin-key-for-tests"
BROWSERS = (
    "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
)


class Front(NamedTuple):
    """A cache, and the server behind it."""

    server: Server
    url: str
    photos: Path


@contextlib.contextmanager
def serving(place: Path, varnish: str) -> Iterator[Server]:
    """Serve pictures that everybody may see, and some for keys and for pages of one domain."""
    for name in ("a.png", "b.png", "keyed/a.png", "pages/a.png"):
        settled(place / "photos" / name, encoded(quarters(80, 40), "png"))
    settled(place / "photos/noise.jpg", encoded(noise(), "jpg"))
    settings = place / "imgserve.yaml"
    settings.touch(0o600)
    config = {
        "access": {"admin_key": KEY},
        "cdn": {"varnish_urls": [varnish]} if varnish else {},
        "sites": {
            "keyed": {"folder": "keyed", "rules": {"require": "key"}},
            "pages": {"folder": "pages", "rules": {"allow_domains": ["shop.example"]}},
        },
    }
    settings.write_text(yaml.safe_dump(config))
    with server(place / "photos", "--config", settings, env={"IMGSERVE_ORIGINALS__WATCH": "true"}) as running:
        yield running


@contextlib.contextmanager
def program(command: list[str], address: str, log: Path) -> Iterator[str]:
    """Run a program in the foreground until the block ends; yield its URL."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "HOME": str(log.parent)})
    try:
        until(lambda: answers(address) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def varnish(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Serve pictures through a Varnish with our VCL."""
    place, address = tmp_path_factory.mktemp("varnish"), free_address()
    with serving(place, f"http://{address}") as running:
        host, _, port = running.base_url.removeprefix("http://").rpartition(":")
        text = (DEPLOY / "varnish/imgserve.vcl").read_text(encoding="utf-8")
        ours = text.replace('.host = "127.0.0.1"', f'.host = "{host}"').replace('.port = "8000"', f'.port = "{port}"')
        assert ours != text
        (place / "imgserve.vcl").write_text(ours)
        command = [VARNISH, "-F", "-n", str(place / "work"), "-a", address, "-f", str(place / "imgserve.vcl")]
        # Without a jail: the test may not be root, and its folders are its own.
        with program([*command, "-j", "none", "-s", "malloc,32m"], address, place / "log") as url:
            yield Front(running, url, place / "photos")


def ask(url: str, target: str, method: str = "GET", **headers: str) -> httpx2.Response:
    """Send a request."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.request(method, url + target, headers={"accept": "*/*", **named})


def hits(url: str, target: str, **headers: str) -> list[str]:
    """Request a picture twice; return what Varnish says."""
    return [ask(url, target, **headers).headers["x-cache"] for _ in range(2)]


@needs_varnish
def test_varnish_has_one_variant_for_each_class_of_clients(varnish: Front) -> None:
    running, url, _ = varnish
    target = "/img/noise.jpg?width=90&auto=format"
    assert hits(url, target, accept=BROWSERS[0]) == ["MISS", "HIT"]
    assert ask(url, target, accept=BROWSERS[1]).headers["x-cache"] == "HIT"
    assert hits(url, target, accept="image/webp,*/*") == ["MISS", "HIT"]
    assert hits(url, target) == ["MISS", "HIT"]
    for accept in (*BROWSERS, "image/webp,*/*", "*/*", "image/webp;q=0.1,image/jpeg", "image/webp;q=1,*/*;q=0.1"):
        expected = running.get(target, accept=accept)
        seen = ask(url, target, accept=accept)
        assert (seen.content, seen.headers["etag"]) == (expected.content, expected.headers["etag"]), accept
        assert seen.headers["vary"] == "Accept"


@needs_varnish
def test_varnish_ignores_the_order_of_parameters_and_tells_hosts_apart(varnish: Front) -> None:
    _, url, _ = varnish
    assert hits(url, "/img/a.png?width=30&format=webp") == ["MISS", "HIT"]
    assert ask(url, "/img/a.png?format=webp&width=30").headers["x-cache"] == "HIT"
    assert ask(url, "/img/a.png?format=webp&width=30", host="other.example").headers["x-cache"] == "MISS"
    assert ask(url, "/img/a.png?format=webp&width=30", cookie="session=1").headers["x-cache"] == "HIT"


@needs_varnish
def test_varnish_stores_nothing_that_is_for_some_only(varnish: Front) -> None:
    _, url, _ = varnish
    keyed = "/img/keyed/a.png?w=20"
    assert [ask(url, keyed, x_api_key=KEY).status_code for _ in range(2)] == [200, 200]
    assert ask(url, keyed).status_code == 401
    pages = "/img/pages/a.png?w=20"
    assert [ask(url, pages, referer="https://shop.example/").status_code for _ in range(2)] == [200, 200]
    assert ask(url, pages, referer="https://evil.example/").status_code == 403


@needs_varnish
def test_a_change_purges_varnish(varnish: Front) -> None:
    running, url, photos = varnish
    for target in ("/img/a.png?width=40", "/img/b.png?width=40", "/img/b.webp?width=41"):
        assert hits(url, target) == ["MISS", "HIT"]
    settled(photos / "b.png", encoded(quarters(80, 20), "png"))
    until(lambda: opened(ask(url, "/img/b.png?width=40").content).height == 10, 10)
    until(lambda: opened(ask(url, "/img/b.webp?width=41").content).height == 10, 10)
    assert ask(url, "/img/a.png?width=40").headers["x-cache"] == "HIT"
    assert running.ask("POST", "/api/purge/a.png", x_api_key=KEY).status_code == 200
    until(lambda: ask(url, "/img/a.png?width=40").headers["x-cache"] == "MISS", 10)


@needs_varnish
def test_only_purgers_may_ban(varnish: Front) -> None:
    _, url, _ = varnish
    assert hits(url, "/img/a.png?width=45") == ["MISS", "HIT"]
    assert ask(url, "/", "BAN", x_cache_tag="(").status_code == 400
    assert ask(url, "/", "BAN", x_cache_tag="i-0000000000000000").status_code == 200
    assert ask(url, "/img/a.png?width=45").headers["x-cache"] == "HIT"
    assert ask(url, "/", "BAN", x_cache_tag="imgserve").status_code == 200
    assert ask(url, "/img/a.png?width=45").headers["x-cache"] == "MISS"


@needs_caddy
def test_caddy_passes_pictures_on_as_they_are(tmp_path: Path) -> None:
    address = free_address()
    with serving(tmp_path, "") as running:
        text = (DEPLOY / "caddy/Caddyfile").read_text(encoding="utf-8")
        file = tmp_path / "Caddyfile"
        ours = text.replace("img.example.com", f"http://{address}").replace("127.0.0.1:8000", running.base_url[7:])
        file.write_text("{\n\tadmin off\n}\n" + ours)
        command = [CADDY, "run", "--config", str(file), "--adapter", "caddyfile"]
        with program(command, address, tmp_path / "log") as url:
            target = "/img/a.png?width=40&auto=format"
            direct, seen = running.get(target, accept=BROWSERS[0]), ask(url, target, accept=BROWSERS[0])
            assert (seen.content, seen.headers["etag"]) == (direct.content, direct.headers["etag"])
            assert ask(url, target, accept=BROWSERS[0], if_none_match=seen.headers["etag"]).status_code == 304
            assert ask(url, target, range="bytes=0-9").status_code == 206
            uploaded = httpx2.post(
                f"{url}/api/images?id=new.png",
                headers={"x-api-key": KEY, "content-type": "image/png"},
                content=encoded(quarters(20, 20), "png"),
            )
            assert uploaded.status_code == 201, uploaded.text
