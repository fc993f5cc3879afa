"""Images that come in: looked at first, placed whole, recorded; duplicates told; nothing left behind."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from imgserve.errors import (
    BadImageId,
    CatalogUnavailable,
    DuplicateImage,
    ImageExists,
    ReadOnlyOriginals,
    TooLarge,
    UnreadableImage,
    UnsupportedImage,
)
from imgserve.library.record import FILE_NAME, name_by_content
from imgserve.library.results import Details
from imgserve.model import FocalPoint, Limits, Origin
from tests.ingests import House, house, kinds_of_notices, later, picture
from tests.pictures import encoded, noise

pytestmark = pytest.mark.anyio

SAID = Details("Title", "Alt", "Text", ("x",), {"a": 1}, FocalPoint(0, 1))


def files(home: House) -> set[str]:
    return {one.image_id for one in home.walked()}


async def test_an_upload_is_placed_recorded_and_told(home: House) -> None:
    accepted = await home.upload(picture(), "a/b.png", details=SAID, who="key", origin=Origin.UPLOAD)
    record = await home.catalog.images.get("a/b.png")
    assert (accepted.outcome, accepted.record, accepted.similar) == ("created", record, ())
    assert record is not None
    assert {name: getattr(record, name) for name in SAID.said} == SAID.said
    assert (record.origin, record.who) == (Origin.UPLOAD, "key")
    assert record.version == home.originals.stat("a/b.png").focused(SAID.focal_point).version
    assert (home.root / "a/b.png").read_bytes() == picture()
    assert [(one.image_id, one.focal_point) for one in home.ear.recorded] == [("a/b.png", FocalPoint(0, 1))]
    assert await kinds_of_notices(home.catalog) == [("changed", "a/b.png")]
    assert home.leftovers() == []
    assert home.figure("upload", "created") == 1
    assert await home.scan() == {"a/b.png": "unchanged"}


async def test_without_an_id_it_is_named_by_its_content_and_its_name_is_kept(home: House) -> None:
    data = picture(1, "jpg")
    accepted = await home.upload(data, name="Ferien ü.JPEG")
    digest = hashlib.sha256(data).hexdigest()
    assert accepted.record.image_id == name_by_content(digest, "jpg")
    assert accepted.record.image_id.split("/")[:2] == [digest[:2], digest[2:4]]
    assert accepted.record.metadata[FILE_NAME] == "Ferien ü.JPEG"
    again = await home.upload(data, name="other.jpg")
    assert (again.outcome, again.record) == ("existing", accepted.record)
    assert len(files(home)) == 1
    assert home.leftovers() == []


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"", UnreadableImage), (b"<html>", UnsupportedImage), (picture()[:-30], UnreadableImage)],
    ids=["nothing", "text", "cut"],
)
async def test_what_is_no_usable_image_leaves_nothing(home: House, data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        await home.upload(data, "a.png")
    assert files(home) == set()
    assert home.leftovers() == []
    assert await home.catalog.problems.count() == 0
    assert await home.catalog.images.versions() == {}


async def test_what_is_too_large_or_of_a_refused_format_is_refused(tmp_path: Path, address: str) -> None:
    async with house(tmp_path, address, limits=Limits(original_bytes=150), refused=("jpg",)) as home:
        with pytest.raises(TooLarge):
            await home.upload(picture() + bytes(100), "a.png")
        with pytest.raises((TooLarge, UnsupportedImage)):
            await home.upload(picture(0, "jpg"), "a.jpg")
    async with house(tmp_path, address, refused=("jpg",)) as home:
        with pytest.raises(UnsupportedImage, match="does not serve jpg"):
            await home.upload(picture(0, "jpg"), "a.png")
        assert files(home) == set()


async def test_an_id_that_no_image_can_have_is_refused_before_it_is_looked_at(home: House) -> None:
    for image_id in ("../a.png", ".hidden/a.png", "a//b.png", "", "a\\b.png"):
        with pytest.raises(BadImageId):
            await home.upload(picture(), image_id)
    assert home.inspected == []
    assert home.leftovers() == []


async def test_what_is_there_is_replaced_only_where_that_is_said(home: House) -> None:
    await home.upload(picture(1), "a.png", details=SAID)
    key = await home.render("a.png")
    with pytest.raises(ImageExists):
        await home.upload(picture(2), "a.png")
    assert (home.root / "a.png").read_bytes() == picture(1)
    assert await home.cache.get(key)
    accepted = await home.upload(picture(2), "a.png", replace=True, details=Details(title="New"))
    assert accepted.outcome == "replaced"
    assert (accepted.record.title, accepted.record.alt, accepted.record.tags) == ("New", "Alt", ("x",))
    assert accepted.record.sha256 == hashlib.sha256(picture(2)).hexdigest()
    assert (home.root / "a.png").read_bytes() == picture(2)
    assert await home.cache.get(key) is None
    assert home.ear.purged[-1] == ({"a.png"}, [])
    assert await home.scan() == {"a.png": "unchanged"}


async def test_a_file_that_nobody_recorded_yet_is_not_overwritten_either(home: House) -> None:
    home.put("a.png", picture(1))
    with pytest.raises(ImageExists):
        await home.upload(picture(2), "a.png")
    accepted = await home.upload(picture(2), "a.png", replace=True)
    assert accepted.outcome == "replaced"
    assert home.ear.purged == [({"a.png"}, [])]


async def test_the_same_bytes_at_the_same_id_are_the_existing_image_and_are_not_written_again(home: House) -> None:
    first = await home.upload(picture(), "a.png")
    key = await home.render("a.png")
    for replacing in (True, False):
        again = await home.upload(picture(), "a.png", replace=replacing)
        assert (again.outcome, again.record) == ("existing", first.record)
    said = await home.upload(picture(), "a.png", replace=True, details=Details(title="Said"))
    assert (said.outcome, said.record.title, said.record.version) == ("existing", "Said", first.record.version)
    assert await home.cache.get(key)


async def test_metadata_said_with_the_same_bytes_are_added_to_those_that_there_are(home: House) -> None:
    await home.upload(picture(), "a.png", details=Details(metadata={"a": 1, "b": 1}))
    again = await home.upload(picture(), "a.png", replace=True, details=Details(metadata={"b": 2}))
    assert (again.outcome, again.record.metadata) == ("existing", {"a": 1, "b": 2})
    other = await home.upload(picture(1), "a.png", replace=True, details=Details(metadata={"c": 3}))
    assert (other.outcome, other.record.metadata) == ("replaced", {"a": 1, "b": 2, "c": 3})


@pytest.mark.parametrize("image_id", ["Gru\u0308n.png", "odd\udcff.png", "line\nbreak.png"])
async def test_what_is_there_is_replaced_under_an_id_that_no_new_image_could_have(home: House, image_id: str) -> None:
    with pytest.raises(BadImageId):
        await home.upload(picture(1), image_id, replace=True)
    home.put(image_id, picture(0))
    with pytest.raises(BadImageId):
        await home.upload(picture(1), image_id)
    accepted = await home.upload(picture(1), image_id, replace=True)
    assert (accepted.outcome, accepted.record.image_id) == ("replaced", image_id)
    assert home.originals.stat(image_id).size == len(picture(1))


async def test_the_same_bytes_at_another_id_are_another_image_and_told(home: House) -> None:
    first = await home.upload(picture(), "a.png")
    second = await home.upload(picture(), "b.png")
    assert second.outcome == "created"
    assert [(one.record, one.distance) for one in second.similar] == [(first.record, 0)]


async def test_duplicates_are_refused_where_the_rule_says_so(tmp_path: Path, address: str) -> None:
    async with house(tmp_path, address, duplicates="refuse") as home:
        await home.upload(picture(), "a.png")
        for image_id in (None, "b.png", "a.png"):
            with pytest.raises(DuplicateImage) as caught:
                await home.upload(picture(), image_id)
            assert caught.value.members == {"image_id": "a.png"}
        assert (await home.upload(picture(), "a.png", replace=True)).outcome == "existing"
        assert files(home) == {"a.png"}
        assert home.leftovers() == []


async def test_a_record_whose_file_is_gone_is_no_duplicate(home: House) -> None:
    await home.upload(picture(), "a.png")
    (home.root / "a.png").unlink()
    accepted = await home.upload(picture())
    assert accepted.outcome == "created"
    assert accepted.record.image_id != "a.png"


async def test_images_that_look_alike_are_told(home: House) -> None:
    photo = noise(300, 200)
    first = await home.upload(encoded(photo, "png"), "a.png")
    second = await home.upload(encoded(photo.resize(0.8), "jpg"), "b.jpg")
    assert [one.record for one in second.similar] == [first.record]
    other = await home.upload(picture(), "c.png")
    assert "a.png" not in {one.record.image_id for one in other.similar}


async def test_a_file_left_by_a_process_that_died_before_it_recorded_it_is_found(home: House) -> None:
    data = picture(5)
    image_id = name_by_content(hashlib.sha256(data).hexdigest(), "png")
    home.put(image_id, data)
    accepted = await home.upload(data, details=Details(title="T"))
    assert (accepted.record.image_id, accepted.outcome, accepted.record.title) == (image_id, "existing", "T")


async def test_a_name_of_these_bytes_that_another_file_has_is_left_to_it(home: House) -> None:
    data = picture(5)
    digest = hashlib.sha256(data).hexdigest()
    home.put(name_by_content(digest, "png"), picture(6))
    accepted = await home.upload(data)
    assert accepted.record.image_id == name_by_content(digest, "png", whole=True)
    assert accepted.outcome == "created"
    assert (home.root / name_by_content(digest, "png")).read_bytes() == picture(6)


async def test_of_many_uploads_of_the_same_bytes_at_once_one_comes_in(home: House) -> None:
    accepted = await asyncio.gather(*(home.upload(picture()) for _ in range(8)))
    assert sorted(one.outcome for one in accepted) == ["created"] + ["existing"] * 7
    assert len(files(home)) == 1


async def test_of_many_uploads_to_one_id_at_once_the_last_counts_whole(home: House) -> None:
    made = [picture(number) for number in range(8)]
    await asyncio.gather(*(home.upload(data, "a.png", replace=True) for data in made))
    record = await home.catalog.images.get("a.png")
    assert record is not None
    assert record.sha256 == hashlib.sha256((home.root / "a.png").read_bytes()).hexdigest()
    assert await home.scan() == {"a.png": "unchanged"}
    assert len(home.door.locks) == 0


async def test_two_doors_of_two_processes_agree_in_the_end(tmp_path: Path, address: str) -> None:
    async with house(tmp_path, address) as one, house(tmp_path, address) as other:
        for turn in range(6):
            await asyncio.gather(
                one.upload(picture(2 * turn), "a.png", replace=True),
                other.upload(picture(2 * turn + 1), "a.png", replace=True),
            )
            record = await one.catalog.images.get("a.png")
            assert record is not None
            assert record.sha256 == hashlib.sha256((one.root / "a.png").read_bytes()).hexdigest()
            assert record.version == one.originals.stat("a.png").version


async def test_a_file_seen_by_a_scan_while_it_is_uploaded_keeps_what_was_said(tmp_path: Path, address: str) -> None:
    async with house(tmp_path, address) as one, house(tmp_path, address) as other:
        for turn in range(6):
            name = f"{turn}.png"

            async def seen(name: str = name) -> None:
                while not (other.root / name).exists():
                    await later(0.001)
                await other.door.record(name)

            await asyncio.gather(one.upload(picture(turn), name, details=SAID), seen())
            record = await one.catalog.images.get(name)
            assert record is not None
            assert (record.title, record.focal_point, record.origin) == ("Title", FocalPoint(0, 1), Origin.UPLOAD)


async def test_who_leaves_in_the_middle_leaves_nothing_half_done(home: House) -> None:
    for number in range(8):
        task = asyncio.create_task(home.upload(picture(number), f"{number}.png"))
        await later(0.004 * number)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await home.door.close()
    assert set(await home.catalog.images.versions()) == files(home)
    assert home.leftovers() == []


async def test_a_folder_that_cannot_be_written_to_takes_nothing(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise ReadOnlyOriginals

    incoming = home.incoming(picture())
    monkeypatch.setattr(home.originals, "place", refuse)
    with pytest.raises(ReadOnlyOriginals):
        await home.door.accept(incoming, "a.png", details=SAID, replace=False)
    assert home.leftovers() == []
    assert await home.catalog.images.versions() == {}


async def test_without_a_catalog_nothing_is_placed(tmp_path: Path) -> None:
    async with house(tmp_path, f"sqlite:///{tmp_path}/catalog.sqlite") as home:
        (tmp_path / "catalog.sqlite").unlink()
        for image_id in ("a.png", None):
            with pytest.raises(CatalogUnavailable):
                await home.upload(picture(), image_id)
        assert files(home) == set()
        assert home.leftovers() == []


async def test_a_catalog_that_goes_after_the_file_was_placed_is_told_and_healed(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(_: object) -> dict[str, object]:
        raise CatalogUnavailable(retry_after=1)

    with monkeypatch.context() as patched:
        patched.setattr(home.catalog.images, "merge_many", gone)
        with pytest.raises(CatalogUnavailable, match="is stored"):
            await home.upload(picture(), "a.png")
    assert files(home) == {"a.png"}
    assert await home.scan() == {"a.png": "created"}
