"""Who may do what: one table of requests against a real server, on the ordinary path, the hot path and the API."""

import http.client
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import yaml

from imgserve.transform import signed_url
from tests.pictures import encoded, opened, quarters
from tests.servers import Server, server, settled, until

ADMIN = "an-admin-key-for-tests"
SECRET, OLD_SECRET, SHOP_SECRET = "a-secret-of-signatures", "an-old-secret-of-signatures", "the-secret-of-the-shop"
FOLDERS = ("public", "signed", "keyed", "either", "pages", "hotlinks", "shop", "few", "metered", "guarded", "café")
CONFIG = {
    "access": {"admin_key": ADMIN},
    "signing": {"secrets": [SECRET, OLD_SECRET]},
    "rates": {"new_per_client": "1000/minute", "uploads": "5/hour"},
    "presets": {"card": {"width": 20}, "other": {"width": 30}},
    "sites": {
        "signed": {"folder": "signed", "rules": {"require": "signature"}},
        "keyed": {"folder": "keyed", "rules": {"require": "key", "key_in_url": True}},
        "either": {"folder": "either", "rules": {"require": "either"}},
        "pages": {"folder": "pages", "rules": {"allow_domains": ["*.blog.example"], "allow_no_referer": False}},
        "hotlinks": {
            "folder": "hotlinks",
            "rules": {"allow_domains": ["blog.example"], "hotlink_image": "public/a.png", "sizes": [10, 20]},
        },
        "shop": {
            "folder": "shop",
            "hosts": ["img.shop.example"],
            "secrets": [SHOP_SECRET],
            "presets": {"card": {"width": 25}},
            "rules": {"require": "signature"},
        },
        "few": {"folder": "few", "rules": {"presets_only": True}},
        "metered": {"folder": "metered", "rates": {"new_per_image": "3/hour"}},
        "guarded": {
            "folder": "guarded",
            "rules": {"require": "signature", "allow_domains": ["blog.example"], "hotlink_image": "public/a.png"},
        },
        "coffee": {"folder": "café", "rules": {"require": "signature"}},
    },
}
BLOG, EVIL = "https://www.blog.example/post", "https://evil.example/"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("access")
    for number, name in enumerate(FOLDERS):
        settled(place / name / "a.png", encoded(quarters(60 + number, 40), "png"))
    for number, name in enumerate(("convert", "preview")):
        settled(place / "metered" / name / "a.png", encoded(quarters(90 + number, 40), "png"))
    settings = place / "imgserve.yaml"
    settings.touch(0o600)  # it contains secrets
    settings.write_text(yaml.safe_dump(CONFIG))
    return place


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Server]:
    with server(folder, "--config", folder / "imgserve.yaml", "--workers", 2) as running:
        yield running


def created(served: Server, name: str, *scopes: str, **fields: object) -> dict[str, str]:
    document = {"name": name, "scopes": scopes, **fields}
    answer = served.client.post(served.base_url + "/api/keys", json=document, headers={"x-api-key": ADMIN})
    assert answer.status_code == 201, answer.text
    key: dict[str, str] = answer.json()
    return key


@pytest.fixture(scope="module")
def keys(served: Server) -> Mapping[str, str]:
    made = {
        "reader": created(served, "reader", "read"),
        "uploader": created(served, "uploader", "upload"),
        "manager": created(served, "manager", "read", "manage"),
        "keyed": created(served, "keyed", "read", prefixes=["keyed/"]),
        "one": created(served, "one", "read", prefixes=["keyed/a.jpg"]),
        "shop": created(served, "shop", "read", "upload", "manage", site="shop"),
        "shop admin": created(served, "shop admin", "admin", site="shop"),
        "card": created(served, "card", "read", presets=["card"]),
    }
    return {"admin": ADMIN, "wrong": "img_wrong", **{name: key["key"] for name, key in made.items()}}


