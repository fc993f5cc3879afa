"""How uploads stand in the OpenAPI document: kinds of body, kinds of answer."""

from typing import Any

from imgserve.web.api.endpoint import JSON, Answer, Body
from imgserve.web.api.upload_fields import PlacedText, ReplacementAddress, SaidText, ToFetch
from imgserve.web.api.upload_models import UploadedOut, UploadsOut
from imgserve.web.api.upload_request import FORM

_BINARY = {"type": "string", "format": "binary"}
_RAW = {**_BINARY, "description": "The file; any other type will do, since its bytes tell what it is."}
_LOCATION = {"Location": "Path of the record."}


def _form(model: type[SaidText], file: dict[str, Any]) -> dict[str, Any]:
    schema = model.model_json_schema()
    return {
        "type": "object",
        "properties": {"file": file, **schema["properties"]},
        "required": ["file"],
        "additionalProperties": False,
    }


_FILES = {
    "type": "array",
    "items": _BINARY,
    "minItems": 1,
    "description": "Files, under any name of a field; one, or several, of which each is answered by itself.",
}

UPLOAD_BODIES = (
    Body(FORM, _form(PlacedText, _FILES)),
    Body("application/octet-stream", _RAW),
    Body(
        JSON,
        ToFetch,
        example={"url": "https://www.example.com/shoe.jpg", "folder": "shoes"},
    ),
)
REPLACEMENT_BODIES = (
    Body(FORM, _form(SaidText, {**_BINARY, "description": "The file, under any name of a field."})),
    Body("application/octet-stream", _RAW),
    Body(JSON, ReplacementAddress, example={"url": "https://www.example.com/shoe.jpg"}),
)
UPLOAD_ANSWERS = {
    200: Answer("The same bytes are here already.", UploadedOut, headers=_LOCATION),
    201: Answer("The image is new.", UploadedOut, headers=_LOCATION),
    207: Answer("Several files: what became of each.", UploadsOut),
}
REPLACEMENT_ANSWERS = {
    200: Answer("The image was replaced, or has these bytes already.", UploadedOut, headers=_LOCATION),
    201: Answer("The image is new.", UploadedOut, headers=_LOCATION),
}
