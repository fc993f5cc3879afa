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
from imgserve.library.upload import Upload
from imgserve.model import FocalPoint, Limits, Origin
from imgserve.rendering.pool import ProcessPool
from tests.library_rig import Rig, kinds_of_notices, later, open_rig, picture
from tests.pictures import encoded, noise

pytestmark = pytest.mark.anyio

POINT = FocalPoint(0, 1)
SAID = {
    "title": "Title",
    "alt": "Alt",
    "description": "Text",
    "tags": ("x",),
    "metadata": {"a": 1},
    "focal_point": POINT,
}


def files(rig: Rig) -> set[str]:
    return {one.image_id for one in rig.walked()}


async def test_an_upload_is_placed_recorded_and_reported(rig: Rig) -> None:
    accepted = await rig.upload(picture(), "a/b.png", details=SAID, who="key", origin=Origin.UPLOAD)
    record = await rig.catalog.images.get("a/b.png")
    assert (accepted.outcome, accepted.record, accepted.similar) == ("created", record, ())
    assert record is not None
    assert {name: getattr(record, name) for name in SAID} == SAID
    assert (record.origin, record.who) == (Origin.UPLOAD, "key")
    assert record.version == rig.originals.stat("a/b.png").focused(POINT).version
    assert (rig.root / "a/b.png").read_bytes() == picture()
    assert [(one.image_id, one.focal_point) for one in rig.ear.recorded] == [("a/b.png", FocalPoint(0, 1))]
    assert await kinds_of_notices(rig.catalog) == [("changed", "a/b.png")]
    assert rig.leftovers() == []
    assert rig.figure("upload", "created") == 1
    assert await rig.scan() == {"a/b.png": "unchanged"}


