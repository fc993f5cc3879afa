"""What the API tells of errors, as models: an answer of its own, or within the answer to several things."""

from pydantic import ConfigDict, Field
from starlette.requests import Request

from imgserve.errors import ImgserveError
from imgserve.http.problem import problem_members
from imgserve.web.api.told import Told
from imgserve.web.middleware import KEY, RequestRecord


class ErrorOut(Told):
    """An error, after RFC 9457. The code says to programs what went wrong, the detail to people."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    type: str
    """Where the code is explained."""
    title: str
    """The code in words."""
    status: int
    """Of HTTP."""
    detail: str
    """What went wrong, in a sentence."""
    instance: str
    """Path of the request."""
    code: str
    """What went wrong, for programs."""
    request_id: str
    """By which the log knows the request."""
    mistakes: list[str] | None = Field(default=None, exclude_if=lambda value: value is None)
    """Everything that was wrong with the request, a sentence each."""


class ErrorWithin(ErrorOut):
    """Why one of several things was not done."""

    model_config = ConfigDict(extra="allow")


def error_within(error: ImgserveError, request: Request) -> ErrorWithin:
    """Tell of an error within an answer."""
    exchange: RequestRecord = request.scope[KEY]
    members = problem_members(error, instance=request.scope["path"], request_id=exchange.request_id)
    return ErrorWithin.model_validate(members)
