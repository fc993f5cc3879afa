"""Pictures of errors: the real status, the requested size and format, and a short lifetime."""

from collections.abc import Iterator

import pytest

from tests.management import Api, managed
from tests.pictures import encoded, noise, opened
from tests.servers import settled

CONFIG = """
presets:
  card: {width: 50, height: 40, missing: own/none.png}
  small: {extends: card, width: 30}
http: {not_found_max_age: 7}
urls: {placeholders: true}
rules: {error_images: {404: own/missing.jpg, 400: own/missing.jpg, 415: own/none.png}}
sites:
  shop: {folder: shop, rules: {error_images: {404: own/none.png}}}
  bare: {folder: bare, rules: {error_images: {404: not/there.png}}}
  closed: {folder: closed, rules: {require: key, error_images: {401: own/missing.jpg}}}
rates: {new_per_client: 6/day}
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder, config = tmp_path_factory.mktemp("originals"), tmp_path_factory.mktemp("config") / "config.yaml"
    settled(folder / "own/missing.jpg", encoded(noise(400, 300), "jpg"))
    settled(folder / "own/none.png", encoded(noise(200, 100), "png"))
    settled(folder / "a.jpg", encoded(noise(40, 30), "jpg"))
    settled(folder / "text.jpg", b"no picture")
    config.write_text(CONFIG)
    with managed(folder, "--config", config) as an_api:
        yield an_api


@pytest.mark.parametrize(
    ("target", "status", "media_type", "size", "cache"),
    [
        ("none.jpg?width=100", 404, "image/jpeg", (100, 75), "max-age=7"),
        ("none.jpg?width=100&format=webp", 404, "image/webp", (100, 75), "max-age=7"),
        ("none.jpg/card", 404, "image/png", (50, 40), "max-age=7"),
        ("none.jpg?preset=small", 404, "image/png", (30, 40), "max-age=7"),
        ("a.jpg?width=x", 400, "image/jpeg", (400, 300), "no-store"),
        ("text.jpg?width=20", 415, "image/png", (20, 10), "no-store"),
    ],
)
def test_an_error_has_a_picture(
    api: Api, target: str, status: int, media_type: str, size: tuple[int, int], cache: str
) -> None:
    for _ in range(2):
        answer = api.picture(target)
        assert (answer.status_code, answer.headers["content-type"]) == (status, media_type)
        picture = opened(answer.content)
        assert (picture.width, picture.height) == size
        assert (answer.headers["cache-control"], answer.headers["vary"]) == (cache, "Accept")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "etag" not in answer.headers
    code = {400: "bad_transform", 404: "image_not_found", 415: "unsupported_image"}[status]
    assert answer.headers["x-image-error"] == code


def test_a_site_has_its_own_and_a_missing_one_is_a_plain_error(api: Api) -> None:
    assert opened(api.picture("closed/x.jpg?width=9").content).width == 400
    assert api.picture("shop/x.jpg?width=20").status_code == 404
    plain = api.picture("bare/x.jpg")
    assert (plain.status_code, plain.json()["code"]) == (404, "image_not_found")


def test_programs_receive_the_problem(api: Api) -> None:
    url = f"{api.served.base_url}/img/none.jpg?width=100"
    answer = api.served.client.get(url, headers={"accept": "application/json, image/*"})
    assert (answer.status_code, answer.json()["code"]) == (404, "image_not_found")
    assert api.picture("none.jpg?format=json").json()["code"] == "image_not_found"


def test_a_placeholder_needs_no_original(api: Api) -> None:
    answer = api.picture("placeholder/64x36?text=Hi&color=red")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert (opened(answer.content).width, b">Hi</text>" in answer.content) == (64, True)
    again = {"if-none-match": answer.headers["etag"]}
    url = f"{api.served.base_url}/img/placeholder/64x36?text=Hi&color=red"
    assert api.served.client.get(url, headers=again).status_code == 304
    assert api.picture("placeholder/64x36?bg=x").status_code == 400
    assert api.picture("closed/placeholder/64x36").status_code == 401


def test_pictures_of_errors_are_counted_as_renditions(api: Api) -> None:
    """The tests before have rendered six pictures."""
    answers = [api.picture(f"none.jpg?width={width}") for width in range(200, 208)]
    assert {answer.status_code for answer in answers} == {404}
    assert answers[-1].json()["code"] == "image_not_found"
    assert api.picture("none.jpg?width=100").headers["content-type"] == "image/jpeg"
