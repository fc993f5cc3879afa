"""`auto=format`: which browser gets which format, and what caches are told about it."""

import random
from collections.abc import Iterator

import pytest
import pyvips

from tests.pictures import encoded, noise
from tests.servers import Server, server, settled

CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
CHROME_PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
FIREFOX = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
FIREFOX_OLD = "image/webp,*/*"
SAFARI = "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"  # noqa: E501  as sent
SAFARI_14 = "image/webp,image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5"
SAFARI_OLD = "image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5"
ANYTHING = "*/*"


def media_type(site: Server, target: str, accept: str) -> str:
    answer = site.get(target, accept=accept)
    assert answer.status_code == 200, answer.text
    return answer.headers["content-type"].removeprefix("image/")


@pytest.mark.parametrize(
    ("accept", "photograph", "drawing"),
    [
        (CHROME, "avif", "avif"),
        (CHROME_PAGE, "avif", "avif"),
        (FIREFOX, "avif", "avif"),
        (FIREFOX_OLD, "webp", "webp"),
        (SAFARI_14, "webp", "webp"),
        (SAFARI_OLD, "jpeg", "png"),
        (ANYTHING, "jpeg", "png"),
        ("", "jpeg", "png"),
        ("image/webp;q=0, image/avif;q=0, */*", "jpeg", "png"),
        ("image/avif;q=0, image/webp", "webp", "webp"),
        ("image/*", "jpeg", "png"),
        ("text/html", "jpeg", "png"),
        (";;;,,,q=1", "jpeg", "png"),
    ],
    ids=lambda value: value[:24],
)
def test_every_browser_gets_the_best_format_that_it_takes(
    site: Server, accept: str, photograph: str, drawing: str
) -> None:
    assert media_type(site, "/img/shoe.jpg?width=64&auto=format", accept) == photograph
    assert media_type(site, "/img/clear.png?width=64&auto=format", accept) == drawing


def test_safari_names_both_modern_formats_and_gets_one_of_them(site: Server) -> None:
    assert media_type(site, "/img/shoe.jpg?width=64&auto=format", SAFARI) in {"avif", "webp"}


@pytest.mark.parametrize("way", ["auto=format", "format=auto", "auto=compress,format", "auto=format&format=png"])
def test_there_are_several_ways_to_ask_for_negotiation(site: Server, way: str) -> None:
    assert media_type(site, f"/img/shoe.jpg?width=64&{way}", CHROME) == "avif"


@pytest.mark.parametrize("target", ["shoe.jpg?width=64&auto=format&format=png", "shoe.png?width=64&auto=format"])
def test_a_format_in_the_url_is_for_those_who_take_no_modern_one(site: Server, target: str) -> None:
    assert media_type(site, f"/img/{target}", ANYTHING) == "png"
    assert media_type(site, f"/img/{target}", CHROME) == "avif"


def test_an_animation_stays_one_where_it_is_negotiated(tight: tuple[Server, int]) -> None:
    assert media_type(tight[0], "/img/moving.gif?auto=format", CHROME) == "webp"
    assert media_type(tight[0], "/img/moving.gif?auto=format", ANYTHING) == "gif"


def test_avif_is_chosen_up_to_a_ceiling_of_pixels(tight: tuple[Server, int]) -> None:
    assert media_type(tight[0], "/img/large.png?width=1800&auto=format", CHROME) == "avif"
    assert media_type(tight[0], "/img/large.png?width=2000&auto=format", CHROME) == "webp"
    assert media_type(tight[0], "/img/large.png?width=2000&format=avif", CHROME) == "avif"


@pytest.mark.parametrize("accept", [CHROME, FIREFOX_OLD, ANYTHING])
def test_vary_stands_on_every_answer_of_a_negotiated_url(site: Server, accept: str) -> None:
    target = "/img/shoe.jpg?width=64&auto=format"
    whole = site.get(target, accept=accept)
    fresh = site.get(target, accept=accept, if_none_match=whole.headers["etag"])
    head, part = site.ask("HEAD", target, accept=accept), site.get(target, accept=accept, range="bytes=0-9")
    answers = [whole, fresh, head, part]
    assert [answer.status_code for answer in answers] == [200, 304, 200, 206]
    assert [answer.headers.get("vary") for answer in answers] == ["Accept"] * 4


@pytest.mark.parametrize(
    "target", ["/img/shoe.jpg", "/img/shoe.jpg?width=64", "/img/shoe.webp?width=64", "/", "/healthz"]
)
def test_vary_is_absent_where_nothing_was_negotiated(site: Server, target: str) -> None:
    assert site.get(target, accept=CHROME).headers.get("vary", "").lower() in {"", "accept-encoding"}


def test_each_negotiated_format_has_its_own_etag(site: Server) -> None:
    etags = {
        site.get("/img/shoe.jpg?width=64&auto=format", accept=accept).headers["etag"]
        for accept in (CHROME, FIREFOX_OLD, ANYTHING)
    }
    assert len(etags) == 3


