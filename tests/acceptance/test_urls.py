"""The URL language over the wire: what is asked for is what the picture is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pictures import GREEN, RED, color_at, near, opened
from tests.servers import Server, server, settled

MAGIC = {
    "jpg": ("image/jpeg", slice(0, 3), b"\xff\xd8\xff"),
    "pjpg": ("image/jpeg", slice(0, 3), b"\xff\xd8\xff"),
    "png": ("image/png", slice(0, 8), b"\x89PNG\r\n\x1a\n"),
    "png8": ("image/png", slice(0, 8), b"\x89PNG\r\n\x1a\n"),
    "webp": ("image/webp", slice(8, 12), b"WEBP"),
    "avif": ("image/avif", slice(4, 12), b"ftypavif"),
    "gif": ("image/gif", slice(0, 6), b"GIF89a"),
    "tiff": ("image/tiff", slice(0, 4), b"II*\0"),
}
KINDS = ("jpg", "png", "webp", "gif", "tiff", "avif", "heic", "svg")


def size(data: bytes) -> tuple[int, int]:
    image = opened(data)
    return image.width, image.get("page-height") if "page-height" in image.get_fields() else image.height


@pytest.mark.parametrize("output", MAGIC)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_original_comes_in_every_format(site: Server, kind: str, output: str) -> None:
    answer = site.get(f"/img/kinds/{kind}.{kind}?width=32&height=20&format={output}")
    media_type, where, magic = MAGIC[output]
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type), answer.text
    assert answer.content[where] == magic
    assert size(answer.content) == (32, 20)


@pytest.mark.parametrize(
    ("query", "media_type", "wanted"),
    [
        ("rect=0,0,100,300&then&width=50", "image/jpeg", (50, 150)),
        ("width=200&then&width=100&format=webp", "image/webp", (100, 75)),
        ("width=100&then&width=200", "image/jpeg", (100, 75)),
        ("width=100&then&width=200&enlarge=1&format=png", "image/png", (200, 150)),
        ("rotate=90&then&height=0.5&format=avif", "image/avif", (150, 200)),
        ("preset=card&then&rotate=90&then&w=40&auto=format", "image/jpeg", (40, 53)),
        ("width=9&quality=5&format=gif&then&blur=3&dl", "image/jpeg", (9, 7)),
    ],
)
def test_a_chain_transforms_the_result_of_each_step(
    site: Server, query: str, media_type: str, wanted: tuple[int, int]
) -> None:
    answer = site.get(f"/img/shoe.jpg?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type), answer.text
    assert size(answer.content) == wanted
    again = site.get(f"/img/shoe.jpg?{query}")
    assert "hit" in again.headers["cache-status"]
    assert (again.content, again.headers["etag"]) == (answer.content, answer.headers["etag"])


def test_a_chain_keeps_an_animation_and_shows_an_upright_picture(site: Server) -> None:
    moving = opened(site.get("/img/kinds/moving.gif?rotate=90&then&invert=1").content)
    assert moving.get("n-pages") == 3
    phone = site.get("/img/phone.jpg?width=600&then&rect=0,0,300,100").content
    assert size(phone) == (300, 100)
    facts = site.get("/img/phone.jpg?width=600&then&rect=0,0,300,100&then&rotate=90&format=json").json()
    assert (facts["rendition"]["width"], facts["rendition"]["height"]) == (100, 300)


def test_a_mistake_in_a_chain_names_its_step(site: Server) -> None:
    answer = site.get("/img/shoe.jpg?width=100&then&rect=90,0,50,50")
    assert answer.status_code == 200
    answer = site.get("/img/shoe.jpg?width=100&then&rect=200,0,50,50")
    assert (answer.status_code, answer.json()["mistakes"][0][:7]) == (400, "step 2:")
    assert site.get("/img/shoe.jpg?rect=0.5,0,9000,9&then&width=5").status_code == 200


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("jpg", "image/jpeg"),
        ("png", "image/png"),
        ("webp", "image/webp"),
        ("gif", "image/gif"),
        ("avif", "image/avif"),
        ("tiff", "image/jpeg"),
        ("heic", "image/jpeg"),
        ("svg", "image/png"),
    ],
)
def test_without_a_format_the_originals_is_kept_if_browsers_show_it(site: Server, kind: str, media_type: str) -> None:
    assert site.get(f"/img/kinds/{kind}.{kind}?width=32").headers["content-type"] == media_type


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("width=100", (100, 75)),
        ("height=60", (80, 60)),
        ("width=100&height=100", (100, 100)),
        ("width=100&height=100&fit=max", (100, 75)),
        ("width=100&height=100&fit=fill", (100, 100)),
        ("width=100&height=100&fit=scale", (100, 100)),
        ("width=100&height=100&fit=min", (100, 100)),
        ("width=0.5", (200, 150)),
        ("width=100&aspect=1:1", (100, 100)),
        ("width=100&dpr=2", (200, 150)),
        ("width=4000", (400, 300)),
        ("width=800&enlarge=1", (800, 600)),
        ("rect=0,0,200,100", (200, 100)),
        ("rotate=90&width=150", (150, 200)),
        ("orient=90", (300, 400)),
        ("quality=40", (400, 300)),
    ],
)
def test_a_picture_has_the_requested_size(site: Server, query: str, wanted: tuple[int, int]) -> None:
    answer = site.get(f"/img/shoe.jpg?{query}")
    assert answer.status_code == 200, answer.text
    assert size(answer.content) == wanted


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("width=100&height=80", "w=100&h=80"),
        ("width=100&height=80", "height=80&width=100"),
        ("width=100&height=80", "WIDTH=100&Height=80&fit=CROP"),
        ("width=100&fit=max", "w=100&f=max"),
        ("width=100&format=webp&quality=70", "w=100&fm=webp&q=70"),
        ("width=100&format=webp", "w=100&f=webp"),
        ("width=100&aspect=2:1", "w=100&ar=2:1"),
        ("width=200", "width=100&dpr=2"),
        ("width=100&height=80&fit=cover", "width=100&height=80"),
        ("width=100", "width=100&utm_source=mail&v=3"),
        ("width=100", "width64=MTAw"),
        ("width=100&format=png&quality=10", "width=100&format=png"),
    ],
)
def test_two_ways_to_ask_for_one_picture_share_its_etag(site: Server, one: str, other: str) -> None:
    answers = [site.get(f"/img/shoe.jpg?{query}") for query in (one, other)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].headers["etag"] == answers[1].headers["etag"]
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize(
    "target",
    ["shoe.jpg/card", "shoe.jpg/CARD", "shoe.jpg?preset=card", "shoe.webp/card", "products/summer/2024/shoe.jpg/card"],
)
def test_a_preset_is_named_by_path_or_by_query(site: Server, target: str) -> None:
    answer = site.get(f"/img/{target}")
    assert (answer.headers["content-type"], size(answer.content)) == ("image/webp", (120, 90))


def test_a_query_is_stronger_than_its_preset(site: Server) -> None:
    answer = site.get("/img/shoe.jpg/card?width=60&format=png")
    assert (answer.headers["content-type"], size(answer.content)) == ("image/png", (60, 90))


def test_a_preset_written_as_a_query_negotiates_like_one(site: Server) -> None:
    answer = site.get("/img/shoe.jpg/wide", accept="image/webp,*/*;q=0.8")
    assert (answer.headers["content-type"], size(answer.content)) == ("image/webp", (300, 100))
    assert answer.headers["vary"] == "Accept"


def test_a_preset_that_is_not_known_is_a_mistake_in_a_query_and_no_picture_in_a_path(site: Server) -> None:
    mistaken = site.get("/img/shoe.jpg?preset=cord")
    assert (mistaken.status_code, mistaken.json()["code"]) == (400, "bad_transform")
    assert "card" in mistaken.json()["detail"]
    assert site.get("/img/shoe.jpg/cord").status_code == 404


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("shoe.webp", "image/webp"),
        ("shoe.png", "image/png"),
        ("shoe.avif", "image/avif"),
        ("shoe.jpeg", "image/jpeg"),
        ("products/summer/2024/shoe.webp", "image/webp"),
        ("clear.jpg", "image/jpeg"),
        ("kinds/svg.webp", "image/webp"),
    ],
)
def test_another_extension_requests_another_format_of_the_same_original(
    site: Server, path: str, media_type: str
) -> None:
    answer = site.get(f"/img/{path}?width=40")
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)


@pytest.mark.parametrize("path", ["shoe.heic", "shoe.svg", "shoe.txt", "shoe", "shoe.", ".webp", "sho.webp"])
def test_an_extension_that_cannot_be_written_finds_nothing(site: Server, path: str) -> None:
    assert site.get(f"/img/{path}").status_code == 404


def test_without_parameters_a_picture_is_upright_bounded_and_reveals_nothing_private(site: Server) -> None:
    answer = site.get("/img/phone.jpg")
    image = opened(answer.content)
    assert (image.width, image.height) == (1024, 2048)
    assert near(color_at(image, 0.5, 0.1), RED)
    fields = image.get_fields()
    assert not [name for name in fields if "GPS" in name or "Make" in name]
    assert "exif-ifd0-Copyright" in fields
    assert b"Secret Camera" not in answer.content


@pytest.fixture(scope="module")
def limited(gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve with narrow limits and without patience for unknown parameters."""
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    config.write_text(
        "limits: {output_side: 200, original_bytes: 50KB, original_pixels: 2900000, original_side: 2200}\n"
        "urls: {strict: true}\n"
    )
    with server(gallery, "--config", config) as served:
        yield served


