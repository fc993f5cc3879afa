"""URLs of pictures that the API checks, signs and puts into code, by the rules of the image's site."""

import re
import time
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any

import httpx2
import pytest

from imgserve.client.api import Imgserve
from imgserve.errors import BadSignature, BadTransform, Unauthorized
from tests.management import KEY, Api, managed
from tests.pictures import encoded, noise, opened
from tests.prefork import PATIENCE
from tests.servers import settled, until

CONFIG = """
presets: {card: {width: 50, height: 40}}
rules: {sizes: [100, 200], reject_unlisted: true}
signing: {secrets: [0123456789abcdef0123456789abcdef]}
sites:
  open: {folder: open, rules: {sizes: [], reject_unlisted: false}}
  signed: {folder: signed, rules: {require: signature}}
  family: {folder: family, rules: {require: key}}
  few: {folder: few, rules: {presets_only: true}}
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder, config = tmp_path_factory.mktemp("originals"), tmp_path_factory.mktemp("config") / "config.yaml"
    for name in ("a.jpg", "open/red shoe.jpg", "signed/cup.jpg", "family/us.jpg", "few/one.jpg"):
        settled(folder / name, encoded(noise(400, 300), "jpg"))
    config.write_text(CONFIG)
    config.chmod(0o600)
    with managed(folder, "--config", config) as an_api:
        until(lambda: len(an_api.every_id()) == 5)
        yield an_api


def checked(api: Api, target: str, key: str | None = None) -> Mapping[str, Any]:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    answer = api.ask("GET", f"/api/url/{target}", headers=headers)
    assert answer.status_code == 200, answer.text
    found: Mapping[str, Any] = answer.json()
    return found


def public(url: str) -> httpx2.Response:
    return httpx2.get(url, timeout=PATIENCE)


@pytest.mark.parametrize(
    ("target", "path", "code"),
    [
        ("open/red%20shoe.jpg?h=30&w=40", "/img/open/red%20shoe.jpg?height=30&width=40", None),
        ("open/red%20shoe.jpg", "/img/open/red%20shoe.jpg", None),
        ("open/red%20shoe.jpg?fm=auto&preset=card&dl=x.jpg", None, None),
        ("a.jpg?w=200", "/img/a.jpg?width=200", None),
        ("a.jpg?w=201", "/img/a.jpg?width=201", "bad_transform"),
        ("signed/cup.jpg?w=40", "/img/signed/cup.jpg?width=40", "bad_signature"),
        ("family/us.jpg?w=40", "/img/family/us.jpg?width=40", "unauthorized"),
        ("few/one.jpg?preset=card", "/img/few/one.jpg?preset=card", None),
        ("few/one.jpg?w=40", "/img/few/one.jpg?width=40", "bad_transform"),
    ],
)
def test_a_url_is_rejected_as_the_check_says_and_its_preview_is_not(
    api: Api, target: str, path: str | None, code: str | None
) -> None:
    found = checked(api, target)
    assert (found["url"], found["mistakes"]) == (api.served.base_url + path if path else found["url"], [])
    answer = public(found["url"])
    assert (None if answer.is_success else answer.json()["code"]) == code
    assert (found["rejection"] or {"code": None})["code"] == code
    if code:
        assert found["rejection"]["detail"]
    preview = api.ask("GET", f"/api/preview/{target}")
    assert preview.status_code == 200
    assert preview.headers["cache-status"].startswith("imgserve")
    if answer.is_success:
        assert preview.content == answer.content


def test_the_signed_url_opens_until_it_expires(api: Api) -> None:
    end = int(time.time()) + 60
    found = checked(api, f"signed/cup.jpg?w=40&expires={end}&signature={'0' * 64}")
    assert (found["signing"], f"expires={end}" in found["signed"]) == (True, True)
    assert opened(public(found["signed"]).content).width == 40
    assert public(checked(api, "signed/cup.jpg?w=40&expires=1000")["signed"]).status_code == 404
    assert "0123456789abcdef" not in str(found)


def test_only_callers_that_manage_images_sign(api: Api) -> None:
    created = api.ask("POST", "/api/keys", json={"name": "reader", "scopes": ["read"]}).json()
    found = checked(api, "signed/cup.jpg?w=40", created["key"])
    assert (found["signing"], found["signed"]) == (True, None)
    assert "signature=" not in str(found["code"])
    assert (
        api.ask("GET", "/api/preview/a.jpg?w=201", headers={"authorization": f"Bearer {created['key']}"}).status_code
        == 400
    )


def test_limits_of_urls_do_not_hold_for_conversions_of_those_who_manage_images(api: Api) -> None:
    assert api.ask("GET", "/api/convert/webp/few/one.jpg?width=41").status_code == 200
    created = api.ask("POST", "/api/keys", json={"name": "converter", "scopes": ["read"]}).json()
    key = {"authorization": f"Bearer {created['key']}"}
    assert api.ask("GET", "/api/convert/webp/few/one.jpg?width=41", headers=key).status_code == 400


@pytest.mark.parametrize("image", ["a.jpg", "few/one.jpg", "signed/cup.jpg"])
def test_limits_of_urls_do_not_hold_for_transforms(api: Api, image: str) -> None:
    body = {"steps": ["width=77&format=png"], "output": "picture"}
    answer = api.ask("POST", f"/api/transform/{image}", json=body)
    assert answer.status_code == 200, answer.text
    assert opened(answer.content).width == 77


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("w=100", (100, 75)),
        ("w=100&h=50", (100, 50)),
        ("w=100&h=90&fit=max", (100, 75)),
        ("w=300&then&w=80", (80, 60)),
        ("w=100&dpr=2", (100, 75)),
        ("h=30&dpr=3&fm=webp", (40, 30)),
    ],
)
def test_the_code_of_an_img_has_the_requested_size(api: Api, query: str, size: tuple[int, int]) -> None:
    code = checked(api, f"a.jpg?{query}")["code"]
    for name in ("img", "picture"):
        assert f'<img width="{size[0]}" height="{size[1]}" ' in code[name]


def test_every_mistake_is_listed(api: Api) -> None:
    found = checked(api, "a.jpg?w=0&fm=wepb&widht=3")
    assert [re.split(":|,", mistake)[0] for mistake in found["mistakes"]] == [
        "width",
        "format",
        'unknown parameter "widht"',
    ]
    assert (found["url"], found["code"]) == (None, None)
    assert api.ask("GET", "/api/url/none.jpg").status_code == 404


class Addresses(HTMLParser):
    """The URLs of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found = set[str]()
        self.feed(text)

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "src" and value:
                self.found.add(value)
            elif name == "srcset" and value:
                self.found |= {part.split()[0] for part in value.split(",\n") if part.split()}


