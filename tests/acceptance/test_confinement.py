"""No path leaves the folder of originals: what must not be served looks exactly like what is not there."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.pictures import encoded, quarters
from tests.servers import Answer, Server, server, settled

PICTURE = encoded(quarters(40, 30), "jpg")

CLIMBING = [
    "../outside.jpg",
    "../../../../../../etc/passwd",
    "inside/../shoe.jpg",
    "inside/../../outside.jpg",
    "./shoe.jpg",
    "inside/./shoe.jpg",
    "%2e%2e/outside.jpg",
    "%2e%2e%2foutside.jpg",
    "..%2foutside.jpg",
    "..%2Foutside.jpg",
    ".%2e/outside.jpg",
    "..%5coutside.jpg",
    "..\\outside.jpg",
    "%2e%2e%5coutside.jpg",
    "%252e%252e%252foutside.jpg",
    "%252e%252e/outside.jpg",
    "..%252foutside.jpg",
    "..%c0%afoutside.jpg",
    "%c0%ae%c0%ae/outside.jpg",
    "..;/outside.jpg",
    "..%00/outside.jpg",
    "shoe.jpg%00",
    "shoe.jpg%00.png",
    "%00",
    "shoe.jpg/",
    "shoe.jpg/.",
    "shoe.jpg/..",
    "shoe.jpg/../shoe.jpg",
    "shoe.jpg/more",
    "/shoe.jpg",
    "inside//shoe.jpg",
    "{root}/shoe.jpg",
    "/{root}/shoe.jpg",
    "%2f{root}/shoe.jpg",
    "{outside}",
    "/{outside}",
    "file://{outside}",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "~/outside.jpg",
    "..",
    ".",
    "",
]
NOT_FOR_THE_PUBLIC = [
    ".hidden.jpg",
    ".git/shoe.jpg",
    "inside/.hidden.jpg",
    "inside/.cache/shoe.jpg",
    "%2ehidden.jpg",
    "inside",
    "inside/",
    "fifo.jpg",
    "socket.jpg",
    "to-outside.jpg",
    "to-outside-relative.jpg",
    "to-outside-folder/outside.jpg",
    "to-passwd",
    "to-null.jpg",
    "to-hidden.jpg",
    "to-itself.jpg",
    "to-nothing.jpg",
    "to-root/shoe.jpg/more",
    "to-sibling/evil.jpg",
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Lay out originals with a way out of every kind, and a folder beside it whose name begins the same."""
    base = tmp_path_factory.mktemp("places")
    root, outside = base / "originals", settled(base / "outside.jpg", PICTURE)
    settled(base / "originals-evil/evil.jpg", PICTURE)
    for name in ("shoe.jpg", "inside/shoe.jpg", ".hidden.jpg", ".git/shoe.jpg"):
        settled(root / name, PICTURE)
    for name in ("inside/.hidden.jpg", "inside/.cache/shoe.jpg"):
        settled(root / name, PICTURE)
    os.mkfifo(root / "fifo.jpg")
    for name, target in (
        ("to-outside.jpg", str(outside)),
        ("to-outside-relative.jpg", "../outside.jpg"),
        ("to-outside-folder", str(base)),
        ("to-passwd", "/etc/passwd"),
        ("to-null.jpg", "/dev/null"),
        ("to-hidden.jpg", ".hidden.jpg"),
        ("to-itself.jpg", "to-itself.jpg"),
        ("to-nothing.jpg", "nothing.jpg"),
        ("to-root", "."),
        ("to-sibling", "../originals-evil"),
        ("to-shoe.jpg", "inside/shoe.jpg"),
        ("to-shoe-absolute.jpg", str(root / "shoe.jpg")),
        ("to-inside", "inside"),
    ):
        (root / name).symlink_to(target)
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(root / "socket.jpg"))
        yield root, outside


@pytest.fixture(scope="module")
def guarded(places: tuple[Path, Path]) -> Iterator[Server]:
    with server(places[0]) as served:
        yield served


