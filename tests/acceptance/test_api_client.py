"""The client of the API and its commands with a whole server: an image from its upload to its last rendition."""

import asyncio
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgserve.client.api import AsyncImgserve, Details, Image, Imgserve, Listing, Sent
from imgserve.client.records import json_paths
from imgserve.errors import ImageNotFound, PreconditionFailed, Unauthorized, UnsupportedImage
from tests.pictures import encoded, opened, quarters
from tests.servers import Server, imgserve, server, until

KEY = "an-acceptance-key"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "originals").mkdir()
    (tmp_path / "config.yaml").write_text("presets: {card: {width: 20, height: 20}}\n")
    options = ("--config", tmp_path / "config.yaml")
    with server(tmp_path / "originals", *options, env={"IMGSERVE_ACCESS__ADMIN_KEY": KEY}) as served:
        yield served


@pytest.fixture
def client(served: Server) -> Iterator[Imgserve]:
    with Imgserve(served.base_url, key=KEY) as client:
        yield client


def picture(width: int, extension: str = "png") -> bytes:
    return encoded(quarters(width, 30), extension)


def test_an_image_goes_its_whole_way(client: Imgserve, tmp_path: Path) -> None:
    (tmp_path / "shoe.png").write_bytes(picture(400))
    steps: list[tuple[int, int | None]] = []
    sent = client.upload(
        tmp_path / "shoe.png", folder="products", title="Ein Schuh", tags=["red", "new"],
        progress=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    size = (tmp_path / "shoe.png").stat().st_size
    assert (sent.outcome, sent.image.image_id, steps[-1]) == ("created", "products/shoe.png", (size, size))
    assert (sent.image.width, sent.image.height, sent.image.format, sent.image.size) == (400, 30, "png", size)

    assert [image.image_id for image in client.find(q="schuh", prefix="products/", tags=["red"])] == [
        sent.image.image_id
    ]
    assert [(found.tag, found.images) for found in client.tags()] == [("new", 1), ("red", 1)]
    assert opened(client.picture(sent.image.image_id, width=40).data).width == 40

    changed = client.change(sent.image.image_id, alt="A shoe", focal_point=(0.9, 0.5))
    assert (changed.alt, changed.title, changed.focal_point) == ("A shoe", "Ein Schuh", (0.9, 0.5))
    assert changed.version != sent.image.version

    client.picture(sent.image.image_id, width=50)
    assert client.purge(sent.image.image_id).images == 1

    gone = client.delete(sent.image.image_id)
    with pytest.raises(ImageNotFound):
        client.get(sent.image.image_id)
    assert [(item.item, item.image_id) for item in client.trash()] == [(gone.trash_item, sent.image.image_id)]
    assert gone.trash_item is not None
    back = client.restore(gone.trash_item)
    assert (back.image_id, back.alt, back.tags) == (sent.image.image_id, "A shoe", ("new", "red"))

    progress = list(client.warm([back.image_id], presets=["card"], transforms=["width=60&format=webp"]))
    assert (progress[-1].done, progress[-1].failed, progress[-1].finished) == (2, 0, True)
    assert opened(client.picture(back.image_id, preset="card").data).width == 20


def test_an_image_is_put_and_replaced(client: Imgserve) -> None:
    assert client.put("a b/ü.png", picture(40)).outcome == "created"
    assert client.put("a b/ü.png", picture(50)).outcome == "replaced"
    assert client.get("a b/ü.png").width == 50
    with pytest.raises(PreconditionFailed):
        client.put("a b/ü.png", picture(60), create_only=True)


def test_long_details_arrive_with_the_file(client: Imgserve) -> None:
    text, metadata = "ä" * 15_000, {"list": [1, {"two": None}]}
    image = client.upload(("a.png", picture(40)), image_id="a.png", description=text, metadata=metadata).image
    assert (image.description, image.metadata, client.get("a.png").description) == (text, metadata, text)


def test_what_is_no_image_is_refused_and_the_rest_goes_on(client: Imgserve) -> None:
    files = [("a.png", picture(40)), ("b.txt", b"no picture"), ("c.png", picture(60))]
    sent = list(client.upload_many(files, folder="x"))
    assert [result.uploaded is not None for result in sent] == [True, False, True]
    assert isinstance(sent[1].error, UnsupportedImage)
    assert [image.image_id for image in client.find(sort="id", order="asc")] == ["x/a.png", "x/c.png"]


def test_pictures_are_converted_transformed_and_packed(client: Imgserve, tmp_path: Path) -> None:
    for name, width in (("a.png", 400), ("b.png", 300)):
        client.upload((name, picture(width)), image_id=name)
    converted = client.convert("a.png", "webp", width=40)
    assert (converted.media_type, opened(converted.data).width) == ("image/webp", 40)
    assert opened(client.transform("a.png", ["width=100", "rotate=90"]).data).height == 100
    assert opened(client.picture("a.png").data).width == 400
    stored = client.transform_original("a.png", "width=100", new_id="small.png").image
    assert (stored.image_id, stored.width) == ("small.png", 100)
    client.transform_zip("width=20&format=webp", ["a.png", "b.png"], to=tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert [opened(archive.read(name)).width for name in archive.namelist()] == [20, 20]


def test_originals_are_downloaded_as_they_are(served: Server, client: Imgserve, tmp_path: Path) -> None:
    data = picture(410)
    client.upload(("mine/a.png", data), image_id="mine/a.png")
    client.original("mine/a.png", to=tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == data
    client.originals_zip(["mine/a.png"], to=tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert [archive.read(name) for name in archive.namelist()] == [data]
    answer = served.get("/api/original/mine/a.png", x_api_key=KEY)
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert served.get("/api/original/mine/a.png").status_code == 401
    missing = served.get("/api/original/mine/none.png", x_api_key=KEY)
    assert (missing.status_code, missing.json()["id"]) == (404, "mine/none.png")


def test_many_are_uploaded_at_a_time_and_listed_page_by_page(served: Server) -> None:
    async def upload_and_list() -> tuple[list[Sent], list[Image]]:
        async with AsyncImgserve(served.base_url, key=KEY) as client:
            files = [(f"{number:02}.png", picture(20 + number)) for number in range(30)]
            sent = [result async for result in client.upload_many(files, folder="many", parallel=4)]
            return sent, [image async for image in client.find(prefix="many/")]

    sent, found = asyncio.run(upload_and_list())
    assert [result.error for result in sent] == [None] * 30
    assert {image.width for image in found} == set(range(20, 50))


def test_nothing_is_returned_without_the_key(served: Server) -> None:
    for key in ("", "wrong"):
        with Imgserve(served.base_url, key=key) as stranger, pytest.raises(Unauthorized):
            stranger.stats()


def _properties(document: dict[str, Any], schema: dict[str, Any]) -> set[str]:
    """Return the names of the properties of a schema, which may be a reference."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return set(schema["properties"])


def test_the_client_has_every_filter_and_every_field_of_the_api(served: Server) -> None:
    document = served.client.get(f"{served.base_url}/openapi.json").json()
    filters = {parameter["name"] for parameter in document["paths"]["/api/images"]["get"]["parameters"]}
    singular = {"tags": "tag", "formats": "format"}
    assert filters == {singular.get(name, name) for name in Listing.__annotations__} | {"limit", "cursor"}
    one = document["paths"]["/api/images/{image_id}"]
    fields = {first for first, *_ in json_paths(Image).values()}
    assert _properties(document, one["get"]["responses"]["200"]["content"]["application/json"]["schema"]) == fields
    body = one["patch"]["requestBody"]["content"]["application/json"]["schema"]
    assert _properties(document, body) == set(Details.__annotations__)


def test_the_commands_do_the_same(served: Server, tmp_path: Path) -> None:
    (tmp_path / "shoes").mkdir()
    for number in range(3):
        (tmp_path / "shoes" / f"{number}.png").write_bytes(picture(40 + number))
    named = {"IMGSERVE_SERVER": served.base_url, "IMGSERVE_KEY": KEY}

    def run(*arguments: str) -> str:
        done = imgserve(*arguments, cwd=tmp_path, **named)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("upload", "--recursive", "shoes", "--folder", "shoes", "--tag", "red")
    assert [json.loads(line)["id"] for line in run("find", "--tag", "red", "--sort", "id", "--order", "asc", "--json")
            .splitlines()] == ["shoes/0.png", "shoes/1.png", "shoes/2.png"]  # fmt: skip
    assert "3 images" in run("stats")
    run("change", "shoes/0.png", "--title", "First")
    assert "First" in run("show", "shoes/0.png")
    run("warm", "--all", "--preset", "card")
    assert "of 3 images purged" in run("purge", "--prefix", "shoes/")
    run("delete", "shoes/0.png")
    until(lambda: run("find", "--json").count("\n") == 2)
    run("restore", "shoes/0.png")
    assert run("find").count("\n") == 1 + 3, "a header and the images"
    run("convert", "shoes/0.png", "out.webp", "width=20")
    assert opened((tmp_path / "out.webp").read_bytes()).width == 20
