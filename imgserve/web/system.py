"""The page with the checks of settings and machine, for holders of a key with the scope admin."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Self

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from imgserve.access.access import Access
from imgserve.access.keys import Scope
from imgserve.http.headers import api_key
from imgserve.web.middleware import KEY, RequestRecord

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    name: str
    state: State = "ok"
    found: str = ""
    """What was found; usually empty if all is well."""
    advice: str = ""
    """What to do."""

    @classmethod
    def unless(cls, bad: object, name: str, state: State, found: str, advice: str) -> Self:
        """Return a finding, or that all is well."""
        return cls(name, state, found, advice) if bad else cls(name)

    @property
    def rank(self) -> int:
        """The place in a list whose worst findings come first."""
        return ("problem", "warning", "ok").index(self.state)


@dataclass(frozen=True, slots=True)
class SystemCheck:
    """Runs the checks for a request."""

    access: Access
    diagnose: Callable[[], Sequence[Finding]]

    async def respond(self, request: Request) -> Response:
        """Respond with the results, or raise Unauthorized or Forbidden."""
        record: RequestRecord = request.scope[KEY]
        record.private = True
        # A key for some images only is not for the server as a whole.
        record.caller = (await self.access.check(api_key(request.scope["headers"]), Scope.ADMIN, image_id="")).name
        findings = await to_thread.run_sync(self.diagnose)
        status = "problems" if any(one.state == "problem" for one in findings) else "ok"
        body = json.dumps({"status": status, "checks": [asdict(one) for one in findings]}, indent=1) + "\n"
        return Response(body, headers={"cache-control": "no-store"}, media_type="application/json")
