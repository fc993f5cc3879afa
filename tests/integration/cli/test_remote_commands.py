"""The commands for a running server, beside one that speaks the API."""

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from imgserve.errors import Busy, UnsupportedImage
from tests.api_server import KEY, TIME, ApiServer, ndjson, record, told
from tests.servers import Run, imgserve


def test_files_are_uploaded_under_their_names(api: ApiServer, run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    (tmp_path / "b é.jpg").write_bytes(b"22")
    done = run("upload", "a.jpg", "b é.jpg", "--folder", "x/", "--title", "T", "--tag", "s", "--tag", "t")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == [
        "created  a.jpg -> x/a.jpg  /img/x/a.jpg",
        "created  b é.jpg -> x/b é.jpg  /img/x/b é.jpg",
    ]
    assert [(image["title"], image["tags"]) for image in api.images.values()] == [("T", ["s", "t"])] * 2


def test_a_folder_is_uploaded_with_the_paths_below_it(api: ApiServer, run: Run, tmp_path: Path) -> None:
    for name in ("p/a.jpg", "p/q/b.jpg", "p/.hidden/c.jpg", "p/.d.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    assert run("upload", "-r", "p", "--folder", "new").returncode == 0
    assert sorted(api.images) == ["new/a.jpg", "new/q/b.jpg"]
    refused = run("upload", "p")
    assert (refused.returncode, "pass --recursive" in refused.stderr) == (2, True)


def test_a_rejected_file_is_reported_and_does_not_stop_the_others(api: ApiServer, run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"1")
    (tmp_path / "b.jpg").write_bytes(b"2")
    api.first.append(lambda: told(UnsupportedImage()))
    done = run("upload", "--parallel", "1", "a.txt", "b.jpg", "--json")
    first, second = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1
    assert (first["name"], first["problem"]["code"], first["uploaded"]) == ("a.txt", "unsupported_image", None)
    assert second["uploaded"]["image"]["id"] == "b.jpg"
    api.first.append(lambda: told(UnsupportedImage()))
    assert run("upload", "a.txt").stderr.startswith("imgserve: a.txt: The original is not in an image format")


def test_a_file_replaces_what_has_its_id_only_where_that_is_declared(api: ApiServer, run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    api.images["x.jpg"] = record("x.jpg", b"older")
    assert run("upload", "a.jpg", "--id", "x.jpg").returncode == 1
    assert run("upload", "a.jpg", "--id", "x.jpg", "--replace").stdout == "replaced a.jpg -> x.jpg  /img/x.jpg\n"
    assert api.images["x.jpg"]["bytes"] == 1
    assert run("upload", "a.jpg", "--replace").returncode == 2


def test_images_are_found_for_people_and_for_programs(api: ApiServer, run: Run) -> None:
    api.images |= {name: record(name, b"1" * 2048) for name in ("a/1.jpg", "a/2.jpg", "b.jpg")}
    lines = run("find", "red", "shoe", "--prefix", "a/", "--tag", "x", "--min-width", 9, "--sort", "bytes").stdout
    assert [line.split()[:4] + line.split()[-1:] for line in lines.splitlines()] == [
        ["FORMAT", "PIXELS", "SIZE", "CHANGED", "ID"],
        ["jpg", "40x30", "2.05", "KB", "a/1.jpg"], ["jpg", "40x30", "2.05", "KB", "a/2.jpg"]
    ]  # fmt: skip
    assert dict(api.seen[-1].query) == {
        "q": "red shoe", "prefix": "a/", "tag": "x", "min_width": "9", "sort": "bytes", "limit": "500"
    }  # fmt: skip
    (found,) = map(json.loads, run("find", "--limit", 1, "--json").stdout.splitlines())
    assert (found["id"], found["bytes"], found["thumbhash"], found["perceptual_hash"], found["created"]) == (
        "a/1.jpg", 2048, "AQID", "00000000000000ff", TIME
    )  # fmt: skip


def test_a_name_cannot_command_the_terminal_and_keeps_its_bytes(api: ApiServer, run: Run) -> None:
    name = os.fsdecode(b"\xe9\x1b[31m.jpg")
    api.images[name] = record(name)
    done = run("find")
    assert done.stdout.encode("utf-8", "surrogateescape").endswith(b"  \xe9\\x1b[31m.jpg\n")
    assert json.loads(run("find", "--json").stdout)["id"] == name


def test_a_record_is_shown_and_changed(api: ApiServer, run: Run) -> None:
    api.images["a.jpg"] = record("a.jpg", b"1", tags=["s", "t"], title="Old")
    shown = run("show", "a.jpg").stdout
    assert "title            Old\n" in shown
    assert re.search(r"^changed          2026-11-\d\d \d\d:00$", shown, re.MULTILINE), "as lists tell it"
    changed = json.loads(
        run("change", "a.jpg", "--title", "New", "--no-tags", "--focal-point", "0.25,1", "--json").stdout
    )
    assert (changed["title"], changed["tags"], changed["focal_point"]) == ("New", [], {"x": 0.25, "y": 1.0})
    assert run("change", "a.jpg", "--no-focal-point").returncode == 0
    assert api.seen[-1].document == {"focal_point": None}


def test_an_image_is_deleted_and_restored_by_its_id(api: ApiServer, run: Run) -> None:
    api.answers["/api/bulk/delete"] = JSONResponse({"deleted": [{"id": "a.jpg", "trash_item": "i", "until": TIME}]})
    done = run("delete", "a.jpg", "gone.jpg")
    assert (done.returncode, done.stderr) == (1, "imgserve: gone.jpg: There is no image with this id.\n")
    assert json.loads(run("delete", "a.jpg", "--json").stdout)["trash_item"] == "i"
    api.trash["item-7"] = record("a.jpg", b"1")
    assert "1 B  item-7  a.jpg" in run("trash").stdout
    assert run("trash").stdout.split()[:2] == ["UNTIL", "SIZE"]
    assert run("restore", "a.jpg").stdout.endswith("a.jpg\n")
    again = run("restore", "a.jpg")
    assert (again.returncode, again.stderr) == (1, "imgserve: a.jpg: There is no such item in the trash.\n")


@pytest.mark.parametrize(
    ("command", "answer", "told"),
    [
        (["find"], {"images": []}, "no images match"),
        (["similar", "a"], {"images": []}, "no images look alike"),
        (["duplicates"], {"groups": []}, "no duplicates"),
        (["problems"], {"problems": []}, "no problems"),
        (["trash"], {"items": []}, "the trash is empty"),
    ],
)
def test_an_empty_list_is_reported_beside_the_output(
    api: ApiServer, run: Run, command: list[str], answer: dict[str, Any], told: str
) -> None:
    path = "/api/images" if command == ["find"] else "/".join(["/api", *command])
    api.answers[path] = JSONResponse(answer)
    done = run(*command)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"{told}\n")
    assert run(*command, "--json").stderr == ""


def test_an_image_that_does_not_exist_is_named(run: Run) -> None:
    assert run("show", "nope.jpg").stderr == "imgserve: there is no image 'nope.jpg'\n"


def test_emptying_the_trash_says_how_much_it_removed(api: ApiServer, run: Run) -> None:
    api.trash["item-7"] = record("a.jpg", b"1")
    api.answers["/api/trash"] = JSONResponse({"items": [{"item": "i", "id": "a.jpg", "deleted": TIME, "bytes": 3}]})
    assert run("trash", "--empty").stdout == "1 image deleted permanently\n"
    assert run("trash", "--empty", "--json").stdout == '{"deleted": 1}\n'
    assert api.seen[-1].method == "DELETE"


def test_the_server_is_named_before_or_after_the_command(api: ApiServer, tmp_path: Path) -> None:
    api.images["a.jpg"] = record("a.jpg")
    named = ["--server", api.base_url, "--key", KEY]
    for command in ([*named, "show", "a.jpg"], ["show", *named, "a.jpg"], ["show", "a.jpg", *named]):
        done = imgserve(*command, cwd=tmp_path)
        assert (done.returncode, "a.jpg" in done.stdout) == (0, True), done.stderr
    wrong = imgserve("--server", "http://127.0.0.1:1", "show", "a.jpg", *named, cwd=tmp_path)
    assert wrong.returncode == 0


def test_a_wrong_server_is_reported_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = imgserve("find", "--server", f"http://127.0.0.1:{port}", cwd=tmp_path)
    told = f"imgserve: http://127.0.0.1:{port}: cannot be reached: Connection refused\n"
    assert (done.returncode, done.stderr) == (1, told)


def test_each_retry_is_shown(api: ApiServer, run: Run) -> None:
    api.images["a.jpg"] = record("a.jpg")
    api.first.append(lambda: told(Busy(retry_after=0)))
    done = run("show", "a.jpg")
    assert done.returncode == 0
    assert re.fullmatch(r"imgserve: .* Next try in 0\.\d s\.\n", done.stderr)


@pytest.mark.parametrize(
    ("old", "new", "path", "document"),
    [
        ("a.jpg", "b/c.jpg", "/api/move/a.jpg", {"to": "b/c.jpg"}),
        ("x/a.jpg", "b/", "/api/move/x/a.jpg", {"to": "b/a.jpg"}),
    ],
)
def test_an_image_is_moved_to_an_id_or_into_a_folder(
    api: ApiServer, run: Run, old: str, new: str, path: str, document: object
) -> None:
    api.answers[path] = JSONResponse(record("b/c.jpg"))
    done = run("mv", old, new)
    assert (done.returncode, done.stdout.split()[-1]) == (0, "b/c.jpg")
    assert api.seen[-1].document == document


def test_a_folder_is_moved_and_what_stays_is_reported(api: ApiServer, run: Run) -> None:
    problem = {"status": 409, "code": "image_exists", "detail": "It is taken."}
    results = [{"id": "a/x.jpg", "image": record("b/x.jpg")}, {"id": "a/y.jpg", "problem": problem}]
    api.answers["/api/move"] = JSONResponse({"results": results})
    done = run("mv", "a/", "b/")
    assert (done.returncode, done.stdout.split()[-1]) == (1, "b/x.jpg")
    assert done.stderr == "imgserve: a/y.jpg: It is taken.\n"
    assert api.seen[-1].document == {"prefix": "a/", "to": "b/"}
    assert (run("mv", "a/", "b").returncode, len(api.seen)) == (2, 1)


def test_nothing_is_deleted_by_query_without_a_word(api: ApiServer, run: Run) -> None:
    done = run("delete", "--prefix", "a/")
    assert (done.returncode, "pass --yes" in done.stderr, api.seen) == (2, True, [])
    api.answers["/api/bulk/delete"] = JSONResponse({"deleted": []})
    assert run("delete", "--prefix", "a/", "--yes").returncode == 0
    assert api.seen[-1].document == {"query": {"prefix": "a/"}}


@pytest.mark.parametrize(
    ("arguments", "path", "document"),
    [
        (["a.jpg"], "/api/purge/a.jpg", None),
        (["a.jpg", "b.jpg"], "/api/bulk/purge", {"ids": ["a.jpg", "b.jpg"]}),
        (["--tag", "x"], "/api/purge", {"tag": "x"}),
        (["--all"], "/api/purge", {"all": True}),
        (["--all", "--mezzanines"], "/api/purge", {"all": True, "mezzanines": True}),
    ],
)
def test_the_purged_renditions_are_reported(
    api: ApiServer, run: Run, arguments: list[str], path: str, document: object
) -> None:
    api.answers[path] = JSONResponse({"images": 1, "renditions": 5})
    assert run("purge", *arguments).stdout == "5 renditions of 1 image purged\n"
    assert (api.seen[-1].document if api.seen[-1].body else None) == document


def test_lists_are_printed(api: ApiServer, run: Run) -> None:
    problem = {"id": "n.txt", "code": "unsupported_image", "detail": "No.", "since": TIME}
    api.answers |= {
        "/api/duplicates": JSONResponse({"groups": [[record("a"), record("b")], [record("c")]], "next": None}),
        "/api/similar/a": JSONResponse({"images": [{"distance": 4, "image": record("b")}]}),
        "/api/problems": JSONResponse({"problems": [problem], "next": None}),
        "/api/stats": JSONResponse({"images": 2, "bytes": 9, "problems": 1, "version": "1.0"}),
        "/api/bulk/tag": JSONResponse({"changed": 2}),
    }
    assert [line[-1:] for line in run("duplicates").stdout.splitlines()] == ["D", "", "a", "b", "", "c"]
    assert [len(json.loads(line)) for line in run("duplicates", "--json").stdout.splitlines()] == [2, 1]
    assert [line.split()[:2] for line in run("similar", "a").stdout.splitlines()] == [["BITS", "FORMAT"], ["4", "jpg"]]
    assert run("problems").stdout.endswith("  n.txt: No.\n")
    assert run("stats").stdout == "2 images, 9 B; 1 problem; imgserve 1.0\n"
    assert run("tag", "a", "b", "--add", "x").stdout == "2 images changed\n"


def test_keys_are_listed_with_what_they_are_for(api: ApiServer, run: Run) -> None:
    key: dict[str, object] = {
        "id": "5f0c1a9e",
        "name": "Web shop",
        "scopes": ["read"],
        "prefixes": ["shop/"],
        "presets": ["card"],
    }
    key |= {"site": "", "created": TIME, "expires": None, "used": None}
    api.answers["/api/keys"] = JSONResponse({"keys": [key, {**key, "prefixes": [], "presets": []}]})
    header, limited, free = run("keys", "list").stdout.splitlines()
    assert header.split("  ")[-1] == "NAME"
    assert limited.split()[-4:] == ["shop/", "preset=card", "Web", "shop"]
    assert free.split()[-3:] == ["-", "Web", "shop"]


def test_abuse_is_listed(api: ApiServer, run: Run) -> None:
    found = {"subject": "192.0.2.7", "number": 1200, "reasons": {"rate_limited": 200, "unauthorized": 1000}}
    api.answers["/api/usage"] = JSONResponse({"subjects": [found]})
    lines = run("abuse", "--hours", "2", "--limit", "3").stdout.splitlines()
    assert lines[1].split(maxsplit=3) == [
        "rejected",
        "1200",
        "requests",
        "client    192.0.2.7 (unauthorized 1000, rate_limited 200)",
    ]
    assert [line.split()[0] for line in lines[1:]] == ["rejected"] * 2 + ["renditions"] * 3 + ["bytes"] * 2
    assert "1.2 KB" in lines[6]
    assert dict(api.seen[4].query) == {"what": "cold", "by": "image", "hours": "2", "limit": "3"}
    assert json.loads(run("abuse", "--json").stdout.splitlines()[0])["reasons"]["rate_limited"] == 200


def test_a_picture_is_converted_into_a_file_or_to_standard_output(api: ApiServer, run: Run, tmp_path: Path) -> None:
    api.answers["/api/convert/webp/a.jpg"] = Response(b"PICTURE", media_type="image/webp")
    assert run("convert", "a.jpg", "small.webp", "width=40").stderr == "small.webp: image/webp, 7 B\n"
    assert (tmp_path / "small.webp").read_bytes() == b"PICTURE"
    assert run("convert", "a.jpg", "-", "--to", "webp").stdout == "PICTURE"
    assert (run("convert", "a.jpg", "-").returncode, run("convert", "a.jpg", "b.webp", "widht=3").returncode) == (2, 1)


def test_warming_reports_its_end_and_what_failed(api: ApiServer, run: Run) -> None:
    bad = {"done": 2, "total": 2, "failed": 1, "made": 3, "id": "b.jpg", "problem": {"code": "busy", "detail": "Busy."}}
    lines = [{"done": 1, "total": 2, "failed": 0, "made": 3, "id": "a.jpg"}, bad]
    api.answers["/api/warm"] = ndjson(*lines, {"done": 2, "total": 2, "failed": 1, "made": 3, "finished": True})
    done = run("warm", "--all", "--preset", "card", "--transform", "w=40")
    assert (done.returncode, done.stdout, done.stderr) == (1, "3 pictures made, 1 failed\n", "imgserve: b.jpg: Busy.\n")
    assert api.seen[-1].document == {"query": {"prefix": ""}, "presets": ["card"], "transforms": ["width=40"]}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["delete"], 'which images? Pass ids, or filters such as --prefix; --prefix "" selects all'),
        (["tag", "a.jpg", "--prefix", "b/", "--add", "x"], "pass either image ids or filters"),
        (["purge"], "which images? Pass ids, or one of --prefix, --tag, --preset and --all"),
        (["purge", "--all", "--tag", "x"], "pass only one of image ids, --prefix, --tag, --preset and --all"),
        (["warm", "a.jpg"], "which pictures? Pass --preset or --transform"),
        (["warm", "--preset", "x"], "which images? Pass ids, or filters such as --prefix; --all selects all"),
        (["change", "a.jpg"], "nothing to change: pass an option such as --title"),
    ],
)
def test_a_missing_selection_is_reported_in_terms_of_the_command_line(
    api: ApiServer, run: Run, command: list[str], message: str
) -> None:
    done = run(*command)
    assert (done.returncode, message in done.stderr, api.seen) == (2, True, []), done.stderr


