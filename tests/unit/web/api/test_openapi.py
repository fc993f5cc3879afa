import json
from typing import Any

import pytest

from imgserve.access.keys import Scope
from imgserve.web.api.endpoint import endpoint, endpoints_of
from imgserve.web.api.messages import ResponseModel
from imgserve.web.api.openapi import openapi
from imgserve.web.api.requests import RequestModel
from imgserve.web.api.uploads import Uploads


def document() -> dict[str, Any]:
    return openapi(endpoints_of(object.__new__(Uploads)), prefix="/img", version="1")


def test_every_kind_of_upload_is_in_the_document() -> None:
    paths = document()["paths"]
    kinds = {"multipart/form-data", "application/octet-stream", "application/json"}
    for operation in (paths["/api/images"]["post"], paths["/api/images/{image_id}"]["put"]):
        assert set(operation["requestBody"]["content"]) == kinds
        assert {"200", "201", "400", "401", "413", "415", "422", "507"} <= set(operation["responses"])
    assert "207" in paths["/api/images"]["post"]["responses"]
    named = {parameter["name"] for parameter in paths["/api/images"]["post"]["parameters"]}
    assert {"id", "folder", "filename", "title", "tags", "metadata", "focal_point", "Idempotency-Key"} <= named


def test_no_two_models_have_the_same_name_in_the_document() -> None:
    class Parcel(RequestModel):
        weight: int

    class ParcelOut(ResponseModel):
        arrived: bool

    class Parcels:
        @endpoint("POST", "/api/parcels", Scope.MANAGE, "Send a parcel")
        async def send(self, body: Parcel) -> ParcelOut:
            """Send a parcel."""
            return ParcelOut(arrived=body.weight > 0)

    with pytest.raises(ValueError, match="two models are named Parcel"):
        openapi(endpoints_of(Parcels()), prefix="/img", version="1")


def test_the_document_refers_to_nothing_that_is_not_in_it() -> None:
    written = document()
    text = json.dumps(written)
    for part in text.split('"$ref": "')[1:]:
        reference = part.partition('"')[0]
        assert reference.startswith("#/components/schemas/")
        assert reference.rpartition("/")[2] in written["components"]["schemas"]