def test_a_size_beyond_the_cap_is_lowered_and_reported_each_time(limited: Server) -> None:
    answers = [limited.get("/img/shoe.jpg?width=4000") for _ in range(2)]
    assert [size(answer.content) for answer in answers] == [(200, 150)] * 2
    assert "200" in answers[0].headers["x-image-adjusted"]
    assert answers[0].headers["x-image-adjusted"] == answers[1].headers["x-image-adjusted"]
    assert "x-image-adjusted" not in limited.get("/img/shoe.jpg?width=200").headers


@pytest.fixture(scope="module")
def sized(gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve three widths and a preset."""
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    config.write_text("urls: {sizes: [32, 64, 128]}\npresets: {tiny: {width: 40, height: 10}}\n")
    with server(gallery, "--config", config) as served:
        yield served


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("shoe.jpg?width=40&height=30", (64, 48)),
        ("shoe.jpg?width=0.05", None),
        ("shoe.jpg?width=20&dpr=2", None),
        ("shoe.jpg?rect=0,0,77,50", (64, 42)),
        ("shoe.jpg/tiny", (40, 10)),
        ("shoe.jpg?preset=tiny&quality=50", (40, 10)),
        ("shoe.jpg/tiny?dpr=2", None),
    ],
)
def test_only_the_set_sizes_can_be_requested(sized: Server, url: str, expected: tuple[int, int] | None) -> None:
    answer = sized.get(f"/img/{url}")
    assert answer.status_code == 200, answer.text
    made = size(answer.content)
    assert made == expected if expected else made[0] in {32, 64, 128}
    assert ("x-image-adjusted" in answer.headers) == ("tiny" not in url or "dpr" in url)


def test_what_a_url_does_not_achieve_is_reported(site: Server) -> None:
    answer = site.get("/img/kinds/jpg.jpg?w=8000&widht=400&utm_source=mail")
    assert answer.status_code == 200
    made = "x".join(map(str, size(answer.content)))
    assert answer.headers["x-image-adjusted"] == f"size: made {made}, because the original is not enlarged"
    assert answer.headers["x-image-ignored"] == "widht (width?)"
    again = site.get("/img/kinds/jpg.jpg?w=8000&widht=400&utm_source=mail")
    assert again.headers["x-image-ignored"] == answer.headers["x-image-ignored"]
    refused = site.get("/img/kinds/jpg.jpg?w=x&widht=400")
    assert 'unknown parameter "widht", did you mean "width"?' in refused.json()["mistakes"]


@pytest.mark.parametrize("query", ["", "?dpr=2", "?download=a.jpg", "?utm_source=mail"])
def test_a_url_that_requests_no_size_is_not_adjusted(site: Server, query: str) -> None:
    for _ in range(3):
        assert "x-image-adjusted" not in site.get(f"/img/kinds/jpg.jpg{query}").headers
    assert "x-image-adjusted" in site.get("/img/kinds/jpg.jpg?preset=default&width=8000").headers


def test_what_is_missing_is_named(site: Server) -> None:
    absent, preset = site.get("/img/kinds/absent.jpg"), site.get("/img/kinds/jpg.jpg/absent")
    assert (absent.status_code, absent.json()["id"]) == (404, "kinds/absent.jpg")
    assert (preset.status_code, preset.json()["code"]) == (404, "image_not_found")
    assert 'no preset "absent"' in preset.json()["detail"]


def test_strictness_refuses_every_unknown_parameter(limited: Server) -> None:
    unknown = limited.get("/img/shoe.jpg?widht=100&utm_source=mail")
    assert unknown.status_code == 400
    assert [word in unknown.json()["detail"] for word in ("widht", "width", "utm_source")] == [True] * 3


@pytest.mark.parametrize(
    ("name", "status", "code", "limit"),
    [
        ("noise.jpg", 413, "original_too_large", "original_bytes"),
        ("large.png", 422, "limit_exceeded", "original_pixels"),
        ("phone.jpg", 422, "limit_exceeded", "original_side"),
    ],
)
def test_an_original_over_a_limit_is_refused_with_the_limit_named(
    limited: Server, name: str, status: int, code: str, limit: str
) -> None:
    answer = limited.get(f"/img/{name}?width=40")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert limit in answer.json()["detail"]


def test_an_animation_stays_one_through_a_resize_unless_a_still_is_requested(site: Server) -> None:
    moving, still = (site.get(f"/img/kinds/moving.gif?width=32{more}") for more in ("", "&animate=0"))
    frames = opened(moving.content, n=-1)
    assert frames.get("n-pages") == 3
    assert frames.get("delay") == [100, 200, 300]
    assert opened(still.content).get("n-pages") == 1


def test_transparency_falls_on_the_background_where_a_format_has_none(site: Server) -> None:
    answer = site.get("/img/clear.png?format=jpg&background=1eb41e&width=100")
    assert near(color_at(opened(answer.content), 0.9, 0.1), GREEN)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("download=a.webp", 'attachment; filename="a.webp"'),
        ("dl=", 'attachment; filename="shoe.jpg"'),
        ("dl=Schuh%20%C3%BC.jpg", "attachment; filename=\"Schuh u.jpg\"; filename*=UTF-8''Schuh%20%C3%BC.jpg"),
        ("dl=bare", 'attachment; filename="bare.jpg"'),
        ("dl=%22;%20x=.jpg", "attachment; filename=\"_; x=.jpg\"; filename*=UTF-8''%22%3B%20x%3D.jpg"),
        ("width=100", 'inline; filename="shoe.jpg"'),
        ("format=png", 'inline; filename="shoe.png"'),
    ],
)
def test_a_saved_picture_has_the_name_that_was_requested(site: Server, query: str, told: str) -> None:
    assert site.get(f"/img/shoe.jpg?{query}").headers["content-disposition"] == told


def test_every_mistake_of_a_query_is_reported_at_once_and_as_data(site: Server) -> None:
    query = "width=-3&fit=krop&quality=900&crop=<script>&dpr=x&rotate=1e9&width=5&background=%00&format=bmp"
    answer = site.get_exactly(f"/img/shoe.jpg?{query}")
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert b"\\u003c" not in answer.body
    for name in (b"width", b"fit", b"quality", b"crop", b"dpr", b"rotate", b"background", b"format"):
        assert b'"' + name + b":" in answer.body, name


@pytest.mark.parametrize(
    "query",
    [
        "width=0",
        "width=",
        "width=abc",
        "height=-1",
        "width=1&width=2",
        "dpr=0",
        "quality=0",
        "fit=none",
        "aspect=1:0",
        "rect=1,2,3",
        "orient=9",
        "focus-x=2",
        "page=0",
        "width=%ff",
        "width=" + "9" * 5000,
        "f=nothing",
        "quality=200",
        "x=" + "y" * 9000,
        "&".join(f"a{n}=1" for n in range(200)),
    ],
    ids=lambda query: query[:20],
)
def test_a_mistake_is_a_400_and_not_a_picture(site: Server, query: str) -> None:
    answer = site.get_exactly(f"/img/shoe.jpg?{query}")
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")


def test_a_frame_or_page_that_is_not_there_is_a_400(site: Server) -> None:
    assert site.get("/img/kinds/moving.gif?frame=2").status_code == 200
    assert site.get("/img/kinds/moving.gif?frame=9").status_code == 400
    assert site.get("/img/kinds/tiff.tiff?page=9").status_code == 400


def test_a_file_that_is_no_picture_is_a_415(site: Server) -> None:
    answer = site.get("/img/notes.txt")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_image")


@pytest.mark.parametrize("prefix", ["/pictures/of", "/"])
def test_pictures_and_operations_stand_side_by_side_whatever_the_prefix(tmp_path: Path, prefix: str) -> None:
    settled(tmp_path / "o/a.svg", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    with server(tmp_path / "o", env={"IMGSERVE_URLS__PREFIX": prefix}) as served:
        wanted = [f"{prefix.rstrip('/')}/a.svg", "/healthz", "/readyz", "/metrics", "/", "/static/imgserve.css"]
        statuses = {target: served.get(target).status_code for target in wanted}
    assert statuses == dict.fromkeys(wanted, 200)
