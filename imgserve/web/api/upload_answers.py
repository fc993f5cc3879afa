"""Writes what is answered to an upload: the record, where it is, addresses to try, images that look alike."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from starlette.requests import Request

from imgserve.client import ImageUrls
from imgserve.client.address import api_path
from imgserve.errors import ImgserveError
from imgserve.library.results import Accepted
from imgserve.web.api.error_models import error_within
from imgserve.web.api.models import ImageOut
from imgserve.web.api.reply import Reply
from imgserve.web.api.upload_models import Alike, RefusedFile, TakenFile, UploadedOut, UploadsOut
from imgserve.web.api.upload_names import examples

_STATUSES = {"created": 201, "replaced": 200, "existing": 200}
_SEVERAL = 207

Take = Callable[[], Awaitable[Accepted]]


@dataclass(frozen=True, slots=True)
class UploadAnswers:
    """Writes answers."""

    prefix: str
    """Where pictures are served."""

    def one(self, request: Request, accepted: Accepted) -> Reply:
        """Answer for one image."""
        place = request.scope.get("root_path", "") + api_path(accepted.record.image_id)
        return Reply(self._told(accepted), _STATUSES[accepted.outcome], {"location": place})

    async def several(self, request: Request, takes: Iterable[tuple[str, Take]]) -> Reply:
        """Take several images one after the other, and answer for each by itself."""
        return Reply(UploadsOut(results=[await self._result(request, name, take) for name, take in takes]), _SEVERAL)

    async def _result(self, request: Request, name: str, take: Take) -> TakenFile | RefusedFile:
        try:
            accepted = await take()
        except ImgserveError as error:
            return RefusedFile(status=error.status, name=name, problem=error_within(error, request))
        told = self._told(accepted)
        return TakenFile(**dict(told), status=_STATUSES[accepted.outcome], name=name)

    def _told(self, accepted: Accepted) -> UploadedOut:
        record = accepted.record
        return UploadedOut(
            image=ImageOut.of(record, self.prefix),
            outcome=accepted.outcome,
            examples=examples(ImageUrls(self.prefix), record.image_id, record.width, record.height),
            similar=[Alike(id=other.record.image_id, distance=other.distance) for other in accepted.similar],
        )