def status(served: Server, method: str, target: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
    """Send a request with exactly these headers over a new connection, which any of the processes may accept."""
    connection = http.client.HTTPConnection(*served.address, timeout=30)
    connection.putrequest(method, target, skip_host="Host" in headers, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    fields = dict[str, str]()
    for name, value in answer.getheaders():
        known = fields.get(name.lower())
        fields[name.lower()] = value if known is None else f"{known}, {value}"
    if answer.status == 200 and target.startswith("/img/"):
        fields["width"] = str(opened(body).width)
    return answer.status, fields


def signed(target: str, secret: str = SECRET, expires: int | None = None) -> str:
    return signed_url(secret, target, expires=expires)


DECISIONS: list[tuple[str, dict[str, str], int]] = [
    ("/img/public/a.png?w=10", {}, 200),
    ("/img/public/a.png?w=10", {"Referer": EVIL}, 200),
    ("/img/public/a.png?w=10", {"X-API-Key": "wrong"}, 200),
    (signed("/img/public/a.png?w=11"), {}, 200),
    ("/img/public/a.png?w=11&signature=" + "0" * 64, {}, 403),
    ("/img/signed/a.png?w=10", {}, 403),
    (signed("/img/signed/a.png?w=10"), {}, 200),
    (signed("/img/signed/a.png?w=10", OLD_SECRET), {}, 200),
    (signed("/img/signed/a.png?w=10", SHOP_SECRET), {}, 403),
    (signed("/img/signed/a.png?w=10") + "0", {}, 403),
    (signed("/img/signed/a.png?w=10")[:-1], {}, 403),
    (signed("/img/signed/a.png?w=10").replace("w=10", "w=12"), {}, 403),
    (signed("/img/signed/a.png?w=10").replace("/a.png", "/%61.png"), {}, 200),
    (signed("/img/signed/a.png?w=10&q=9").replace("w=10&q=9", "q=9&w=10"), {}, 200),
    (signed("/img/signed/a.png?w=13", expires=4_000_000_000), {}, 200),
    (signed("/img/signed/a.png?w=13", expires=1_000_000_000), {}, 404),
    ("/img/signed/a.png?w=10", {"X-API-Key": "admin"}, 403),
    ("/img/keyed/a.png?w=10", {}, 401),
    ("/img/keyed/missing.png?w=10", {}, 401),
    ("/img/keyed/a.png?w=10", {"X-API-Key": "wrong"}, 401),
    ("/img/keyed/a.png?w=10", {"X-API-Key": "reader"}, 200),
    ("/img/keyed/a.png?w=10", {"Authorization": "Bearer reader"}, 200),
    ("/img/keyed/a.png?w=10", {"Authorization": "Bearer reader", "X-API-Key": "admin"}, 400),
    ("/img/keyed/a.png?w=10", {"X-API-Key": "keyed"}, 200),
    ("/img/keyed/a.png?w=10", {"X-API-Key": "uploader"}, 403),
    ("/img/keyed/a.png?w=10", {"X-API-Key": "shop"}, 403),
    ("/img/keyed/a.png?w=10", {"X-API-Key": "admin"}, 200),
    ("/img/keyed/a.jpg?w=10", {"X-API-Key": "reader"}, 200),
    ("/img/keyed/a.jpg?w=10", {"X-API-Key": "one"}, 404),
    ("/img/keyed/a.jpg/card", {"X-API-Key": "one"}, 404),
    ("/img/keyed/a.png?w=10&key=KEY:reader", {}, 200),
    ("/img/keyed/a.png?w=10&key=KEY:wrong", {}, 401),
    ("/img/keyed/a.png?w=10&key=KEY:reader", {"X-API-Key": "admin"}, 400),
    ("/img/keyed/a.png?w=10", {"X-API-Key": "card"}, 400),
    ("/img/keyed/a.png?preset=card", {"X-API-Key": "card"}, 200),
    ("/img/keyed/a.png?preset=other", {"X-API-Key": "card"}, 400),
    ("/img/either/a.png?w=10", {}, 401),
    ("/img/either/a.png?w=10", {"X-API-Key": "reader"}, 200),
    (signed("/img/either/a.png?w=10"), {}, 200),
    (signed("/img/either/a.png?w=10", SHOP_SECRET), {"X-API-Key": "reader"}, 403),
    ("/img/pages/a.png?w=10", {}, 403),
    ("/img/pages/a.png?w=10", {"Referer": BLOG}, 200),
    ("/img/pages/a.png?w=10", {"Referer": EVIL}, 403),
    ("/img/pages/a.png?w=10", {"Origin": "https://www.blog.example"}, 200),
    ("/img/pages/a.png?w=10", {"Origin": "https://evil.example", "Referer": BLOG}, 403),
    ("/img/hotlinks/a.png?w=10", {}, 200),
    ("/img/hotlinks/a.png", {"Referer": EVIL}, 200),
    ("/img/shop/a.png?w=10", {}, 403),
    (signed("/img/shop/a.png?w=10"), {}, 403),
    (signed("/img/shop/a.png?w=10", SHOP_SECRET), {}, 200),
    (signed("/img/a.png?w=10", SHOP_SECRET), {"Host": "img.shop.example"}, 200),
    (signed("/img/a.png?w=10", SHOP_SECRET), {"Host": "IMG.shop.example.:8080"}, 200),
    (signed("/img/a.png?w=10", SHOP_SECRET), {}, 403),
    (signed("/img/a.png?w=10"), {}, 404),
    ("/img/public/a.png?w=10", {"Host": "img.shop.example"}, 403),
    ("/img/caf%C3%A9/a.png?w=10", {}, 403),
    ("/img/cafe%CC%81/a.png?w=10", {}, 403),
    (signed("/img/cafe%CC%81/a.png?w=10"), {}, 200),
    ("/img/few/a.png?w=10", {}, 400),
    ("/img/few/a.png?preset=card", {}, 200),
    ("/img/few/a.png?preset=card&w=10", {}, 400),
    (signed("/img/few/a.png?w=10"), {}, 200),
    ("/img/few/a.png?w=10", {"X-API-Key": "manager"}, 200),
    ("/img/few/a.png?w=10", {"X-API-Key": "reader"}, 400),
    ("/api/images", {}, 401),
    ("/api/images", {"X-API-Key": "wrong"}, 401),
    ("/api/images", {"X-API-Key": "reader"}, 200),
    ("/api/images", {"X-API-Key": "uploader"}, 403),
    ("/api/images", {"X-API-Key": "shop"}, 200),
    ("/api/images?prefix=keyed/", {"X-API-Key": "shop"}, 403),
    ("/api/images/keyed/a.png", {"X-API-Key": "shop"}, 403),
    ("/api/original/keyed/a.png", {"X-API-Key": "shop"}, 403),
    ("/api/original/shop/a.png", {"X-API-Key": "shop"}, 200),
    ("/api/similar/shop/a.png", {"X-API-Key": "shop"}, 403),
    ("/api/convert/webp/keyed/a.png?w=9", {"X-API-Key": "card"}, 403),
    ("/api/convert/webp/keyed/a.png?w=9", {"X-API-Key": "reader"}, 200),
    *((f"/api/{call}/few/a.png?w=9", {"X-API-Key": "reader"}, 400) for call in ("convert/webp", "preview")),
    *((f"/api/{call}/few/a.png?w=9", {"X-API-Key": "manager"}, 200) for call in ("convert/webp", "preview")),
    ("/api/stats", {"X-API-Key": "shop"}, 403),
    ("/api/stats", {"X-API-Key": "reader"}, 200),
    ("/api/keys", {"X-API-Key": "manager"}, 403),
    ("/api/keys", {"X-API-Key": "admin"}, 200),
    ("/api/audit", {"X-API-Key": "reader"}, 403),
    *((target, {"X-API-Key": "shop admin"}, 403) for target in ("/api/keys", "/api/audit", "/api/usage")),
    ("/api/accounts", {"X-API-Key": "shop admin"}, 403),
    ("/api/images", {"X-API-Key": "shop admin"}, 200),
    ("/system-check", {"X-API-Key": "shop admin"}, 403),
    ("/system-check", {"X-API-Key": "admin"}, 200),
]


def with_keys(text: str, keys: Mapping[str, str]) -> str:
    for name, key in keys.items():
        text = text.replace(f"KEY:{name}", key).replace(f"Bearer {name}", f"Bearer {key}")
    return keys.get(text, text)


@pytest.mark.parametrize(("target", "headers", "expected"), DECISIONS)
def test_each_request_is_decided_alike_on_every_path(
    served: Server, keys: Mapping[str, str], target: str, headers: dict[str, str], expected: int
) -> None:
    sent = {name: with_keys(value, keys) for name, value in headers.items()}
    answers = [status(served, "GET", with_keys(target, keys), sent) for _ in range(4)]
    assert [code for code, _ in answers] == [expected] * 4


SPELLINGS = (
    "/img//{0}/a.png",
    "/img/./{0}/a.png",
    "/img/public/../{0}/a.png",
    "/img/public/%2e%2e/{0}/a.png",
    "/img/public%2F..%2F{0}%2Fa.png",
    "/img/{0}%2Fa.png",
    "/img/{0}%252Fa.png",
    "/img/{0}//a.png",
    "/img/{0}/./a.png",
    "/img/{0}%5Ca.png",
    "/img/{0}%00/a.png",
    "/img/{0}/a.png/",
    "/img/{0}/a.png/card",
    "/img/{0}/a.jpg",
    "/img/{0}/a.webp/card",
    "/img/{1}/a.png",
    "/img/%2{2}{0}/a.png",
    "/%69mg/{0}/a.png",
    "/IMG/{0}/a.png",
    "/img%2F{0}/a.png",
    "/{0}/a.png",
    "http://other.example/img/{0}/a.png",
    "/img/{0}/a.png?w=10&w=10",
    "/img/{0}/a.png?signature=&signature=",
    "/img/{0}/a.png?expires=9999999999",
    "/img/{0}/a.png?%73ignature=" + "0" * 64,
    "/img/{0}/a.png?key=&key=",
    "/img/{0}/a.png?format=original",
)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", ["signed", "keyed"])
def test_no_spelling_of_a_url_is_a_way_around_the_rules(served: Server, spelling: str, name: str) -> None:
    hidden = "".join(f"%{ord(letter):02x}" for letter in name)
    target = spelling.format(name, hidden, "F")
    for method in ("GET", "HEAD"):
        assert status(served, method, target, {})[0] in {400, 401, 403, 404}
    assert status(served, "GET", target, {"If-None-Match": "*"})[0] in {400, 401, 403, 404}


def test_decisions_do_not_depend_on_what_was_cached_for_others(served: Server, keys: Mapping[str, str]) -> None:
    for _ in range(2):
        for target, headers, expected in DECISIONS:
            sent = {name: with_keys(value, keys) for name, value in headers.items()}
            assert status(served, "GET", with_keys(target, keys), sent)[0] == expected, (target, headers)


@pytest.mark.parametrize(
    ("target", "headers", "cache_control", "vary", "embedding"),
    [
        ("/img/public/a.png?w=10", {}, "max-age=3600", "", "cross-origin"),
        ("/img/keyed/a.png?w=10", {"X-API-Key": "reader"}, "private, max-age=3600", "", "cross-origin"),
        ("/img/pages/a.png?w=10", {"Referer": BLOG}, "max-age=3600", "Origin, Referer", "cross-origin"),
        ("/img/hotlinks/a.png?w=10", {}, "max-age=3600", "Origin, Referer", "same-site"),
        ("/img/hotlinks/a.png", {"Referer": EVIL}, "private, no-store", "Origin, Referer", "cross-origin"),
    ],
)
def test_caches_may_store_what_everybody_may_see(
    served: Server,
    keys: Mapping[str, str],
    target: str,
    headers: dict[str, str],
    cache_control: str,
    vary: str,
    embedding: str,
) -> None:
    sent = {name: with_keys(value, keys) for name, value in headers.items()}
    for _ in range(3):
        _, fields = status(served, "GET", target, sent)
        assert fields["cache-control"].startswith(cache_control)
        assert vary in fields.get("vary", "")
        assert fields["cross-origin-resource-policy"] == embedding


def test_a_hotlinked_page_receives_the_other_picture(served: Server) -> None:
    own, other = (int(status(served, "GET", f"/img/{name}/a.png", {})[1]["width"]) for name in ("hotlinks", "public"))
    shown = [status(served, "GET", "/img/hotlinks/a.png", {"Referer": EVIL})[1]["width"] for _ in range(3)]
    assert own != other
    assert set(map(int, shown)) == {other}


def test_a_hotlinked_page_requests_no_more_than_the_site_allows(served: Server) -> None:
    whole = status(served, "GET", "/img/public/a.png", {})[1]["width"]
    assert status(served, "GET", "/img/hotlinks/a.png?w=13", {"Referer": EVIL})[1]["width"] == "20"
    assert status(served, "GET", "/img/guarded/a.png?w=13", {"Referer": EVIL})[1]["width"] == whole


def test_a_redirect_to_a_moved_picture_is_for_those_who_may_see_it(served: Server, keys: Mapping[str, str]) -> None:
    def move(old: str, new: str) -> None:
        picture, put = encoded(quarters(80, 30), "png"), {"x-api-key": ADMIN, "content-type": "image/png"}
        assert served.client.put(f"{served.base_url}/api/images/{old}", content=picture, headers=put).is_success
        answer = served.client.post(f"{served.base_url}/api/move/{old}", json={"to": new}, headers={"x-api-key": ADMIN})
        assert answer.is_success, answer.text

    move("keyed/old.png", "keyed/new.png")
    move("keyed/gone.png", "signed/gone.png")
    inside, outside = "/img/keyed/old.png?w=10", "/img/keyed/gone.png?w=10"
    sent = {"X-API-Key": keys["keyed"]}
    code, fields = status(served, "GET", inside, sent)
    assert (code, fields["location"], fields["cache-control"]) == (
        308,
        "/img/keyed/new.png?w=10",
        "private, max-age=10",
    )
    assert status(served, "GET", inside, {})[0] == 401
    assert status(served, "GET", outside, sent)[0] == 404
    assert status(served, "GET", "/api/images/keyed/old.png", sent)[0] == 308
    assert status(served, "GET", "/api/images/keyed/gone.png", sent)[0] == 404
    assert status(served, "GET", "/api/images/keyed/gone.png", {"X-API-Key": keys["reader"]})[0] == 308


def test_a_site_has_its_own_presets(served: Server) -> None:
    target = signed("/img/a.png?preset=card", SHOP_SECRET)
    assert status(served, "GET", target, {"Host": "img.shop.example"})[1]["width"] == "25"
    assert status(served, "GET", "/img/public/a.png?preset=card", {})[1]["width"] == "20"


def test_no_cache_stores_a_picture_for_longer_than_its_signature(served: Server) -> None:
    expires = int(time.time()) + 100
    _, fields = status(served, "GET", signed("/img/signed/a.png?w=14", expires=expires), {})
    age = int(fields["cache-control"].removeprefix("max-age="))
    assert parsedate_to_datetime(fields["date"]).timestamp() + age == expires


def test_a_signature_ends_in_every_tier(served: Server) -> None:
    expires = int(time.time()) + 3
    target = signed("/img/signed/a.png?w=15", expires=expires)
    assert [status(served, "GET", target, {})[0] for _ in range(4)] == [200] * 4
    until(lambda: time.time() > expires + 0.1)
    assert [status(served, "GET", target, {})[0] for _ in range(4)] == [404] * 4


@pytest.mark.alone
def test_a_revoked_key_is_rejected_by_all_processes_within_a_second(served: Server) -> None:
    key = created(served, "soon revoked", "read")
    sent, targets = {"X-API-Key": key["key"]}, ("/img/keyed/a.png?w=16", "/api/images") * 6
    until(lambda: {status(served, "GET", target, sent)[0] for target in targets} == {200})
    assert status(served, "DELETE", f"/api/keys/{key['id']}", {"X-API-Key": ADMIN})[0] == 200
    revoked = time.monotonic()
    until(lambda: status(served, "GET", "/img/keyed/a.png?w=16", sent)[0] == 401, 1)
    time.sleep(max(0.0, revoked + 1 - time.monotonic()))
    assert {status(served, "GET", target, sent)[0] for target in targets} == {401}


def test_new_renditions_of_an_image_have_a_limit_and_cached_ones_have_none(served: Server) -> None:
    answers = [status(served, "GET", f"/img/metered/a.png?w={width}", {}) for width in range(10, 16)]
    assert [code for code, _ in answers] == [200, 200, 200, 429, 429, 429]
    assert int(answers[-1][1]["retry-after"]) > 0
    assert {status(served, "GET", f"/img/metered/a.png?w={width}", {})[0] for width in (10, 11, 12) * 4} == {200}
    assert status(served, "GET", signed("/img/metered/a.png?w=16"), {})[0] == 200


@pytest.mark.parametrize("call", ["convert/webp", "preview"])
def test_new_pictures_of_the_api_have_the_same_limit(served: Server, keys: Mapping[str, str], call: str) -> None:
    def codes(name: str, key: str, widths: Iterable[int]) -> list[int]:
        targets = (f"/api/{call}/{name}/a.png?w={width}" for width in widths)
        return [status(served, "GET", target, {"X-API-Key": keys[key]})[0] for target in targets]

    name = f"metered/{call.partition('/')[0]}"
    assert codes(name, "reader", range(10, 15)) == [200, 200, 200, 429, 429]
    assert codes(name, "reader", (10, 11, 12)) == [200] * 3
    assert codes(name, "manager", range(15, 20)) == [200] * 5


def test_each_image_of_an_upload_counts(served: Server) -> None:
    key = created(served, "sender", "upload", prefixes=["sent/"])["key"]
    files = [("file", (f"{number}.png", encoded(quarters(10 + number, 9), "png"))) for number in range(7)]
    answer = served.client.post(
        served.base_url + "/api/images", data={"folder": "sent"}, files=files, headers={"x-api-key": key}
    )
    assert [one["status"] for one in answer.json()["results"]] == [201] * 5 + [429] * 2


def test_all_processes_accept_a_new_key_at_once(served: Server) -> None:
    for number in range(4):
        sent = {"X-API-Key": created(served, f"new {number}", "read")["key"]}
        assert [status(served, "GET", "/api/images", sent)[0] for _ in range(4)] == [200] * 4


def test_a_key_is_shown_once_and_stored_as_a_hash(served: Server, folder: Path) -> None:
    key = created(served, "shown once", "read", expires="2100-01-01T00:00:00Z")
    listed = served.get("/api/keys", x_api_key=ADMIN)
    assert key["id"] in listed.text
    assert key["key"] not in listed.text
    stored = b"".join(path.read_bytes() for path in folder.rglob("catalog.sqlite*"))
    assert key["id"].encode() in stored
    assert key["key"].encode() not in stored


@pytest.mark.parametrize(
    ("document", "mistake"),
    [
        ({"name": "", "scopes": ["read"]}, "name"),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "scopes": ["everything"]}, "scopes"),
        ({"name": "a", "scopes": ["read"], "presets": ["unknown"]}, "no preset unknown"),
        ({"name": "a", "scopes": ["read"], "site": "unknown"}, "no site unknown"),
        ({"name": "a", "scopes": ["read"], "expires": "2020-01-01T00:00:00Z"}, "in the future"),
    ],
)
def test_a_key_with_mistakes_is_not_created(served: Server, document: dict[str, object], mistake: str) -> None:
    answer = served.client.post(served.base_url + "/api/keys", json=document, headers={"x-api-key": ADMIN})
    assert answer.status_code == 400
    assert mistake in answer.json()["detail"]