def test_what_is_negotiated_is_the_picture_that_a_named_format_is(site: Server) -> None:
    negotiated = site.get("/img/shoe.jpg?width=64&auto=format", accept=FIREFOX_OLD)
    assert negotiated.headers["etag"] == site.get("/img/shoe.jpg?width=64&format=webp").headers["etag"]


def test_clients_of_one_class_share_a_rendition(site: Server) -> None:
    target = "/img/shoe.jpg?width=66&auto=format"
    first, second = site.get(target, accept=CHROME), site.get(target, accept=FIREFOX)
    assert first.headers["etag"] == second.headers["etag"]
    assert "hit" in second.headers["cache-status"]


def test_an_accept_header_on_two_lines_is_one_list(site: Server) -> None:
    lines = b"Accept: image/webp\r\nAccept: image/png\r\nHost: a\r\nConnection: close\r\n"
    answer = site.send(b"GET /img/shoe.jpg?width=64&auto=format HTTP/1.1\r\n" + lines + b"\r\n")
    assert answer.headers["content-type"] == "image/webp"


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, int]]:
    """Serve a JPEG of so low a quality that every other format of it is larger, and originals that are large."""
    originals = tmp_path_factory.mktemp("tight")
    pixels = random.Random(3).randbytes(400 * 300 * 3)
    rough = pyvips.Image.new_from_memory(pixels, 400, 300, 3, "uchar").copy(interpretation="srgb")
    settled(originals / "tight.jpg", data := encoded(rough.resize(2).crop(0, 0, 400, 300), "jpg", Q=10))
    settled(originals / "large.png", encoded(noise(2000, 1500), "png"))
    frames = pyvips.Image.arrayjoin([noise(200, 150), noise(200, 150).fliphor()], across=1).copy()
    frames.set_type(pyvips.GValue.gint_type, "page-height", 150)
    settled(originals / "moving.gif", encoded(frames, "gif"))
    with server(originals, env={"IMGSERVE_RENDERING__SLOW_PIXELS": "100000000"}) as served:
        yield served, len(data)


@pytest.mark.parametrize("accept", ["image/avif,image/webp,*/*", "image/webp,*/*", "*/*"])
@pytest.mark.parametrize("query", ["auto=format", "auto=format&w=400", "auto=format&w=800"])
def test_a_format_that_loses_to_the_original_is_dropped(tight: tuple[Server, int], query: str, accept: str) -> None:
    served, size = tight
    for _ in range(2):
        answer = served.get(f"/img/tight.jpg?{query}", accept=accept)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg"), answer.text
        assert len(answer.content) <= size
        assert answer.headers["vary"] == "Accept"
    again = served.get(f"/img/tight.jpg?{query}", **{"accept": accept, "if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


def test_a_named_format_is_never_dropped(tight: tuple[Server, int]) -> None:
    served, size = tight
    answer = served.get("/img/tight.jpg?format=webp")
    assert (answer.headers["content-type"], len(answer.content) > size) == ("image/webp", True)


def test_the_smallest_accepted_format_is_chosen_for_each_class_of_clients(site: Server) -> None:
    target, sizes = "/img/shoe.jpg?width=64&auto=best", dict[str, int]()
    for accept in (CHROME, FIREFOX_OLD, ANYTHING, CHROME):
        answer = site.get(target, accept=accept)
        media_type = answer.headers["content-type"]
        assert (answer.status_code, answer.headers.get("vary")) == (200, "Accept"), answer.text
        assert media_type.removeprefix("image/") in {*accept.replace("image/", "").split(","), "jpeg"}
        extension = media_type.removeprefix("image/").replace("jpeg", "jpg")
        assert answer.headers["content-disposition"] == f'inline; filename="shoe.{extension}"'
        sizes[accept] = len(answer.content)
        again = site.get(target, accept=accept, if_none_match=answer.headers["etag"])
        assert (again.status_code, again.headers["vary"]) == (304, "Accept")
    assert sizes[CHROME] <= sizes[FIREFOX_OLD] <= sizes[ANYTHING]
    assert site.get(target, accept=CHROME).headers["cache-status"].startswith("imgserve; hit")


def test_a_limit_on_bytes_is_met_or_refused_without_another_try(site: Server) -> None:
    answer = site.get("/img/shoe.jpg?s=1KB&fm=jpg")
    assert (answer.status_code, len(answer.content) <= 1000) == (200, True)
    assert "max-bytes: quality 30, " in answer.headers["x-image-adjusted"]
    refused = site.get("/img/shoe.jpg?max-bytes=10")
    assert (refused.status_code, refused.json()["code"]) == (422, "max_bytes_unreachable")
    assert refused.json()["smallest_bytes"] > 10
    tried = site.figure("imgserve_renders_total", result="max_bytes_unreachable")
    assert site.get("/img/shoe.jpg?max-bytes=10").status_code == 422
    assert site.figure("imgserve_renders_total", result="max_bytes_unreachable") == tried == 1