def _told(answer: Answer) -> tuple[int, dict[str, str], dict[str, object]]:
    """Return all that a client is told, but for what names its own request."""
    body = json.loads(answer.body)
    assert body.pop("request_id") == answer.headers["x-request-id"]
    body.pop("instance")
    body.pop("id", None)
    detail = str(body.pop("detail"))
    # More is told only of images that are served anyway.
    served = ('"shoe.jpg" exists', '"to-root/shoe.jpg" exists')
    assert detail.startswith("There is no image") or any(name in detail for name in served)
    headers = {name: value for name, value in answer.headers.items() if name not in {"x-request-id", "date"}}
    headers.pop("content-length")
    return answer.status, headers, body


@pytest.mark.parametrize("query", ["", "?width=20", "?width=20&auto=format"])
@pytest.mark.parametrize("path", [*CLIMBING, *NOT_FOR_THE_PUBLIC])
def test_what_must_not_be_served_is_indistinguishable_from_a_missing_one(
    guarded: Server, places: tuple[Path, Path], path: str, query: str
) -> None:
    root, outside = places
    asked = path.format(root=root, outside=outside)
    assert _told(guarded.get_exactly(f"/img/{asked}{query}")) == _told(guarded.get_exactly(f"/img/absent.jpg{query}"))


@pytest.mark.parametrize(
    "path",
    ["to-shoe.jpg", "to-shoe-absolute.jpg", "to-inside/shoe.jpg", "to-root/shoe.jpg", "to-root/to-inside/shoe.jpg"],
)
def test_a_link_to_a_place_inside_the_folder_is_served(guarded: Server, path: str) -> None:
    assert guarded.get_exactly(f"/img/{path}").status == 200


@pytest.mark.parametrize("target", ["/img", "/IMG/shoe.jpg", "/%69mg/shoe.jpg", "/img%2fshoe.jpg", "//img/shoe.jpg"])
def test_the_prefix_is_spelled_in_one_way(guarded: Server, target: str) -> None:
    assert guarded.get_exactly(target).status == 404


@pytest.mark.parametrize("path", ["../pyproject.toml", "%2e%2e/pyproject.toml", "..%2f..%2fetc/passwd", "", "."])
def test_the_static_files_are_confined_too(guarded: Server, path: str) -> None:
    assert guarded.get_exactly(f"/static/{path}").status == 404


def test_links_can_be_refused_altogether(places: tuple[Path, Path]) -> None:
    with server(places[0], env={"IMGSERVE_ORIGINALS__FOLLOW_LINKS": "false"}) as served:
        assert served.get_exactly("/img/shoe.jpg").status == 200
        linked = served.get_exactly("/img/to-shoe.jpg"), served.get_exactly("/img/to-inside/shoe.jpg")
        assert [answer.status for answer in linked] == [404, 404]


def test_a_picture_that_becomes_a_link_to_the_outside_is_gone(tmp_path: Path) -> None:
    outside, root = settled(tmp_path / "outside.jpg", PICTURE), tmp_path / "root"
    shoe = settled(root / "shoe.jpg", PICTURE)
    with server(root, env={"IMGSERVE_ORIGINALS__RECHECK": "0ms"}) as served:
        assert served.get("/img/shoe.jpg").status_code == 200
        shoe.unlink()
        shoe.symlink_to(outside)
        assert served.get("/img/shoe.jpg").status_code == 404


@pytest.mark.parametrize("path", ["inside", "fifo.jpg", "socket.jpg", "to-null.jpg", "to-root", "absent.jpg"])
def test_requesting_what_is_no_picture_leaves_no_file_open(guarded: Server, path: str) -> None:
    process = psutil.Process(guarded.process.pid)
    guarded.get_exactly(f"/img/{path}")
    before = process.num_fds()
    for number in range(20):
        guarded.get_exactly(f"/img/{path}?width={number + 1}")
        guarded.get_exactly(f"/img/{path}/{number}")
    assert process.num_fds() < before + 10
