"""The server's own pages: conditional requests, dates, addresses, and who may see them."""

import base64
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from imgserve.access.keys import key_digest
from imgserve.metrics import Metrics
from imgserve.originals.writable import WritableOriginals
from imgserve.web.access_log import AccessLog
from imgserve.web.api.docs import ApiDocument
from imgserve.web.documents import Readers
from imgserve.web.middleware import RequestLog, RequestMetrics, RequestMiddleware, as_our_error
from imgserve.web.operations import MetricsAccess, Operations
from imgserve.web.pages import Pages, routes, static_folder
from tests.access_rig import OPEN, access_of

pytestmark = pytest.mark.anyio

KEY = "img_a-key-for-tests"
PAGES = ("/", "/docs/errors", "/docs/api", "/openapi.json", "/robots.txt", "/favicon.ico", "/static/imgserve.css")
LOCAL = ("127.0.0.1", 5000)
REMOTE = ("203.0.113.5", 5000)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def _problems(image_ids: Sequence[str]) -> Collection[str]:
    return [image_id for image_id in image_ids if "broken" in image_id]


async def _check() -> Mapping[str, str]:
    return {}


def app_of(folder: Path, *, readers: Readers = "everyone", static: Path | None = None) -> Starlette:
    """Build the pages over a folder of originals."""
    registry, static = CollectorRegistry(), static or static_folder()
    metrics = Metrics(registry)
    access = access_of(key_digest(KEY), metrics=metrics)
    pages = Pages(static, WritableOriginals(folder), OPEN, "/img", "1.2.3", problems=_problems)
    document = ApiDocument([], static, prefix="/img", version="1.2.3")
    operations = Operations(_check, registry, lambda: None, MetricsAccess())
    recording = Middleware(
        RequestMiddleware,
        requests=RequestLog(RequestMetrics(metrics), AccessLog("off")),
        allowed_hosts=("*",),
        not_found_max_age=10,
    )
    return Starlette(
        routes=routes(operations, pages, *document.routes(access, readers), access=access, welcome=readers),
        middleware=[recording],
        exception_handlers={HTTPException: as_our_error},
    )


async def ask(app: Starlette, target: str, method: str = "GET", client: Any = LOCAL, **headers: str) -> httpx2.Response:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    transport = httpx2.ASGITransport(app=app, client=client)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000") as session:
        return await session.request(method, target, headers=fields)


@pytest.mark.parametrize("target", PAGES)
async def test_a_page_honors_conditional_requests_and_limits_caching(tmp_path: Path, target: str) -> None:
    app = app_of(tmp_path)
    whole = await ask(app, target)
    tag = whole.headers["etag"]
    plain = await ask(app, target, accept_encoding="identity")
    assert (plain.status_code, plain.headers["content-length"]) == (200, str(len(whole.content)))
    assert whole.headers["cache-control"]
    assert whole.headers["x-content-type-options"] == "nosniff"
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await ask(app, target, if_none_match=given)
        assert (again.status_code, again.content) == (304, b"")
        assert {name: again.headers[name] for name in ("etag", "cache-control")} == {
            "etag": tag,
            "cache-control": whole.headers["cache-control"],
        }
    assert (await ask(app, target, if_none_match='"other"')).content == whole.content
    assert (await ask(app, target, if_match='"other"')).status_code == 412
    assert (await ask(app, target, if_match=tag)).status_code == 200


@pytest.mark.parametrize("target", PAGES)
async def test_head_has_the_headers_of_get(tmp_path: Path, target: str) -> None:
    app = app_of(tmp_path)
    whole, head = await ask(app, target), await ask(app, target, "HEAD")
    assert head.content == b""
    assert head.headers.items() - whole.headers.items() == {("x-request-id", head.headers["x-request-id"])}


async def test_a_file_is_dated_and_never_later_than_its_response(tmp_path: Path) -> None:
    static = tmp_path / "static"
    static.mkdir()
    for name in ("welcome.html", "errors.html", "api.html", "robots.txt"):
        (static / name).write_bytes((static_folder() / name).read_bytes())
        os.utime(static / name, (1_420_070_400, 1_420_070_400))
    app = app_of(tmp_path, static=static)
    assert (await ask(app, "/robots.txt")).headers["last-modified"] == "Thu, 01 Jan 2015 00:00:00 GMT"
    since = await ask(app, "/robots.txt", if_modified_since="Thu, 01 Jan 2015 00:00:00 GMT")
    assert since.status_code == 304
    os.utime(static / "robots.txt", (32_503_680_000, 32_503_680_000))
    assert not (await ask(app, "/robots.txt")).headers["last-modified"].endswith("3000 00:00:00 GMT")


