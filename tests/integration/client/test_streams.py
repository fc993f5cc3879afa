"""Responses that arrive piece by piece, and pictures: both clients with a server on a real socket."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from imgserve.client.api import AnswerNotUnderstood, Imgserve, Purged, ServerUnreachable, Stats, Warmed
from imgserve.errors import Busy, ImageExists, ImageNotFound, RenderTimeout
from tests.api_server import TIME, ApiServer, ndjson, record, told

LINE = {"done": 1, "total": 2, "failed": 0, "made": 3, "id": "a.jpg"}
PROBLEM = {"code": "render_timeout", "detail": "Slow."}
BAD = {"done": 2, "total": 2, "failed": 1, "made": 3, "id": "b.jpg", "problem": PROBLEM}
END = {"done": 2, "total": 2, "failed": 1, "made": 3, "finished": True}


def test_warming_is_reported_step_by_step(api: ApiServer, client: Imgserve) -> None:
    api.first.append(lambda: told(Busy(retry_after=0)))
    api.answers["/api/warm"] = ndjson(LINE, BAD, END)
    first, second, last = client.warm(["a.jpg", "b.jpg"], presets=["card"], transforms="w=400&fm=webp")
    assert first == Warmed(1, 2, 0, 3, "a.jpg")
    assert isinstance(second.error, RenderTimeout)
    assert last == Warmed(2, 2, 1, 3, finished=True)
    assert api.seen[-1].document == {
        "ids": ["a.jpg", "b.jpg"], "presets": ["card"], "transforms": ["format=webp&width=400"]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda: ndjson(LINE), ServerUnreachable),
        (lambda: ndjson(LINE, broken=True), ServerUnreachable),
        (lambda: ndjson(LINE, "news"), AnswerNotUnderstood),
        (lambda: told(ImageNotFound()), ImageNotFound),
    ],
)
def test_warming_that_breaks_off_is_an_error(
    api: ApiServer, client: Imgserve, answer: Any, kind: type[Exception]
) -> None:
    api.answers["/api/warm"] = answer()
    with pytest.raises(kind):
        list(client.warm(prefix="", presets=["card"]))


def test_a_zip_is_written_whole(api: ApiServer, client: Imgserve, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.webp", bytes(500_000))
    api.answers["/api/transform"] = Response(packed.getvalue(), media_type="application/zip")
    client.transform_zip({"width": 400}, tags=["x"], to=tmp_path / "all.zip")
    assert zipfile.ZipFile(tmp_path / "all.zip").namelist() == ["a.webp"]
    assert api.seen[-1].document == {"query": {"tag": ["x"]}, "steps": ["width=400"], "output": "zip"}


def test_a_zip_that_breaks_off_leaves_what_was_there(api: ApiServer, client: Imgserve, tmp_path: Path) -> None:
    (tmp_path / "all.zip").write_text("older")
    api.answers["/api/transform"] = ndjson("half", broken=True)
    with pytest.raises(ServerUnreachable, match="broke off"):
        client.transform_zip("width=400", ["a.jpg"], to=tmp_path / "all.zip")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("all.zip", "older")]


def test_a_picture_is_requested_without_the_key(api: ApiServer, client: Imgserve, tmp_path: Path) -> None:
    api.answers["/img/a%20b.jpg"] = Response(b"PICTURE", media_type="image/webp", headers={"x-image-adjusted": "size"})
    picture = client.picture("a b.jpg", width=400, format="webp")
    picture.save(tmp_path / "out.webp")
    assert (picture.data, picture.media_type, picture.adjusted) == (b"PICTURE", "image/webp", "size")
    assert (tmp_path / "out.webp").read_bytes() == b"PICTURE"
    assert "authorization" not in api.seen[-1].headers
    assert client.urls.url("a b.jpg", width=400) == f"{api.base_url}/img/a%20b.jpg?width=400"


def test_a_picture_is_converted_and_transformed(api: ApiServer, client: Imgserve) -> None:
    picture = Response(b"PICTURE", media_type="image/png")
    api.answers |= {"/api/convert/png/a.jpg": picture, "/api/transform/a.jpg": picture}
    assert client.convert("a.jpg", ".png", width=400).data == b"PICTURE"
    assert api.seen[-1].query == (("width", "400"),)
    assert client.transform("a.jpg", ["w=400", {"rotate": 90}]).media_type == "image/png"
    assert api.seen[-1].document == {"steps": ["width=400", "rotate=90"], "output": "picture"}


@pytest.mark.parametrize(
    ("arguments", "path", "document"),
    [
        ({"image_id": "a/b.jpg"}, "/api/purge/a/b.jpg", None),
        ({"prefix": "a/"}, "/api/purge", {"prefix": "a/"}),
        ({"tag": "x"}, "/api/purge", {"tag": "x"}),
        ({"preset": "card"}, "/api/purge", {"preset": "card"}),
        ({"everything": True}, "/api/purge", {"all": True}),
        ({"everything": True, "mezzanines": True}, "/api/purge", {"all": True, "mezzanines": True}),
    ],
)
def test_each_purge_has_its_address(
    api: ApiServer, client: Imgserve, arguments: dict[str, Any], path: str, document: object
) -> None:
    api.answers[path] = JSONResponse({"images": 1, "renditions": 2})
    assert client.purge(**arguments) == Purged(1, 2)
    assert api.seen[-1].path == path
    assert (api.seen[-1].document if api.seen[-1].body else None) == document


def test_images_are_moved_one_by_one_or_by_prefix(api: ApiServer, client: Imgserve) -> None:
    problem = {"status": 409, "code": "image_exists", "detail": "It is taken."}
    results = [{"id": "a/x.jpg", "image": record("b/x.jpg")}, {"id": "a/y.jpg", "problem": problem}]
    api.answers |= {
        "/api/move/a/x.jpg": JSONResponse(record("b/x.jpg")),
        "/api/move": JSONResponse({"results": results}),
    }
    assert client.move("a/x.jpg", "b/x.jpg").image_id == "b/x.jpg"
    assert api.seen[-1].document == {"to": "b/x.jpg"}
    moved, failed = client.move_many("a/", "b/")
    assert api.seen[-1].document == {"prefix": "a/", "to": "b/"}
    assert (moved.image_id, moved.image and moved.image.image_id, moved.error) == ("a/x.jpg", "b/x.jpg", None)
    assert (failed.image_id, failed.image, isinstance(failed.error, ImageExists)) == ("a/y.jpg", None, True)


def test_the_mezzanines_of_one_image_are_requested_in_the_query(api: ApiServer, client: Imgserve) -> None:
    api.answers["/api/purge/a.jpg"] = JSONResponse({"images": 1, "renditions": 2})
    client.purge("a.jpg", mezzanines=True)
    assert api.seen[-1].query == (("mezzanines", "true"),)


def test_many_images_are_selected_by_ids_or_by_filters(api: ApiServer, client: Imgserve) -> None:
    api.answers["/api/bulk/tag"] = JSONResponse({"changed": 3})
    api.answers["/api/bulk/purge"] = JSONResponse({"images": 3, "renditions": 9})
    api.answers["/api/bulk/delete"] = JSONResponse({"deleted": [{"id": "a"}, {"id": "b", "trash_item": "i"}]})
    assert client.tag_many(["a", "b"], add=["x"], remove=["y"]) == 3
    assert api.seen[-1].document == {"ids": ["a", "b"], "add": ["x"], "remove": ["y"]}
    assert client.purge_many(prefix="a/", min_width=3) == Purged(3, 9)
    assert api.seen[-1].document == {"query": {"prefix": "a/", "min_width": 3}}
    client.purge_many(["a"], mezzanines=True)
    assert api.seen[-1].document == {"ids": ["a"], "mezzanines": True}
    assert [(gone.image_id, gone.trash_item) for gone in client.delete_many(prefix="")] == [("a", None), ("b", "i")]
    assert api.seen[-1].document == {"query": {"prefix": ""}}


def test_more_ids_than_a_request_holds_go_in_several(api: ApiServer, client: Imgserve) -> None:
    api.answers["/api/bulk/tag"] = JSONResponse({"changed": 400})
    api.answers["/api/bulk/purge"] = JSONResponse({"images": 1, "renditions": 2})
    ids = [f"{number}.jpg" for number in range(1100)]
    assert client.tag_many(ids, add=["x"]) == 1200
    assert [len(seen.document["ids"]) for seen in api.seen] == [500, 500, 100]
    assert [image_id for seen in api.seen for image_id in seen.document["ids"]] == ids
    assert client.purge_many(iter(ids)) == Purged(3, 6)


def test_no_ids_send_no_request(api: ApiServer, client: Imgserve) -> None:
    assert (client.delete_many([]), client.tag_many([], add=["x"]), client.purge_many([])) == ([], 0, Purged(0, 0))
    assert api.seen == []


def test_the_other_responses_are_read(api: ApiServer, client: Imgserve) -> None:
    twin = record("b.jpg")
    problems = [{"id": "n.txt", "code": "unsupported_image", "detail": "No.", "since": TIME}]
    api.answers |= {
        "/api/stats": JSONResponse({"images": 2, "bytes": 9, "problems": 1, "version": "1.0", "news": 1}),
        "/api/cache": JSONResponse({"memory": {"entries": 3}}),
        "/api/tags": JSONResponse({"tags": [{"tag": "x", "images": 2}]}),
        "/api/duplicates": JSONResponse({"groups": [[record("a.jpg"), twin]], "next": None}),
        "/api/problems": JSONResponse({"problems": problems, "next": None}),
        "/api/similar/a.jpg": JSONResponse({"images": [{"distance": 4, "image": twin}]}),
        "/api/trash/item%2F1": JSONResponse({}),
    }
    assert client.stats() == Stats(2, 9, 1, "1.0")
    assert client.cache_stats() == {"memory": {"entries": 3}}
    assert [(found.tag, found.images) for found in client.tags()] == [("x", 2)]
    assert [[image.image_id for image in group] for group in client.duplicates()] == [["a.jpg", "b.jpg"]]
    assert [problem.code for problem in client.problems("n")] == ["unsupported_image"]
    assert [(found.image_id, found.distance) for found in client.similar("a.jpg", distance=6)] == [("b.jpg", 4)]
    client.empty_trash("item/1")
    assert api.seen[-1].method == "DELETE"