def test_uploads_of_a_site_stay_in_its_folder_and_see_nothing_else(served: Server, keys: Mapping[str, str]) -> None:
    def upload(data: bytes, **query: str) -> tuple[int, dict[str, object]]:
        headers = {"x-api-key": keys["shop"], "content-type": "image/png"}
        answer = served.client.post(served.base_url + "/api/images", content=data, params=query, headers=headers)
        return answer.status_code, answer.json()

    same = encoded(quarters(60, 40), "png")  # the bytes of public/a.png
    elsewhere, _ = upload(same, id="public/b.png")
    code, document = upload(same)
    assert (elsewhere, code) == (403, 201)
    image = document["image"]
    assert isinstance(image, dict)
    assert image["id"].startswith("shop/")
    assert "public/" not in json.dumps(document)


def test_the_audit_log_names_uploaded_images(served: Server) -> None:
    headers = {"x-api-key": created(served, "audited", "upload")["key"]}  # uploads of each caller are limited
    address = served.base_url + "/api/images"
    files = [encoded(quarters(60 + number, 30), "png") for number in range(3)]
    one = served.client.post(address, files={"file": files[0]}, data={"id": "public/one.png"}, headers=headers)
    several = [("file", (f"{number}.png", content)) for number, content in enumerate(files[1:])]
    many = served.client.post(address, files=several, data={"folder": "public/many"}, headers=headers)
    assert (one.status_code, many.status_code) == (201, 207)
    entries = served.get("/api/audit?action=uploads_create&limit=2", x_api_key=ADMIN).json()["entries"]
    assert (entries[1]["target"], entries[1]["after"]) == ("public/one.png", {})
    assert (entries[0]["target"], entries[0]["after"]) == ("", {"ids": ["public/many/0.png", "public/many/1.png"]})


def test_management_calls_are_in_the_audit_log(served: Server, keys: Mapping[str, str]) -> None:
    change = {"title": "A new title"}
    headers = {"x-api-key": keys["manager"]}
    picture = encoded(quarters(70, 30), "png")
    put = {"x-api-key": ADMIN, "content-type": "image/png"}
    assert served.client.put(served.base_url + "/api/images/public/new.png", content=picture, headers=put).is_success
    assert (
        served.client.patch(served.base_url + "/api/images/public/new.png", json=change, headers=headers).status_code
        == 200
    )
    entries = served.get("/api/audit?target=public/new.png", x_api_key=ADMIN).json()["entries"]
    assert entries[0]["action"] == "records_change"
    assert entries[0]["actor"].startswith("key:")
    assert (entries[0]["before"], entries[0]["after"]) == ({}, change)
    assert keys["manager"] not in served.get("/api/audit", x_api_key=ADMIN).text
