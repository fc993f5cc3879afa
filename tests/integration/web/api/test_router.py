"""What every endpoint has from its declaration alone."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from imgserve.access.keys import Scope
from imgserve.catalog import IdempotencyKeys
from imgserve.errors import ImageNotFound
from imgserve.metrics import Metrics
from imgserve.web.api.endpoint import endpoint
from imgserve.web.api.openapi import openapi
from tests.api_frame import AUTHORIZED, KEY, Echo, Query, Things, api_of, asked, served
from tests.catalogs import Catalog, opened

pytestmark = pytest.mark.anyio
WISH = {"title": "x"}


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    async with opened(f"sqlite:///{tmp_path}/catalog.sqlite") as made:
        yield made


@pytest.fixture
def things() -> Things:
    return Things()


@pytest.fixture
def app(catalog: Catalog, things: Things) -> Starlette:
    return served(api_of([things], IdempotencyKeys(catalog.database)))


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY} "},
        {"x-api-key": KEY},
        {"x-api-key": KEY, "authorization": "Basic Zm9v"},
        {"x-api-key": KEY, "authorization": f"Bearer {KEY}"},
    ],
)
async def test_a_key_is_taken_from_either_header(app: Starlette, headers: dict[str, str]) -> None:
    assert (await asked(app, "GET", "/api/things", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": KEY},
        {"authorization": "Bearer"},
        {"authorization": "Basic Zm9v"},
        {"x-api-key": ""},
        {"x-api-key": KEY + "x"},
    ],
)
async def test_without_the_key_nothing_is_even_looked_at(
    app: Starlette, things: Things, headers: dict[str, str]
) -> None:
    for method, target in [("GET", "/api/things?limit=wrong"), ("POST", "/api/wish/x"), ("POST", "/api/fail")]:
        answer = await asked(app, method, target, headers=headers, content=b"no json")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["cache-control"] == "no-store"
    assert things.calls == 0


async def test_two_different_keys_are_a_mistake_before_anything_is_looked_at(app: Starlette, things: Things) -> None:
    headers = {"x-api-key": "other", "authorization": f"Bearer {KEY}"}
    answer = await asked(app, "GET", "/api/things?limit=wrong", headers=headers)
    assert (answer.status_code, answer.json()["code"], things.calls) == (400, "bad_request", 0)


async def test_a_key_in_the_query_is_no_key(app: Starlette) -> None:
    assert (await asked(app, "GET", f"/api/things?api_key={KEY}", headers={})).status_code == 401


async def test_head_is_a_get_whose_body_is_kept_back(app: Starlette) -> None:
    got, head = await asked(app, "GET", "/api/things"), await asked(app, "HEAD", "/api/things")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize(
    ("method", "target", "status", "allow"),
    [
        ("PUT", "/api/things", 405, "GET, HEAD"),
        ("OPTIONS", "/api/things", 405, "GET, HEAD"),
        ("GET", "/api/fail", 405, "POST"),
        ("GET", "/api/", 404, None),
        ("GET", "/api/thing", 404, None),
        ("GET", "/api/things/", 404, None),
        ("GET", "/%61pi/things", 404, None),
        ("GET", "/api/%74hings", 404, None),
    ],
)
async def test_other_methods_and_addresses_are_refused_in_json(
    app: Starlette, method: str, target: str, status: int, allow: str | None
) -> None:
    answer = await asked(app, method, target)
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("path", "image_id"),
    [
        ("a/b", "a/b"),
        ("a%2Fb", "a/b"),
        ("%FF%0A", "\udcff\n"),
        ("%25", "%"),
        ("a//b", "a//b"),
        ("%2E%2E%2Fx", "../x"),
        ("wish", "wish"),
        ("a%2Fwish", "a/wish"),
    ],
)
async def test_a_piece_of_the_path_is_reported_as_it_was_selected(app: Starlette, path: str, image_id: str) -> None:
    assert (await asked(app, "GET", f"/api/things/{path}")).json()["told"]["id"] == image_id


@pytest.mark.parametrize(
    ("content", "status", "detail"),
    [
        (b"", 400, "Expected a JSON body."),
        (b"{", 400, "The body is not JSON: Expecting property name enclosed in double quotes in line 1, column 2."),
        (b'{"title": "\xff"}', 400, "The body is not UTF-8."),
        (b'{"title": "a", "title": "b"}', 400, 'The body contains "title" more than once in one object.'),
        (b'{"title": NaN}', 400, "The body is not JSON: NaN is not a number."),
        (b'{"numbers": [' + b"1" * 5000 + b"]}", 400, "The body is not JSON: it contains a number that is too long."),
        (b"[" * 200_000, 400, "The body is nested too deeply."),
        (b'{"title": "' + b"x" * 1_000_000 + b'"}', 413, "The body is larger than 1000000 bytes."),
    ],
)
async def test_a_body_that_is_no_clear_json_is_refused(
    app: Starlette, things: Things, content: bytes, status: int, detail: str
) -> None:
    answer = await asked(
        app, "POST", "/api/wish/x", content=content, headers=AUTHORIZED | {"content-type": "application/json"}
    )
    assert (answer.status_code, answer.json()["detail"], things.calls) == (status, detail, 0)


async def test_a_body_without_a_length_is_cut_off_where_it_grows_too_large(app: Starlette) -> None:
    async def long() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    headers = AUTHORIZED | {"content-type": "application/json"}
    answer = await asked(app, "POST", "/api/wish/x", content=long(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
async def test_a_body_of_another_type_is_refused(app: Starlette, media_type: str) -> None:
    headers = AUTHORIZED | {"content-type": media_type}
    answer = await asked(app, "POST", "/api/wish/x", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_content")


async def test_all_mistakes_of_query_and_body_are_reported_at_once(app: Starlette) -> None:
    body = {"title": "much too long", "numbers": [1, "x", True, 1.5], "titel": ""}
    answer = await asked(app, "POST", "/api/wish/x?limit=0&limit=1&all=1&tag=a", json=body)
    assert answer.json()["mistakes"] == [
        "limit: appears more than once",
        "limit: expected at least 1, but received 0",
        'all: expected true or false, but received "1"',
        'title: expected text of at most 10 characters, but received "much too long"',
        'numbers.1: expected a whole number, but received "x"',
        "numbers.2: expected a whole number, but received true",
        "numbers.3: expected a whole number, but received 1.5",
        'titel: there is no such name here, did you mean "title"?',
    ]


async def test_a_repeated_request_gets_the_first_answer(app: Starlette, things: Things) -> None:
    headers = AUTHORIZED | {"idempotency-key": "k"}
    first = await asked(app, "POST", "/api/wish/x", json=WISH, headers=headers)
    again = await asked(app, "POST", "/api/wish/x", json=WISH, headers=headers)
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert (again.headers["idempotent-replayed"], things.calls) == ("true", 1)
    assert "idempotent-replayed" not in first.headers


@pytest.mark.parametrize(
    ("target", "body"),
    [("/api/wish/x", {"title": "y"}), ("/api/wish/y", WISH), ("/api/wish/x?limit=5", WISH)],
)
async def test_the_same_key_for_another_request_is_a_conflict(app: Starlette, target: str, body: object) -> None:
    headers = AUTHORIZED | {"idempotency-key": "k"}
    await asked(app, "POST", "/api/wish/x", json=WISH, headers=headers)
    answer = await asked(app, "POST", target, json=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_conflict")


async def test_a_request_that_failed_can_be_tried_again_with_its_key(app: Starlette, things: Things) -> None:
    headers = AUTHORIZED | {"idempotency-key": "k"}
    answers = [await asked(app, "POST", "/api/fail", headers=headers) for _ in range(2)]
    assert ([answer.status_code for answer in answers], things.calls) == ([404, 404], 2)


async def test_an_answer_that_is_no_json_value_is_not_kept(app: Starlette, things: Things) -> None:
    headers = AUTHORIZED | {"idempotency-key": "k", "content-type": "application/octet-stream"}
    answers = [await asked(app, "POST", "/api/stream", content=b"abc", headers=headers) for _ in range(2)]
    assert ([answer.text for answer in answers], things.calls) == (["3 bytes for admin"] * 2, 2)
    assert answers[0].headers["cache-control"] == "no-store"


async def test_a_streamed_request_is_known_by_its_body(app: Starlette, things: Things) -> None:
    headers = AUTHORIZED | {"idempotency-key": "k", "content-type": "application/json"}
    answers = [await asked(app, "POST", "/api/stream", json=WISH, headers=headers) for _ in range(2)]
    assert [(one.status_code, one.headers["location"]) for one in answers] == [(202, "/there")] * 2
    assert things.calls == 1
    for title in ("longer", "y"):
        other = await asked(app, "POST", "/api/stream", json={"title": title}, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
    assert things.calls == 1


async def test_a_streamed_body_without_a_length_is_compared_to_its_end(app: Starlette, things: Things) -> None:
    headers = AUTHORIZED | {"idempotency-key": "k", "content-type": "application/json"}

    async def pieces(text: str) -> AsyncIterator[bytes]:
        for letter in text:
            yield letter.encode()

    texts = ['{"title": "x"}', '{"title": "x"}', '{"title": "x"} ', '{"title": "x"']
    answers = [await asked(app, "POST", "/api/stream", content=pieces(text), headers=headers) for text in texts]
    assert [answer.status_code for answer in answers] == [202, 202, 422, 422]
    assert things.calls == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ü"])
async def test_a_key_that_is_no_text_is_refused(app: Starlette, key: str) -> None:
    headers = [(b"authorization", AUTHORIZED["authorization"].encode()), (b"idempotency-key", key.encode("latin-1"))]
    answer = await asked(app, "POST", "/api/fail", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


async def test_requests_are_counted_as_those_of_the_api(catalog: Catalog) -> None:
    metrics = Metrics(CollectorRegistry())
    app = served(api_of([Things()], IdempotencyKeys(catalog.database)), metrics)
    await asked(app, "GET", "/api/things")
    await asked(app, "GET", "/api/none")
    figure = metrics.registry.get_sample_value
    assert figure("imgserve_requests_total", {"route": "api", "status": "200", "outcome": "ok"}) == 1
    assert figure("imgserve_requests_total", {"route": "api", "status": "404", "outcome": "not_found"}) == 1


async def test_the_document_reports_what_was_declared(catalog: Catalog) -> None:
    api = api_of([Things()], IdempotencyKeys(catalog.database))
    document: Any = json.loads(json.dumps(openapi(api.endpoints, prefix="/img", version="1")))
    wish = document["paths"]["/api/wish/{image_id}"]["post"]
    assert [one["name"] for one in wish["parameters"]] == ["image_id", "limit", "tag", "all", "Idempotency-Key"]
    assert sorted(wish["responses"]) == ["201", "400", "401", "403", "413", "415", "422", "503"]
    get = document["paths"]["/api/things/{image_id}"]["get"]
    assert "`image_not_found`" in get["responses"]["404"]["description"]
    assert get["description"] == "Report a thing."


async def test_an_endpoint_whose_path_and_parameters_differ_is_not_declared() -> None:
    with pytest.raises(TypeError, match="image_id"):

        class Wrong:
            @endpoint("GET", "/api/x/{image_id}", Scope.READ, "x", errors=[ImageNotFound])
            async def get(self, query: Query) -> Echo:
                raise NotImplementedError


async def test_nothing_follows_an_image_id() -> None:
    with pytest.raises(TypeError, match="nothing after the image id"):

        class Wrong:
            @endpoint("GET", "/api/x/{image_id}/size", Scope.READ, "x")
            async def size(self, image_id: str) -> Echo:
                raise NotImplementedError