async def test_without_an_id_it_is_named_by_its_content_and_its_name_is_kept(rig: Rig) -> None:
    data = picture(1, "jpg")
    accepted = await rig.upload(data, name="Ferien ü.JPEG")
    digest = hashlib.sha256(data).hexdigest()
    assert accepted.record.image_id == name_by_content(digest, "jpg")
    assert accepted.record.image_id.split("/")[:2] == [digest[:2], digest[2:4]]
    assert accepted.record.metadata[FILE_NAME] == "Ferien ü.JPEG"
    again = await rig.upload(data, name="other.jpg")
    assert (again.outcome, again.record) == ("existing", accepted.record)
    assert len(files(rig)) == 1
    assert rig.leftovers() == []


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"", UnreadableImage), (b"<html>", UnsupportedImage), (picture()[:-30], UnreadableImage)],
    ids=["nothing", "text", "cut"],
)
async def test_what_is_no_usable_image_leaves_nothing(rig: Rig, data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        await rig.upload(data, "a.png")
    assert files(rig) == set()
    assert rig.leftovers() == []
    assert await rig.catalog.problems.count() == 0
    assert await rig.catalog.images.versions() == {}


async def test_what_is_too_large_or_of_a_refused_format_is_refused(
    tmp_path: Path, address: str, pool: ProcessPool
) -> None:
    async with open_rig(tmp_path, address, pool=pool, limits=Limits(original_bytes=150), refused=("jpg",)) as rig:
        with pytest.raises(TooLarge):
            await rig.upload(picture() + bytes(100), "a.png")
        with pytest.raises((TooLarge, UnsupportedImage)):
            await rig.upload(picture(0, "jpg"), "a.jpg")
    async with open_rig(tmp_path, address, pool=pool, refused=("jpg",)) as rig:
        with pytest.raises(UnsupportedImage, match="does not serve jpg"):
            await rig.upload(picture(0, "jpg"), "a.png")
        assert files(rig) == set()


async def test_an_id_that_no_image_can_have_is_refused_before_it_is_looked_at(rig: Rig) -> None:
    for image_id in ("../a.png", ".hidden/a.png", "a//b.png", "", "a\\b.png"):
        with pytest.raises(BadImageId):
            await rig.upload(picture(), image_id)
    assert rig.inspected == []
    assert rig.leftovers() == []


async def test_what_is_there_is_replaced_only_where_that_is_declared(rig: Rig) -> None:
    await rig.upload(picture(1), "a.png", details=SAID)
    key = await rig.render("a.png")
    with pytest.raises(ImageExists):
        await rig.upload(picture(2), "a.png")
    assert (rig.root / "a.png").read_bytes() == picture(1)
    assert await rig.cache.get(key)
    accepted = await rig.upload(picture(2), "a.png", replace=True, details={"title": "New"})
    assert accepted.outcome == "replaced"
    assert (accepted.record.title, accepted.record.alt, accepted.record.tags) == ("New", "Alt", ("x",))
    assert accepted.record.sha256 == hashlib.sha256(picture(2)).hexdigest()
    assert (rig.root / "a.png").read_bytes() == picture(2)
    assert await rig.cache.get(key) is None
    assert rig.ear.purged[-1] == ({"a.png"}, [])
    assert await rig.scan() == {"a.png": "unchanged"}


async def test_a_file_that_nobody_recorded_yet_is_not_overwritten_either(rig: Rig) -> None:
    rig.put("a.png", picture(1))
    with pytest.raises(ImageExists):
        await rig.upload(picture(2), "a.png")
    accepted = await rig.upload(picture(2), "a.png", replace=True)
    assert accepted.outcome == "replaced"
    assert rig.ear.purged == [({"a.png"}, [])]


async def test_the_same_bytes_at_the_same_id_are_the_existing_image_and_are_not_written_again(rig: Rig) -> None:
    first = await rig.upload(picture(), "a.png")
    key = await rig.render("a.png")
    for replacing in (True, False):
        again = await rig.upload(picture(), "a.png", replace=replacing)
        assert (again.outcome, again.record) == ("existing", first.record)
    said = await rig.upload(picture(), "a.png", replace=True, details={"title": "Said"})
    assert (said.outcome, said.record.title, said.record.version) == ("existing", "Said", first.record.version)
    assert await rig.cache.get(key)


async def test_metadata_said_with_the_same_bytes_are_added_to_those_that_there_are(rig: Rig) -> None:
    await rig.upload(picture(), "a.png", details={"metadata": {"a": 1, "b": 1}})
    again = await rig.upload(picture(), "a.png", replace=True, details={"metadata": {"b": 2}})
    assert (again.outcome, again.record.metadata) == ("existing", {"a": 1, "b": 2})
    other = await rig.upload(picture(1), "a.png", replace=True, details={"metadata": {"c": 3}})
    assert (other.outcome, other.record.metadata) == ("replaced", {"a": 1, "b": 2, "c": 3})


@pytest.mark.parametrize("image_id", ["Gru\u0308n.png", "odd\udcff.png", "line\nbreak.png"])
async def test_what_is_there_is_replaced_under_an_id_that_no_new_image_could_have(rig: Rig, image_id: str) -> None:
    with pytest.raises(BadImageId):
        await rig.upload(picture(1), image_id, replace=True)
    rig.put(image_id, picture(0))
    with pytest.raises(BadImageId):
        await rig.upload(picture(1), image_id)
    accepted = await rig.upload(picture(1), image_id, replace=True)
    assert (accepted.outcome, accepted.record.image_id) == ("replaced", image_id)
    assert rig.originals.stat(image_id).size == len(picture(1))


async def test_the_same_bytes_at_another_id_are_another_image_and_reported(rig: Rig) -> None:
    first = await rig.upload(picture(), "a.png")
    second = await rig.upload(picture(), "b.png")
    assert second.outcome == "created"
    assert [(one.record, one.distance) for one in second.similar] == [(first.record, 0)]


async def test_duplicates_are_refused_where_the_rule_says_so(tmp_path: Path, address: str, pool: ProcessPool) -> None:
    async with open_rig(tmp_path, address, pool=pool, duplicates="refuse") as rig:
        await rig.upload(picture(), "a.png")
        for image_id in (None, "b.png", "a.png"):
            with pytest.raises(DuplicateImage) as caught:
                await rig.upload(picture(), image_id)
            assert caught.value.members == {"image_id": "a.png"}
        assert (await rig.upload(picture(), "a.png", replace=True)).outcome == "existing"
        assert files(rig) == {"a.png"}
        assert rig.leftovers() == []


async def test_a_record_whose_file_is_gone_is_no_duplicate(rig: Rig) -> None:
    await rig.upload(picture(), "a.png")
    (rig.root / "a.png").unlink()
    accepted = await rig.upload(picture())
    assert accepted.outcome == "created"
    assert accepted.record.image_id != "a.png"


async def test_images_that_look_alike_are_reported(rig: Rig) -> None:
    photo = noise(300, 200)
    first = await rig.upload(encoded(photo, "png"), "a.png")
    second = await rig.upload(encoded(photo.resize(0.8), "jpg"), "b.jpg")
    assert [one.record for one in second.similar] == [first.record]
    other = await rig.upload(picture(), "c.png")
    assert "a.png" not in {one.record.image_id for one in other.similar}


async def test_a_file_left_by_a_process_that_died_before_it_recorded_it_is_found(rig: Rig) -> None:
    data = picture(5)
    image_id = name_by_content(hashlib.sha256(data).hexdigest(), "png")
    rig.put(image_id, data)
    accepted = await rig.upload(data, details={"title": "T"})
    assert (accepted.record.image_id, accepted.outcome, accepted.record.title) == (image_id, "existing", "T")


async def test_a_name_of_these_bytes_that_another_file_has_is_left_to_it(rig: Rig) -> None:
    data = picture(5)
    digest = hashlib.sha256(data).hexdigest()
    rig.put(name_by_content(digest, "png"), picture(6))
    accepted = await rig.upload(data)
    assert accepted.record.image_id == name_by_content(digest, "png", whole=True)
    assert accepted.outcome == "created"
    assert (rig.root / name_by_content(digest, "png")).read_bytes() == picture(6)


async def test_of_many_uploads_of_the_same_bytes_at_once_one_comes_in(rig: Rig) -> None:
    accepted = await asyncio.gather(*(rig.upload(picture()) for _ in range(8)))
    assert sorted(one.outcome for one in accepted) == ["created"] + ["existing"] * 7
    assert len(files(rig)) == 1


async def test_of_many_uploads_to_one_id_at_once_the_last_counts_whole(rig: Rig) -> None:
    made = [picture(number) for number in range(8)]
    await asyncio.gather(*(rig.upload(data, "a.png", replace=True) for data in made))
    record = await rig.catalog.images.get("a.png")
    assert record is not None
    assert record.sha256 == hashlib.sha256((rig.root / "a.png").read_bytes()).hexdigest()
    assert await rig.scan() == {"a.png": "unchanged"}
    assert len(rig.ingest.locks) == 0


async def test_two_ingest_services_of_two_processes_agree_in_the_end(
    tmp_path: Path, address: str, pool: ProcessPool
) -> None:
    async with open_rig(tmp_path, address, pool=pool) as one, open_rig(tmp_path, address, pool=pool) as other:
        for turn in range(6):
            await asyncio.gather(
                one.upload(picture(2 * turn), "a.png", replace=True),
                other.upload(picture(2 * turn + 1), "a.png", replace=True),
            )
            record = await one.catalog.images.get("a.png")
            assert record is not None
            assert record.sha256 == hashlib.sha256((one.root / "a.png").read_bytes()).hexdigest()
            assert record.version == one.originals.stat("a.png").version


async def test_a_file_seen_by_a_scan_while_it_is_uploaded_keeps_what_was_said(
    tmp_path: Path, address: str, pool: ProcessPool
) -> None:
    async with open_rig(tmp_path, address, pool=pool) as one, open_rig(tmp_path, address, pool=pool) as other:
        for turn in range(6):
            name = f"{turn}.png"

            async def seen(name: str = name) -> None:
                while not (other.root / name).exists():
                    await later(0.001)
                await other.ingest.record(name)

            await asyncio.gather(one.upload(picture(turn), name, details=SAID), seen())
            record = await one.catalog.images.get(name)
            assert record is not None
            assert (record.title, record.focal_point, record.origin) == ("Title", FocalPoint(0, 1), Origin.UPLOAD)


async def test_who_leaves_in_the_middle_leaves_nothing_half_done(rig: Rig) -> None:
    for number in range(8):
        task = asyncio.create_task(rig.upload(picture(number), f"{number}.png"))
        await later(0.004 * number)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await rig.ingest.close()
    assert set(await rig.catalog.images.versions()) == files(rig)
    assert rig.leftovers() == []


async def test_a_folder_that_cannot_be_written_to_takes_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise ReadOnlyOriginals

    incoming = rig.incoming(picture())
    monkeypatch.setattr(rig.originals, "place", refuse)
    with pytest.raises(ReadOnlyOriginals):
        await rig.ingest.accept(Upload(incoming, "a.png", SAID))
    assert rig.leftovers() == []
    assert await rig.catalog.images.versions() == {}


async def test_without_a_catalog_nothing_is_placed(tmp_path: Path, pool: ProcessPool) -> None:
    async with open_rig(tmp_path, f"sqlite:///{tmp_path}/catalog.sqlite", pool=pool) as rig:
        (tmp_path / "catalog.sqlite").unlink()
        for image_id in ("a.png", None):
            with pytest.raises(CatalogUnavailable):
                await rig.upload(picture(), image_id)
        assert files(rig) == set()
        assert rig.leftovers() == []


async def test_a_catalog_that_goes_after_the_file_was_placed_is_reported_and_healed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(_: object) -> dict[str, object]:
        raise CatalogUnavailable(retry_after=1)

    with monkeypatch.context() as patched:
        patched.setattr(rig.catalog.images, "merge_many", gone)
        with pytest.raises(CatalogUnavailable, match="is stored"):
            await rig.upload(picture(), "a.png")
    assert files(rig) == {"a.png"}
    assert await rig.scan() == {"a.png": "created"}