@pytest.mark.parametrize(
    "query",
    ["", "w=200", "w=200&h=100", "h=60", "w=0.5", "preset=card", "fm=auto&w=90", "w=80&dpr=2&q=40", "f=fill&w=9"],
)
@pytest.mark.parametrize("image", ["open/red%20shoe.jpg", "signed/cup.jpg"])
def test_every_url_in_the_code_shows_a_picture(api: Api, image: str, query: str) -> None:
    code = checked(api, f"{image}?{query}")["code"]
    urls = Addresses(code["img"]).found | Addresses(code["picture"]).found
    urls |= set(re.findall(r'url\("([^"]+)"\)', code["css"]))
    urls |= set(re.findall(r"\((http[^)]+)\)$", code["markdown"])) | set(re.findall(r" '(http[^']+)'$", code["curl"]))
    assert len(urls) >= 3
    for url in urls:
        answer = public(url)
        assert (answer.status_code, answer.headers["content-type"][:6]) == (200, "image/"), url


def test_the_code_in_python_prints_the_url(
    api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGSERVE_SIGNING_SECRET", "0123456789abcdef0123456789abcdef")
    for target in (
        "open/red%20shoe.jpg?w=40&ar=16:9&q=50&h=0.5&dl=a%20b.jpg&crop=top,left",
        "signed/cup.jpg?w=40&bg=f80",
    ):
        found = checked(api, target)
        exec(found["code"]["python"], {})  # noqa: S102  what a person pastes
        assert capsys.readouterr().out.strip() == (found["url"] if target.startswith("open") else found["signed"])


def test_the_client_checks_urls_and_previews(api: Api) -> None:
    with Imgserve(api.served.base_url, key=KEY) as client:
        found = client.check_url("signed/cup.jpg", width=40)
        assert isinstance(found.rejection, BadSignature)
        assert public(found.signed or "").status_code == 200
        assert isinstance(client.check_url("family/us.jpg").rejection, Unauthorized)
        assert isinstance(client.check_url("few/one.jpg", width=40).rejection, BadTransform)
        assert client.check_url("open/red shoe.jpg", width=40).rejection is None
        assert opened(client.preview("few/one.jpg", width=40).data).width == 40
