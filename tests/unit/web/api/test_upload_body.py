import json
from typing import Any

import pytest
from pydantic import ValidationError

from imgserve.errors import BadRequest
from imgserve.model import FocalPoint
from imgserve.web.api.messages import validated
from imgserve.web.api.upload_body import Address, Addresses, Placed, UploadDetails, form_values


def test_fields_of_a_form_are_read() -> None:
    fields = [
        ("title", "A shoe"),
        ("alt", "Red shoe"),
        ("tags", "red, summer"),
        ("tags", "shoes"),
        ("metadata", '{"sku": 7}'),
        ("focal_point", "0.25, 0.75"),
    ]
    said = UploadDetails.model_validate(form_values(fields))
    assert said.details() == {
        "title": "A shoe",
        "alt": "Red shoe",
        "tags": ("red", "summer", "shoes"),
        "metadata": {"sku": 7},
        "focal_point": FocalPoint(0.25, 0.75),
    }


def test_json_is_read_into_the_same() -> None:
    value = {"url": "http://h/", "tags": ["a", "b,c"], "metadata": {"x": [1]}, "focal_point": {"x": 0, "y": 1}}
    assert Address.model_validate(value).details() == {
        "tags": ("a", "b", "c"),
        "metadata": {"x": [1]},
        "focal_point": FocalPoint(0, 1),
    }


def test_nothing_said_is_nothing() -> None:
    empty = form_values([(name, "") for name in ("title", "alt", "description", "tags", "metadata", "focal_point")])
    assert UploadDetails.model_validate(empty).details() == UploadDetails().details() == {}


@pytest.mark.parametrize(
    "value",
    [
        {"titel": "x"},
        {"title": ["one", "two"]},
        {"title": "x" * 1001},
        {"tags": [1]},
        {"tags": {"a": 1}},
        {"tags": ["t"] * 201},
        {"metadata": "[1]"},
        {"metadata": "no json"},
        {"metadata": "[" * 100_000},
        {"metadata": '{"x": NaN}'},
        {"metadata": {"x": float("inf")}},
        {"metadata": json.dumps({"x": "y" * 70_000})},
        {"metadata": '{"x": ' + "[" * 32 + "]" * 32 + "}"},
        {"metadata": {"x": "\udc00"}},
        {"focal_point": "0.5"},
        {"focal_point": "0.5,1.1"},
        {"focal_point": "nan,0"},
        {"focal_point": {"x": 0.5, "y": -0.1}},
        {"focal_point": {"x": 0.5}},
        {"id": "a.jpg", "folder": "b"},
    ],
)
def test_mistakes_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Placed.model_validate(value)


def test_a_number_that_is_none_is_reported_in_plain_words() -> None:
    with pytest.raises(BadRequest) as raised:
        validated(Placed, {"focal_point": "nan,0"})
    assert raised.value.members == {"mistakes": ['focal_point.x: expected a finite number, but received "nan"']}


@pytest.mark.parametrize("value", [{}, {"items": []}, {"items": [{}]}, {"items": [{"url": 1}]}, {"url": "http://h/"}])
def test_several_addresses_are_items(value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Addresses.model_validate(value)