@pytest.mark.parametrize(
    "path", ["absent.css", "", "samples", "../pyproject.toml", "%2e%2e/pyproject.toml", "a" * 300, "%00"]
)
async def test_nothing_but_files_of_the_static_folder_is_served(tmp_path: Path, path: str) -> None:
    answer = await ask(app_of(tmp_path), f"/static/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("client", [LOCAL, REMOTE])
@pytest.mark.parametrize("target", ["/", "/docs/api", "/openapi.json"])
async def test_a_page_can_be_disabled(tmp_path: Path, target: str, client: Any) -> None:
    assert (await ask(app_of(tmp_path, readers="off"), target, client=client)).status_code == 404


@pytest.mark.parametrize("target", ["/", "/docs/api", "/openapi.json"])
async def test_a_page_can_be_limited_to_the_machine(tmp_path: Path, target: str) -> None:
    app = app_of(tmp_path, readers="loopback")
    assert (await ask(app, target)).status_code == 200
    assert (await ask(app, target, client=REMOTE)).status_code == 404
    assert (await ask(app, target, x_forwarded_for="127.0.0.1")).status_code == 404


@pytest.mark.parametrize("target", ["/", "/docs/api", "/openapi.json"])
async def test_a_page_can_require_the_key_which_browsers_ask_for(tmp_path: Path, target: str) -> None:
    app = app_of(tmp_path, readers="key")
    refused = await ask(app, target)
    assert (refused.status_code, refused.headers["cache-control"]) == (401, "no-store")
    assert 'Basic realm="imgserve"' in refused.headers["www-authenticate"]
    for wrong in ("Basic !", "Basic " + base64.b64encode(b"user:wrong").decode(), "Bearer wrong"):
        assert (await ask(app, target, authorization=wrong)).status_code == 401
    for right in ("Basic " + base64.b64encode(f"any:{KEY}".encode()).decode(), f"Bearer {KEY}"):
        opened = await ask(app, target, authorization=right)
        assert (opened.status_code, opened.headers["cache-control"]) == (200, "private, no-cache")
    assert (await ask(app, "/docs/errors")).status_code == 200


async def test_only_the_machine_itself_sees_names_of_originals(tmp_path: Path) -> None:
    (tmp_path / "secret name.jpg").write_bytes((static_folder() / "samples/balloon.jpg").read_bytes())
    app = app_of(tmp_path)
    assert "secret%20name" in (await ask(app, "/")).text
    for headers in ({"x_forwarded_for": "127.0.0.1"}, {"via": "1.1 proxy"}, {"host": "img.example.com"}):
        assert "secret" not in (await ask(app, "/", **headers)).text
    remote = await ask(app, "/", client=REMOTE)
    assert "secret" not in remote.text
    assert "no public picture yet" not in remote.text


async def test_examples_have_the_address_that_the_client_used(tmp_path: Path) -> None:
    text = (await ask(app_of(tmp_path), "/", host="img.example.org")).text
    assert 'src="http://img.example.org/img/shoe.jpg' in text
    assert "$" not in text


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("deflate,gzip ; q=0.1", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, br", False),
        ("x-gzip", False),
    ],
)
async def test_text_is_compressed_for_clients_that_accept_it(
    tmp_path: Path, accepted: str, *, compressed: bool
) -> None:
    app, path = app_of(tmp_path), "/static/vendor/pico.min.css"
    plain = await ask(app, path, accept_encoding="identity")
    found = await ask(app, path, accept_encoding=accepted)
    assert found.content == (static_folder() / "vendor/pico.min.css").read_bytes()
    assert (found.headers.get("content-encoding") == "gzip") == compressed
    assert (found.headers["etag"] != plain.headers["etag"]) == compressed
    assert "accept-encoding" in found.headers["vary"].lower()
    again = await ask(app, path, accept_encoding=accepted, if_none_match=found.headers["etag"])
    assert again.status_code == 304


async def test_pictures_and_fonts_are_not_compressed_again(tmp_path: Path) -> None:
    found = await ask(app_of(tmp_path), "/static/samples/balloon.jpg", accept_encoding="gzip")
    assert "content-encoding" not in found.headers


async def test_a_path_with_the_version_has_the_same_file(tmp_path: Path) -> None:
    app = app_of(tmp_path)
    assert (await ask(app, "/static/@1.2.3/imgserve.css")).text == (await ask(app, "/static/imgserve.css")).text


async def test_files_that_are_not_usable_images_are_not_shown(tmp_path: Path) -> None:
    for name in ("a.jpg", "broken.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(b"")
    page = (await ask(app_of(tmp_path), "/", client=LOCAL, host="127.0.0.1")).text
    assert ["a.jpg" in page, "broken.jpg" in page, "c.jpg" in page] == [True, False, True]
