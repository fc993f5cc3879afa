"""Records as they are read from JSON: by their annotations, with defaults for what is missing."""

from datetime import UTC, datetime
from typing import Any

import pytest

from imgserve.client.api import Deleted, Image, Made, Point, Similar, TrashItem, Uploaded, Warmed
from imgserve.client.records import page_reader, reader
from imgserve.errors import RenderTimeout

TIME = "2026-11-20T12:00:00Z"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
RECORD: dict[str, Any] = {
    "id": "a.jpg", "version": "1_2", "url": "/img/a.jpg", "sha256": "0", "format": "jpg", "media_type": "image/jpeg",
    "width": 4, "height": 3, "bytes": 9, "created": TIME, "changed": TIME,
}  # fmt: skip
PROBLEM = {"code": "render_timeout", "detail": "Slow."}


def test_a_field_that_is_missing_or_null_has_its_default() -> None:
    nothing = {"frames": None, "tags": None, "thumbhash": None, "perceptual_hash": None, "focal_point": None}
    assert reader(Image)(RECORD) == reader(Image)({**RECORD, **nothing, "news": 1})
    image: Image = reader(Image)(RECORD)
    assert (image.frames, image.tags, image.thumbhash, image.perceptual_hash) == (1, (), b"", None)
    assert (image.image_id, image.size, image.created) == ("a.jpg", 9, NOON)


def test_a_field_is_read_by_its_type() -> None:
    image: Image = reader(Image)(
        {
            **RECORD,
            "tags": ["x"],
            "thumbhash": "AQID",
            "perceptual_hash": "ff",
            "focal_point": {"x": 0.5, "y": 1, "z": 2},
        },
    )
    assert (image.tags, image.thumbhash, image.perceptual_hash) == (("x",), b"\x01\x02\x03", 255)
    assert image.focal_point == Point(0.5, 1)


@pytest.mark.parametrize(
    ("kind", "document", "record"),
    [
        (Similar, {"id": "b.jpg", "distance": 2}, Similar("b.jpg", 2)),
        (Similar, {"image": RECORD, "distance": 2}, Similar("a.jpg", 2, reader(Image)(RECORD))),
        (Made, {"id": "b.jpg", "url": "/img/b.jpg"}, Made("b.jpg", "/img/b.jpg")),
        (Made, {"image": RECORD}, Made("a.jpg", image=reader(Image)(RECORD))),
        (Deleted, {"id": "a", "trash_item": None}, Deleted("a", None, None)),
        (Deleted, {"id": "a", "trash_item": "i", "until": TIME}, Deleted("a", "i", NOON)),
        (TrashItem, {"item": "i", "id": "a", "deleted": TIME, "until": None, "bytes": 3},
         TrashItem(item="i", image_id="a", deleted=NOON, until=None, size=3)),
        (Uploaded, {"image": RECORD, "outcome": "created", "similar": [{"id": "b", "distance": 1}]},
         Uploaded(reader(Image)(RECORD), "created", similar=(Similar("b", 1),))),
    ],
)  # fmt: skip
def test_a_record_within_a_record_is_read_too(kind: type, document: dict[str, Any], record: object) -> None:
    assert reader(kind)(document) == record


def test_a_problem_among_results_is_the_error_of_the_server() -> None:
    warmed: Warmed = reader(Warmed)({"done": 1, "total": 2, "failed": 1, "made": 0, "id": "a", "problem": PROBLEM})
    assert isinstance(warmed.error, RenderTimeout)
    assert (warmed.image_id, warmed.error.detail, warmed.finished) == ("a", "Slow.", False)


@pytest.mark.parametrize("changes", [{"id": None}, {"created": "2026-11-20T12:00:00"}, {"created": 5}, {"tags": 5}])
def test_a_record_of_another_shape_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        reader(Image)({**RECORD, **changes})


def test_a_page_has_items_and_a_cursor() -> None:
    images, cursor = page_reader("images", Image)({"images": [RECORD], "next": "n"})
    assert ([image.image_id for image in images], cursor) == (["a.jpg"], "n")
    assert page_reader("images", Image)({"images": []}) == ([], None)
