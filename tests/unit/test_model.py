"""The nouns: what they compute about themselves."""

import pickle
import zlib
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

import pytest

from imgserve.catalog import Filter, ImageQuery
from imgserve.formats import FORMATS
from imgserve.model import (
    Doc,
    FocalPoint,
    ImageRecord,
    Original,
    Rendition,
    bytes_version,
    clean_tags,
    described_fields,
    file_version,
    focused_version,
)
from tests.catalogs import record

DATA = b"what was made"


def test_the_checksum_of_a_rendition_is_computed_where_it_is_not_known() -> None:
    assert Rendition(DATA, "image/png", 1, 1).crc32 == zlib.crc32(DATA)
    assert Rendition(DATA, "image/png", 1, 1, crc32=7).crc32 == 7


def test_the_checksum_travels_with_the_rendition() -> None:
    made = Rendition(DATA, "image/png", 1, 1, crc32=7)
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301  our own bytes


def test_the_texts_of_a_record_hold_nothing_that_a_database_refuses() -> None:
    made = record("a\udcff", title="a\0b\ud800c", alt="\udcff", tags=("\0", " x\0 "), description="é")
    assert (made.title, made.alt, made.tags, made.description, made.image_id) == ("abc", "", ("x",), "é", "a\udcff")


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ([], ()),
        (["b", "a", "b"], ("a", "b")),
        ([" new   arrival\n", "new arrival"], ("new arrival",)),
        (["e\u0301", "é"], ("é",)),
        (["Red", "red"], ("Red", "red")),
        (["", " ", "\0"], ()),
        (["x" * 500], ("x" * 200,)),
    ],
)
def test_tags_that_look_alike_are_one(given: list[str], cleaned: tuple[str, ...]) -> None:
    assert clean_tags(given) == clean_tags(clean_tags(given)) == cleaned


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sha256", "ab"),
        ("sha256", "A" * 64),
        ("perceptual_hash", -1),
        ("perceptual_hash", 2**64),
        ("created", datetime(2026, 1, 1)),  # noqa: DTZ001  the mistake
        ("changed", datetime(2026, 1, 1)),  # noqa: DTZ001  the mistake
    ],
)
def test_a_record_that_cannot_be_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        replace(record("a"), **{field: value})


@pytest.mark.parametrize(("x", "y"), [(-0.1, 0.5), (0.5, 1.1), (float("nan"), 0.5)])
def test_a_focal_point_lies_in_the_image(x: float, y: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        FocalPoint(x, y)


def seen(focal_point: FocalPoint | None = None) -> Original:
    unfocused = Original("a.jpg", file_version(5, 7), 7, 5, FORMATS["jpg"], 4, 3, "/originals/a.jpg")
    return unfocused.focused(focal_point)


def test_a_focal_point_is_another_version_of_the_same_file() -> None:
    versions = {seen(point).version for point in (None, FocalPoint(0, 0), FocalPoint(0, 1), FocalPoint(0.5, 0.25))}
    assert len(versions) == 4
    assert {version[: len("5_7")] for version in versions} == {"5_7"}
    assert seen(FocalPoint(0, 1)).file_version == seen().version == "5_7"


def test_a_focal_point_that_is_taken_away_leaves_no_trace() -> None:
    assert seen(FocalPoint(0.5, 0.5)).focused(None) == seen()


def test_equal_focal_points_name_equal_versions() -> None:
    points = [FocalPoint(0, 1), FocalPoint(-0.0, 1.0), FocalPoint(0.0, True)]
    assert len({focused_version("1_2", point) for point in points}) == 1
    assert bytes_version(focused_version("1_2", points[0])) == bytes_version("1_2") == "1_2"
    assert focused_version("1_2", None) == "1_2"


@pytest.mark.parametrize(("owner", "kind"), [(ImageRecord, Doc), (ImageQuery, Filter)])
def test_every_field_and_filter_is_described(owner: type, kind: type[Doc]) -> None:
    described = described_fields(owner, kind)
    assert list(described) == [field.name for field in fields(owner)]
    assert all(one.text.endswith(".") and one.name for one in described.values())
    assert len({one.name for one in described.values()}) == len(described)


def test_clients_edit_what_people_write() -> None:
    editable = {name for name, one in described_fields(ImageRecord, Doc).items() if one.editable}
    assert editable == {"title", "alt", "description", "tags", "metadata", "focal_point"}
