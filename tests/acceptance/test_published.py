"""An nginx that serves pictures from the cache folder: hits never reach the server, and its rules are respected."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import yaml

from imgserve.http.headers import accept_class
from imgserve.web.published import accept_folder
from tests.nginx import free_address, needs_nginx, nginx
from tests.pictures import encoded, noise, opened, quarters
from tests.servers import Server, imgserve, server, settled, until

KEY = "an-admin-key-for-tests"
BROWSER = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
pytestmark = needs_nginx


@dataclass
class Front:
    """An nginx, and the server behind it."""

    server: Server
    url: str
    photos: Path
    cache: Path

    def get(self, target: str, method: str = "GET", **headers: str) -> httpx2.Response:
        """Send a request to nginx."""
        named = {name.replace("_", "-"): value.strip() for name, value in headers.items()}
        return httpx2.request(method, self.url + target, headers={"accept": "*/*", **named})

    def is_hit(self, target: str, method: str = "GET", **headers: str) -> bool:
        """Return whether nginx answers itself."""
        return "detail=nginx" in self.get(target, method, **headers).headers.get("cache-status", "")

    def publish(self, target: str, **headers: str) -> httpx2.Response:
        """Request a picture until nginx answers itself; return the answer."""
        until(lambda: self.is_hit(target, **headers), 10)
        return self.get(target, **headers)

    def seen(self) -> float:
        """Return how many requests for pictures the server has seen."""
        return self.server.figure("imgserve_requests_total", route="image")


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Serve pictures through an nginx with the configuration that the command prints."""
    if time.time() % 1000 > 950:
        time.sleep(1001 - time.time() % 1000)
    place = tmp_path_factory.mktemp("published")
    photos, cache, settings = place / "photos", place / "cache", place / "imgserve.yaml"
    for name in ("a", "b", "c", "d", "e", "f", "keyed/a", "signed/a", "pages/a", "name with spaces"):
        settled(photos / f"{name}.png", encoded(quarters(60, 40), "png"))
    settled(photos / "noise.jpg", encoded(noise(), "jpg"))
    settings.touch(0o600)
    settings.write_text(
        yaml.safe_dump(
            {
                "access": {"admin_key": KEY},
                "cache": {"folder": str(cache), "published_urls": 100},
                "originals": {"folder": str(photos), "recheck": "0s"},
                "presets": {"card": {"width": 30}},
                "sites": {
                    "keyed": {"folder": "keyed", "rules": {"require": "key"}},
                    "signed": {"folder": "signed", "rules": {"require": "signature"}, "secrets": ["s" * 20]},
                    "pages": {"folder": "pages", "rules": {"allow_domains": ["shop.example"]}},
                },
            }
        )
    )
    env = {"IMGSERVE_CACHE__FOLDER": str(cache), "IMGSERVE_ORIGINALS__WATCH": "true"}
    address = free_address()
    with server(photos, "--config", settings, env=env) as running:
        upstream = running.base_url.removeprefix("http://")
        written = imgserve(
            "config", "nginx", "--config", settings, "--upstream", upstream, "--listen", address, cwd=place
        )
        assert written.returncode == 0, written.stderr
        with nginx(place, address, written.stdout) as url:
            yield Front(running, url, photos, cache)


HITS = [
    ("/img/a.png?width=20", "*/*", "image/png", None),
    ("/img/a.png?width=21&format=webp", "*/*", "image/webp", None),
    ("/img/a.png?width=22&auto=format", "*/*", "image/png", "Accept"),
    ("/img/a.png?width=22&auto=format", BROWSER, "image/webp", "Accept"),
    ("/img/noise.jpg?width=90&auto=format", BROWSER, "image/avif", "Accept"),
    ("/img/a.png?width=22&auto=format", "image/webp,*/*", "image/webp", "Accept"),
    ("/img/a.png", "*/*", "image/png", None),
    ("/img/a.png/card", "*/*", "image/png", None),
    ("/img/name%20with%20spaces.png?w=20", "*/*", "image/png", None),
]


def test_a_hit_is_the_picture_of_the_server_and_never_reaches_it(front: Front) -> None:
    until(lambda: sum(front.is_hit(target, accept=accept) for target, accept, _, _ in HITS) == len(HITS), 10)
    before = front.seen()
    hits = [[front.get(target, accept=accept) for _ in range(5)] for target, accept, _, _ in HITS]
    assert front.seen() == before
    for (target, accept, media_type, vary), (hit, *more) in zip(HITS, hits, strict=True):
        direct = front.server.get(target, accept=accept)
        assert {one.content for one in (hit, *more)} == {direct.content}
        assert (hit.headers["content-type"], hit.headers.get("vary")) == (media_type, vary)
        own = {"etag", "last-modified", "cache-status", "x-request-id", "server", "date", "connection"}
        missing = {"content-disposition", "cache-tag", "surrogate-key", "x-image-adjusted", "server-timing"}
        same = {name: value for name, value in direct.headers.items() if name not in own | missing}
        assert {name: value for name, value in hit.headers.items() if name not in own} == same


