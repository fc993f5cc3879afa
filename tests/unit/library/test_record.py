"""What is recorded of an image: rules, without files."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imgserve.errors import (
    Busy,
    CatalogUnavailable,
    ImgserveError,
    LimitExceeded,
    OriginalChanged,
    OriginalUnsettled,
    RenderCrashed,
    RenderTimeout,
    TooLarge,
    UnreadableImage,
    UnsupportedImage,
)
from imgserve.formats import FORMATS
from imgserve.library.inspect import Inspected, is_permanent, is_same_file
from imgserve.library.record import decide, name_by_content
from imgserve.library.trash import read_sidecar, write_sidecar
from imgserve.model import Facts, FocalPoint, ImageRecord, Origin, Original, file_version

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
FACTS = Facts(
    version="5_7",
    sha256="a" * 64,
    format="png",
    width=4,
    height=3,
    size=7,
    title="File title",
    description="File text",
    keywords=("file",),
    metadata={"copyright": "Me", "creator": "You"},
)
ORIGINAL = Original("a.png", "5_7", 7, 5, FORMATS["png"], 4, 3, "/a.png")


def finding(details: Mapping[str, Any] | None = None, **given: Any) -> Inspected:
    return replace(Inspected(ORIGINAL, FACTS, None, Origin.UPLOAD, "me", details), **given)


def decided(found: Inspected, before: ImageRecord | None = None) -> ImageRecord:
    record = decide(found, before, LATER)
    assert record is not None
    return record


def test_what_the_file_reports_fills_what_nobody_said() -> None:
    record = decided(finding({"title": "Said", "tags": ("x",), "metadata": {"creator": "Said", "a": 1}}))
    assert (record.title, record.description, record.tags) == ("Said", "File text", ("x",))
    assert record.metadata == {"copyright": "Me", "creator": "Said", "a": 1}
    assert (record.origin, record.who, record.created, record.changed) == (Origin.UPLOAD, "me", LATER, LATER)
    assert record.version == "5_7"


def test_what_people_wrote_stays_when_the_file_is_replaced_and_facts_follow() -> None:
    before = replace(
        decided(finding()), version="1_1_abcdefg", sha256="b" * 64, width=99, title="Written", tags=("old",), alt="Alt",
        metadata={"creator": "Written"}, focal_point=FocalPoint(0, 1), created=NOW, description="",
    )  # fmt: skip
    record = decided(finding(known="1_1"), before)
    assert (record.title, record.tags, record.alt, record.description) == ("Written", ("old",), "Alt", "File text")
    assert record.metadata == {"copyright": "Me", "creator": "Written"}
    assert (record.width, record.sha256, record.focal_point) == (4, "a" * 64, FocalPoint(0, 1))
    assert record.version == ORIGINAL.focused(FocalPoint(0, 1)).version


def test_what_an_uploader_says_replaces_what_people_wrote_before() -> None:
    before = replace(decided(finding()), version="1_1", title="Written", focal_point=FocalPoint(0, 1))
    record = decided(finding({"title": "Said", "focal_point": FocalPoint(1, 0)}, known="1_1"), before)
    assert (record.title, record.focal_point) == ("Said", FocalPoint(1, 0))
    assert record.version == ORIGINAL.focused(FocalPoint(1, 0)).version


def test_a_record_of_these_bytes_is_left_to_whoever_was_faster() -> None:
    before = replace(decided(finding()), title="Said", version=ORIGINAL.focused(FocalPoint(0, 0)).version)
    assert decide(finding(), before, LATER) is None
    assert decide(finding({}), before, LATER) is not None
    assert decide(finding(), replace(before, version="1_1"), LATER) is not None
    assert decide(finding(), replace(before, sha256="c" * 64), LATER) is not None


def test_the_name_of_an_uploaded_file_is_kept_beside_what_the_file_reports() -> None:
    assert decided(finding(name="x.png")).metadata == {"copyright": "Me", "creator": "You", "file_name": "x.png"}


def test_an_image_is_named_by_its_content_in_folders() -> None:
    digest = "0123456789abcdef" * 4
    assert name_by_content(digest, "jpg") == "01/23/456789abcdef01234567.jpg"
    assert name_by_content(digest, "webp", whole=True) == f"01/23/{digest[4:]}.webp"


@pytest.mark.parametrize(
    ("error", "of_the_file"),
    [
        (UnreadableImage(), True), (LimitExceeded(), True), (RenderTimeout(), True), (RenderCrashed(), True),
        (UnsupportedImage(), True), (TooLarge(), True),
        (OriginalUnsettled(), False), (OriginalChanged(), False), (Busy(), False), (CatalogUnavailable(), False),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_only_what_would_not_pass_by_itself_is_permanent(error: ImgserveError, of_the_file: bool) -> None:
    assert is_permanent(error) is of_the_file


def test_the_same_file_is_reported_by_its_bytes_whatever_the_focal_point() -> None:
    version = file_version(5, 7)
    assert is_same_file(version, version)
    assert is_same_file(ORIGINAL.focused(FocalPoint(0, 0)).version, version)
    assert not is_same_file(None, version)
    assert not is_same_file(file_version(5, 8), version)
    assert is_same_file(file_version(-5, 7), file_version(-5, 7))


def test_a_sidecar_gives_back_the_whole_record() -> None:
    record = replace(
        decided(finding()), thumbhash=bytes(range(25)), perceptual_hash=2**64 - 1, focal_point=FocalPoint(0.1, 1),
        metadata={"a": [1, {"b": None}]}, tags=("ü",), title="Crème",
    )  # fmt: skip
    assert read_sidecar(write_sidecar(record)) == record


@pytest.mark.parametrize("sidecar", [{}, {"record": 1}, {"record": {}}, {"record": {"image_id": 1, "created": "x"}}])
def test_a_sidecar_that_is_none_gives_nothing(sidecar: dict[str, object]) -> None:
    assert read_sidecar(sidecar) is None
    assert write_sidecar(None) == {}