def test_a_wrong_time_is_reported_with_an_example(api: ApiServer, run: Run) -> None:
    done = run("find", "--created-from", "yesterday")
    assert "expected a date or time such as 2030-12-31 or 2030-12-31T18:00, but received 'yesterday'" in done.stderr
    assert (done.returncode, api.seen) == (2, [])


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "img.example.com", "ftp://img.example.com"])
def test_an_invalid_address_is_reported(tmp_path: Path, address: str) -> None:
    done = imgserve("--server", address, "stats", cwd=tmp_path)
    assert (done.returncode, "server: expected an address such as https://img.example.com" in done.stderr) == (2, True)


@pytest.mark.parametrize("command", [["warm", "--all", "--preset", "x"], ["stats"], ["upload", "."]])
def test_a_command_without_a_server_says_what_is_needed(tmp_path: Path, command: list[str]) -> None:
    done = imgserve(*command, cwd=tmp_path)
    assert done.returncode == 2
    assert f"imgserve {command[0]} --server URL" in done.stderr or "--recursive" in done.stderr


def test_the_server_may_stand_in_the_environment(api: ApiServer, tmp_path: Path) -> None:
    api.images["a.jpg"] = record("a.jpg")
    done = imgserve("find", cwd=tmp_path, IMGSERVE_SERVER=api.base_url, IMGSERVE_KEY=KEY)
    assert (done.returncode, done.stdout.endswith("a.jpg\n")) == (0, True)
    assert imgserve("config", "check", cwd=tmp_path, IMGSERVE_SERVER=api.base_url, IMGSERVE_KEY=KEY).returncode == 0


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ([], 1, "the server requires a valid API key: pass it with --key or in IMGSERVE_KEY"),
        (["--key", "wrong"], 1, "the server requires a valid API key: it rejected this one"),
        (["--key", "two words"], 2, "key: expected an API key"),
    ],
)
def test_a_missing_or_wrong_key_is_reported(
    api: ApiServer, tmp_path: Path, options: list[str], status: int, message: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    for command in (["stats"], ["upload", "a.jpg"]):
        done = imgserve("--server", api.base_url, *options, *command, cwd=tmp_path)
        assert (done.returncode, message in done.stderr) == (status, True), done.stderr
