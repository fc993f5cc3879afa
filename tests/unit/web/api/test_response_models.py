"""Response models that begin with the fields of a record."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from imgserve.model import Doc
from imgserve.validation import DescribedSchema
from imgserve.web.api.messages import ResponseModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    parcel_id: Annotated[str, Doc("Its public id.", name="id")]
    arrived: Annotated[datetime | None, Doc("When it arrived.")] = None
    weights: Annotated[tuple[int, ...], Doc("In grams.")] = ()
    internal: int = 0


class ParcelOut(ResponseModel, record=Parcel):
    """A parcel."""

    arrived: datetime
    place: str = ""
    """Where it is."""


def test_a_model_has_the_described_fields_of_its_record_under_their_names_in_the_api() -> None:
    schema = ParcelOut.model_json_schema(mode="serialization", schema_generator=DescribedSchema)
    described = {name: field["description"] for name, field in schema["properties"].items() if "description" in field}
    assert described == {
        "id": "Its public id.", "arrived": "When it arrived.", "weights": "In grams.", "place": "Where it is.",
    }  # fmt: skip
    assert schema["required"] == list(schema["properties"]) == ["id", "arrived", "weights", "place"]


def test_a_field_that_the_model_declares_again_has_the_type_of_the_model() -> None:
    schema = ParcelOut.model_json_schema(mode="serialization")["properties"]["arrived"]
    assert (schema["type"], schema["format"]) == ("string", "date-time")


def test_a_model_is_read_from_its_record() -> None:
    parcel = Parcel(parcel_id="p1", arrived=datetime(2026, 1, 31, tzinfo=UTC), weights=(5, 7), internal=1)
    assert ParcelOut.model_validate(parcel).model_dump(mode="json") == {
        "id": "p1", "arrived": "2026-01-31T00:00:00Z", "weights": [5, 7], "place": "",
    }  # fmt: skip


def test_a_model_that_extends_another_has_its_fields_too() -> None:
    class Sent(ParcelOut):
        by: str

    assert list(Sent.model_fields) == ["id", "arrived", "weights", "place", "by"]
