"""What happens when files change under a running server: new, replaced, half-copied, deleted, all gone."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.pictures import BLUE, GREEN, RED, color_at, encoded, near, noise, opened, quarters
from tests.prefork import PATIENCE
from tests.servers import Server, server, settled, until

WITHIN = 1.3
"""One second is promised, to requests that begin after it. The rest is for the time between a look and its note."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("changing")


@pytest.fixture(scope="module")
def changing(folder: Path) -> Iterator[Server]:
    # A new original stays young for the few requests of a test, on a busy machine too.
    with server(folder, env={"IMGSERVE_ORIGINALS__SETTLE": "5s"}) as served:
        yield served


def plain(color: tuple[int, int, int], name: str = "png") -> bytes:
    return encoded((quarters(40, 30) * 0 + list(color)).cast("uchar"), name)


def shows(answer: httpx2.Response, color: tuple[int, int, int]) -> bool:
    return answer.status_code == 200 and near(color_at(opened(answer.content), 0.5, 0.5), color)


def same_size(one: bytes, other: bytes) -> tuple[bytes, bytes]:
    """Pad two pictures to one length; decoders do not look behind the end of a picture."""
    length = max(len(one), len(other))
    return one.ljust(length, b"\0"), other.ljust(length, b"\0")


def put_in_place(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def put_by_rename(path: Path, data: bytes) -> None:
    beside = path.with_name(".incoming")
    beside.write_bytes(data)
    beside.rename(path)


def put_older(path: Path, data: bytes) -> None:
    """Replace as `cp -p` does, by a file that was changed long before the one that it replaces."""
    path.write_bytes(data)
    os.utime(path, (1_000_000_000, 1_000_000_000))


@pytest.mark.parametrize("put", [put_in_place, put_by_rename, put_older], ids=lambda put: put.__name__)
@pytest.mark.parametrize("equal_size", [False, True])
def test_a_replaced_original_is_served_new_within_a_second(
    changing: Server, folder: Path, put: Callable[[Path, bytes], None], *, equal_size: bool
) -> None:
    before, after = plain(RED), plain(BLUE, "jpg")
    if equal_size:
        before, after = same_size(before, after)
    path = settled(folder / f"{put.__name__}-{equal_size}.png", before)
    address = f"/img/{path.name}?width=20&format=png"
    old = changing.get(address)
    assert shows(old, RED)
    assert shows(changing.get(address), RED)
    put(path, after)
    new = until(lambda: shows(answer := changing.get(address), BLUE) and answer, WITHIN)
    assert isinstance(new, httpx2.Response)
    assert new.headers["etag"] != old.headers["etag"]
    assert shows(changing.get(address, if_none_match=old.headers["etag"]), BLUE)


@pytest.mark.parametrize("extension", ["png", "webp"])
def test_a_size_first_requested_right_after_a_replacement_is_made_of_the_new_original(
    changing: Server, folder: Path, extension: str
) -> None:
    path = settled(folder / f"switch-{extension}.png", plain(RED))
    address = f"/img/switch-{extension}.{extension}"
    assert shows(changing.get(f"{address}?width=20"), RED)
    put_by_rename(path, plain(BLUE))
    answer = changing.get(f"{address}?width=21")
    assert shows(answer, BLUE), answer.text


def test_a_deleted_original_is_absent_within_a_second_although_its_rendition_is_cached(
    changing: Server, folder: Path
) -> None:
    path = settled(folder / "deleted.png", plain(RED))
    address = "/img/deleted.png?width=20"
    etag = changing.get(address).headers["etag"]
    assert "hit" in changing.get(address).headers["cache-status"]
    path.unlink()
    until(lambda: changing.get(address).status_code == 404, WITHIN)
    assert changing.get(address, if_none_match=etag).status_code == 404
    assert changing.get("/img/deleted.webp?width=20").status_code == 404


def test_an_original_that_comes_back_has_its_old_etag(changing: Server, folder: Path) -> None:
    path = settled(folder / "back.png", plain(GREEN))
    address = "/img/back.png?width=20"
    etag = changing.get(address).headers["etag"]
    path.rename(folder / ".aside")
    until(lambda: changing.get(address).status_code == 404, WITHIN)
    (folder / ".aside").rename(path)
    until(lambda: changing.get(address).headers.get("etag") == etag, WITHIN)


def test_a_new_original_is_served_within_a_second_of_a_404(changing: Server, folder: Path) -> None:
    address = "/img/fresh/new.png?width=20"
    assert changing.get(address).status_code == 404
    settled(folder / "fresh/new.png", plain(GREEN))
    until(lambda: shows(changing.get(address), GREEN), WITHIN)


def test_an_original_takes_over_from_the_one_that_stood_in_for_it(changing: Server, folder: Path) -> None:
    settled(folder / "both.jpg", plain(RED, "jpg"))
    assert shows(changing.get("/img/both.webp"), RED)
    settled(folder / "both.webp", plain(BLUE, "webp"))
    until(lambda: shows(changing.get("/img/both.webp"), BLUE), WITHIN)


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "gif", "tiff", "avif"])
def test_a_picture_still_being_copied_is_never_half_served(changing: Server, folder: Path, name: str) -> None:
    whole = encoded(noise(200, 150), name)
    path, address = folder / f"growing.{name}", f"/img/growing.{name}?width=100&format=png"
    right = changing_to(changing, settled(folder / f"whole.{name}", whole))
    statuses = set()
    for piece in range(1, 8):
        with path.open("ab") as file:
            file.write(whole[len(whole) * (piece - 1) // 8 : len(whole) * piece // 8])
        time.sleep(0.1)
        answer = changing.get(address)
        statuses.add(answer.status_code)
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["cache-control"] == "no-store"
        if answer.status_code == 200:  # a decoder that needs no more than it has: then for this moment only
            assert answer.headers["cache-control"] == "max-age=0"
            assert "stored" not in answer.headers["cache-status"]
    with path.open("ab") as file:
        file.write(whole[len(whole) * 7 // 8 :])
    assert statuses <= {503, 404, 200}
    assert 503 in statuses
    until(lambda: changing.get(address).content == right, WITHIN)


def changing_to(changing: Server, path: Path) -> bytes:
    answer = changing.get(f"/img/{path.name}?width=100&format=png")
    assert answer.status_code == 200
    return answer.content


def test_a_picture_that_stays_half_is_refused_once_it_is_no_longer_young(changing: Server, folder: Path) -> None:
    whole = encoded(noise(200, 150), "jpg")
    settled(folder / "half.jpg", whole[: len(whole) // 2])
    answer = changing.get("/img/half.jpg?width=100")
    assert (answer.status_code, answer.json()["code"]) == (422, "unreadable_image")
    assert answer.headers["cache-control"] == "no-store"


def test_a_picture_of_a_young_original_is_served_but_not_kept(changing: Server, folder: Path) -> None:
    (folder / "young.png").write_bytes(plain(RED))
    answer = changing.get("/img/young.png?width=20")
    assert shows(answer, RED)
    assert "stored" not in answer.headers["cache-status"]
    assert answer.headers["cache-control"] == "max-age=0"


def test_a_304_about_a_young_original_promises_no_more_than_its_200(changing: Server, folder: Path) -> None:
    (folder / "younger.png").write_bytes(plain(RED))
    answer = changing.get("/img/younger.png?width=20")
    again = changing.get("/img/younger.png?width=20", if_none_match=answer.headers["etag"])
    assert again.status_code == 304
    assert (answer.headers["cache-control"], again.headers["cache-control"]) == ("max-age=0",) * 2


def test_a_picture_of_an_original_that_has_settled_is_kept(changing: Server, folder: Path) -> None:
    (folder / "settling.png").write_bytes(plain(RED))
    until(lambda: "stored" in changing.get("/img/settling.png?width=20").headers.get("cache-status", ""), PATIENCE)
    assert "hit" in changing.get("/img/settling.png?width=20").headers["cache-status"]


def test_an_original_from_the_future_is_served_with_dates_of_today(changing: Server, folder: Path) -> None:
    path = settled(folder / "future.png", plain(RED))
    ahead = time.time() + 86_400
    os.utime(path, (ahead, ahead))
    answer = changing.get("/img/future.png?width=20")
    assert shows(answer, RED)
    since = answer.headers["last-modified"]
    assert changing.get("/img/future.png?width=20", if_modified_since=since).status_code == 304


def test_a_folder_of_originals_that_vanishes_makes_the_server_unready(tmp_path: Path) -> None:
    root = tmp_path / "originals"
    settled(root / "shoe.png", plain(RED))
    with server(root) as served:
        assert served.get("/readyz").status_code == 200
        root.rename(tmp_path / "elsewhere")
        answer = served.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "failed")
        assert answer.json()["parts"]["originals"].startswith("failed")
        assert served.get("/healthz").status_code == 200
        assert served.get("/img/shoe.png").status_code == 404
        (tmp_path / "elsewhere").rename(root)
        assert served.get("/readyz").status_code == 200
        until(lambda: shows(served.get("/img/shoe.png"), RED), WITHIN)