def test_validators_of_nginx_and_of_the_server_work_side_by_side(front: Front) -> None:
    target = "/img/a.png?width=25"
    direct, hit = front.server.get(target), front.publish(target)
    for tag in (direct.headers["etag"], hit.headers["etag"]):
        assert front.get(target, if_none_match=tag).status_code == 304
    assert front.server.get(target, if_none_match=hit.headers["etag"]).status_code == 200
    assert front.get(target, if_modified_since=hit.headers["last-modified"]).status_code == 304
    assert front.get(target, range="bytes=0-9").content == direct.content[:10]
    assert front.get(target, "HEAD").headers["content-length"] == str(len(direct.content))


UNPUBLISHED: list[tuple[str, dict[str, str], int]] = [
    ("/img/keyed/a.png?w=20", {"x_api_key": KEY}, 200),
    ("/img/keyed/a.png?w=20", {}, 401),
    ("/img/signed/a.png?w=20", {}, 403),
    ("/img/pages/a.png?w=20", {"referer": "https://shop.example/"}, 200),
    ("/img/pages/a.png?w=20", {"referer": "https://evil.example/"}, 403),
    ("/img/a.webp?w=20", {}, 200),  # another image as soon as there is a file of this name
    ("/img/a.png?w=20&download=b.png", {}, 200),
    ("/img/missing.png", {}, 404),
    ("/img/a.png?w=20", {"x_api_key": KEY}, 200),
    ("/img/a.png?w=20", {"authorization": f"Bearer {KEY}"}, 200),
    ("/img/a.png?w=20&key=" + KEY, {}, 200),
]


def test_what_not_everybody_receives_alike_is_left_to_the_server(front: Front) -> None:
    signed = imgserve("sign", "/img/signed/a.png?w=20", "--secret-file", _secret(front), cwd=front.photos)
    cases = [*UNPUBLISHED, (signed.stdout.strip(), {}, 200)]
    for _ in range(2):
        for target, headers, status in cases:
            assert front.get(target, **headers).status_code == status, target
        front.publish("/img/a.png?w=20")
        time.sleep(1.2)  # longer than it takes to publish
    assert [target for target, headers, _ in cases if front.is_hit(target, **headers)] == []


def _secret(front: Front) -> Path:
    file = front.cache / "secret"
    file.touch(0o600)
    file.write_text("s" * 20)
    return file


CHANGES = ["purge", "delete", "replace", "move"]


@pytest.mark.parametrize(("name", "change"), list(zip("bcde", CHANGES, strict=True)), ids=CHANGES)
def test_what_changes_an_image_changes_what_nginx_serves(front: Front, name: str, change: str) -> None:
    target, key = f"/img/{name}.png?width=20", {"x_api_key": KEY}
    until(lambda: front.server.get(f"/api/images/{name}.png", **key).status_code == 200)
    first = front.publish(target)
    if change == "purge":
        purged = front.server.ask("POST", f"/api/purge/{name}.png", **key)
        assert purged.status_code == 200
        assert not front.is_hit(target)
        assert front.publish(target).content == first.content
    elif change == "delete":
        assert front.server.ask("DELETE", f"/api/images/{name}.png", **key).status_code == 200
        assert front.get(target).status_code == 404
    elif change == "replace":
        settled(front.photos / f"{name}.png", encoded(quarters(60, 30), "png"))
        until(lambda: opened(front.get(target).content).height == 10, 10)
        assert opened(front.publish(target).content).height == 10
        assert front.get(target, if_none_match=first.headers["etag"]).status_code == 200
    else:
        place = f"{front.server.base_url}/api/move/{name}.png"
        moved = httpx2.post(place, headers={"x-api-key": KEY}, json={"to": "z.png"})
        assert moved.status_code == 200, moved.text
        assert front.get(target).status_code == 308


def test_an_evicted_rendition_is_rendered_again(front: Front) -> None:
    target = "/img/f.png?width=20"
    first = front.publish(target)
    for file in (front.cache / "renditions").rglob("*.png"):
        file.unlink()
    assert not front.is_hit(target)
    assert front.publish(target).content == first.content


ACCEPTS = [
    BROWSER,
    "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,*/*;q=0.5",
    "image/webp",
    "image/webp , image/png",
    "IMAGE/WEBP",
    "image/webp;q=0.5,*/*",
    "image/webp ;q=0",
    "image/webp,image/webp;q=0",
    'text/x;a=",image/webp,"',
    "ximage/webp, image/webpx, image/avif-sequence",
    "foo image/webp",
    "image/*",
    "",
    ",,image/avif,,",
    ",".join(["a/b"] * 70 + ["image/webp"]),
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8,a/b;v=b3;q=0.7",
]


@pytest.mark.parametrize("accept", ACCEPTS)
def test_a_class_of_clients_is_one_of_the_server(accept: str) -> None:
    names = accept_folder(accept).replace("none", "").split("-")
    known = {name for one in ("image/avif", "image/jxl", "image/webp") for name in accept_class(one)}
    assert not accept_folder(accept) or tuple(name for name in names if name in known) == accept_class(accept)


def test_nginx_tells_clients_apart_as_the_server_does(front: Front) -> None:
    target = "/img/noise.jpg?width=91&auto=format"
    named = [accept for accept in ACCEPTS if accept_folder(accept)]
    until(lambda: sum(front.is_hit(target, accept=accept) for accept in named) == len(named), 10)
    for accept in ACCEPTS:
        expected = front.server.get(target, accept=accept)
        assert front.get(target, accept=accept).content == expected.content, accept
        assert front.is_hit(target, accept=accept) == bool(accept_folder(accept)), accept
