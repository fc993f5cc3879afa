"""Watermarks: one that no URL removes, what a replaced or purged one does to pictures, and who may use which."""

import itertools
from collections.abc import Iterator
from urllib.parse import parse_qsl, quote, urlencode

import pytest
import pyvips
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.http.headers import image_tag
from imgserve.transform import PARAMETERS, signed_url
from tests.management import Api, managed
from tests.pictures import encoded, opened
from tests.servers import settled, until

SECRET = "a-secret-of-signatures"  # noqa: S105  of this test
MAGENTA, CYAN, WHITE = (255, 0, 255), (0, 255, 255), (255, 255, 255)
CONFIG = {
    "signing": {"secrets": [SECRET]},
    "formats": {"svg": "sanitize"},
    "urls": {"originals": True},
    "presets": {"card": "width=40", "bare": "mark=open/logo.png&mark-alpha=1", "branded": "mark=logos/brand.png"},
    "cdn": {"tag_headers": ["Cache-Tag"]},
    "sites": {
        "shop": {"folder": "shop", "rules": {"watermark": "mark=shop/logo.png&mark-scale=50"}},
        "agency": {
            "folder": "agency",
            "rules": {"watermark": "mark=shop/logo.png&mark-tile=grid&mark-w=0.2", "require": "signature"},
        },
        "private": {"folder": "private", "rules": {"require": "key"}},
    },
}  # fmt: skip
SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="80" height="60"><rect width="80" height="60" fill="white"/></svg>'
)


def plain(color: tuple[int, ...], width: int = 80, height: int = 60) -> bytes:
    image = (pyvips.Image.black(width, height, bands=len(color)) + list(color)).cast("uchar")
    return encoded(image.copy(interpretation="srgb"), "png")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("watermark")
    for name in ("shop/a.png", "agency/a.png", "open/a.png", "private/a.png"):
        settled(folder / name, plain(WHITE))
    settled(folder / "shop/drawing.svg", SVG)
    for name in ("shop/logo.png", "open/logo.png", "private/logo.png", "logos/brand.png"):
        settled(folder / name, plain(MAGENTA, 40, 30))
    file = folder / "imgserve.yaml"
    file.touch(0o600)
    file.write_text(yaml.safe_dump(CONFIG))
    with managed(folder, "--config", file) as served:
        until(lambda: len(served.every_id()) == 9)
        yield served


def share(data: bytes, color: tuple[int, ...] = MAGENTA) -> float:
    """Return which part of a picture has about a color."""
    image = opened(data)
    image = image.colourspace("srgb") if image.bands < 3 else image
    image = image.flatten(background=[0, 0, 0]) if image.hasalpha() else image
    red, green, blue = ((image[band] - part).abs() < 100 for band, part in enumerate(color))
    return float((red & green & blue).avg() / 255)


HOSTILE = (
    "mark=open/logo.png&mark64=bm9uZQ&mark-alpha=0&mark-w=1&mark-pad=8192&mark-x=8192&mark-blend=multiply&MARK-H=1"
    "&text=WWWWWWWWWWWWWWWW&text-background=white&text-size=900&text-align=center&preset=bare&preset=card&width=1"
    "&height=1&width=2000&fit=fill&fm=jpg&fm=gif&q=1&rect=0,0,1,1&animate=0&dpr=5&dl=a.png&colors=2&bg=white&orient=0"
)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [*parse_qsl(HOSTILE), *((row.name, row.example) for row in PARAMETERS if row.name != "preset")]
        ),
        unique_by=lambda pair: pair[0].lower(),
        max_size=6,
    ),
    st.sampled_from(["", "/bare", "/card"]),
)
def test_no_parameter_removes_a_watermark(api: Api, pairs: list[tuple[str, str]], preset: str) -> None:
    answer = api.picture(f"shop/a.png{preset}?{urlencode(pairs)}")
    assert answer.status_code in {200, 400}, answer.text
    if answer.headers["content-type"].startswith("image/"):  # and not facts
        assert share(answer.content) > 0.02, (pairs, preset)


@pytest.mark.parametrize(
    "path",
    [
        "shop/a.png",
        "shop/a.jpg",
        "shop/a.png/bare",
        "shop/drawing.svg",
        "shop/logo.png",
        "shop/a.webp?w=1",
        "shop/a.png?w=60&then&rect=0,0,20,20&mark-alpha=0",
    ],
)
def test_every_form_of_a_url_has_the_watermark(api: Api, path: str) -> None:
    answer = api.picture(path)
    assert answer.headers["content-type"] != "image/svg+xml"
    assert share(answer.content) > 0.1
    head = api.served.ask("HEAD", f"/img/{path}")
    assert head.headers["etag"] == answer.headers["etag"]
    part = api.served.get(f"/img/{path}", range="bytes=0-9")
    assert (part.status_code, part.content) == (206, answer.content[:10])


def key_of(api: Api, *scopes: str, **fields: object) -> dict[str, str]:
    created = api.ask("POST", "/api/keys", json={"name": "-".join(scopes), "scopes": scopes, **fields}).json()
    return {"x-api-key": created["key"]}


def test_only_keys_that_manage_images_see_them_without(api: Api) -> None:
    reader, manager = key_of(api, "read"), key_of(api, "read", "manage")
    for path in ("/img/shop/a.png?w=40", "/api/convert/png/shop/a.png?w=40", "/api/preview/shop/a.png?w=40"):
        seen = {name: api.served.get(path, **headers) for name, headers in (("reader", reader), ("manager", manager))}
        assert share(seen["reader"].content) > 0.1, path
        assert share(seen["manager"].content) == 0, path
    assert share(api.picture("shop/a.png?w=40").content) > 0.1, "what a key may see is not what others receive"
    signed = signed_url(SECRET, "/img/shop/a.png?w=40")
    assert share(api.served.get(signed).content) > 0.1
    assert share(api.served.get(signed_url(SECRET, "/img/agency/a.png?w=60")).content) > 0.2
    transformed = api.ask("POST", "/api/transform/shop/a.png", json={"steps": ["w=40"]})
    assert share(transformed.content) == 0


def test_the_untouched_original_of_a_marked_site_needs_a_key(api: Api) -> None:
    assert api.picture("open/a.png?format=original").content == plain(WHITE)
    refused = api.picture("shop/a.png?format=original")
    assert (refused.status_code, refused.json()["code"]) == (403, "originals_not_served")
    assert api.ask("GET", "/api/original/shop/a.png").content == plain(WHITE)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("open/a.png?mark=open/logo.png", 200),
        ("open/a.png?mark=/open/logo.png", 200),
        ("open/a.png?mark64=b3Blbi9sb2dvLnBuZw", 200),
        ("open/a.png?mark=open/none.png", 404),
        ("open/a.png?mark=private/logo.png", 404),
        ("open/a.png?mark=private/a.png&mark-alpha=1", 404),
        ("open/a.png?mark=../etc/passwd", 404),
        ("open/a.png?mark=open/logo.png&then&w=40", 200),
        ("open/a.png?mark=private/logo.png&then&w=40", 404),
        ("open/a.png?w=40&then&mark=private/logo.png", 404),
        ("shop/a.png?mark=private/logo.png&then&w=40", 404),
        ("shop/a.png?w=40&then&mark=private/logo.png", 200),
        ("open/a.png?mark=imgserve.yaml", 404),
        ("open/a.png?mark=.imgserve/catalog.sqlite", 404),
        ("open/a.png/branded", 200),
    ],
)
def test_a_url_can_name_what_its_caller_may_see(api: Api, target: str, status: int) -> None:
    answer = api.picture(target)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert share(answer.content) > 0.1
    else:
        assert answer.json()["code"] == "mark_not_found"
        assert answer.json()["mark"]


def test_a_key_for_some_images_can_use_these_as_marks(api: Api) -> None:
    limited = key_of(api, "read", "manage", prefixes=["open/"])
    for path in ("/img/open/a.png", "/api/convert/png/open/a.png", "/api/preview/open/a.png"):
        assert api.served.get(f"{path}?mark=open/logo.png", **limited).status_code == 200
        assert api.served.get(f"{path}?mark=shop/logo.png", **limited).status_code == 404
    for steps in (["mark=private/logo.png"], ["w=40", "mark=private/logo.png"]):
        answer = api.served.client.post(
            f"{api.served.base_url}/api/transform/open/a.png", json={"steps": steps}, headers=limited
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "mark_not_found")
    both = api.ask(
        "POST", "/api/transform/open/a.png", json={"steps": ["mark=open/logo.png", "w=40&mark=shop/logo.png"]}
    )
    assert share(both.content) > 0.1


def test_a_replaced_watermark_is_on_the_next_picture(api: Api) -> None:
    api.ask("PUT", "/api/images/changing/logo.png", content=plain(MAGENTA, 20, 15))
    for number in range(3):
        api.ask("PUT", f"/api/images/changing/{number}.png", content=plain(WHITE, 80 + number))
    until(lambda: api.found("changing/2.png"))
    query = "mark=" + quote("changing/logo.png", safe="") + "&mark-w=0.5"
    targets = [f"changing/{number}.png?{query}" for number in range(3)]
    first = [api.picture(target) for target in targets]
    assert all(share(answer.content) > 0.1 for answer in first)
    assert image_tag("changing/logo.png") in first[0].headers["cache-tag"]
    assert image_tag("changing/0.png") in first[0].headers["cache-tag"]
    until(lambda: all("hit" in api.picture(target).headers["cache-status"] for target in targets))
    assert len(stored(api, 3)) == 3

    api.ask("PUT", "/api/images/changing/logo.png", content=plain(CYAN, 20, 16))
    second = [api.picture(target) for target in targets]
    assert [share(answer.content) for answer in second] == [0, 0, 0]
    assert all(share(answer.content, CYAN) > 0.1 for answer in second)
    assert {answer.headers["etag"] for answer in first}.isdisjoint(answer.headers["etag"] for answer in second)
    unchanged = api.served.get(f"/img/{targets[0]}", if_none_match=first[0].headers["etag"])
    assert unchanged.status_code == 200
    until(lambda: all("hit" in api.picture(target).headers["cache-status"] for target in targets))
    assert len(stored(api, 3)) == 3

    purged = api.ask("POST", "/api/purge/changing/logo.png").json()
    assert purged["renditions"] == 3
    assert stored(api, 3) == []
    until(lambda: all("hit" in api.picture(target).headers["cache-status"] for target in targets))
    api.ask("DELETE", "/api/images/changing/logo.png")
    missing = api.picture(targets[0])
    assert (missing.status_code, missing.json()["code"]) == (404, "mark_not_found")
    assert missing.json()["mark"] == "changing/logo.png"
    assert stored(api, 3) == []


def stored(api: Api, number: int) -> list[str]:
    """List the stored renditions of the images."""
    found = (api.get(f"/api/renditions/changing/{one}.png")["renditions"] for one in range(number))
    return [one["name"] for one in itertools.chain.from_iterable(found)]
