"""A stand-in as an answer: a kept picture in place of the wanted one, and headers that let nobody take it for that."""

from collections.abc import Mapping

from starlette.types import Send

from imgserve.services.renditions import Served
from imgserve.web.cache_headers import CachePolicy, cache_control, cache_status, server_timing
from imgserve.web.conditional import entity_tag
from imgserve.web.disposition import content_disposition, file_name_for
from imgserve.web.respond import RawHeaders, picture_headers
from imgserve.web.wanted import Wanted

_POLICY = CachePolicy(max_age=5)
"""Most pictures are made in less; meanwhile not everyone on a page asks again."""

_ONLY_ITSELF = ("range", "if-match", "if-unmodified-since")


def may_stand_in(wanted: Wanted, conditions: Mapping[str, str]) -> bool:
    """Tell whether a stand-in will do: not for a part, a condition on the bytes, or a file to keep."""
    return not wanted.disposition.startswith("attachment") and not any(name in conditions for name in _ONLY_ITSELF)


async def send_stand_in(send: Send, wanted: Wanted, served: Served, *, head: bool, timing_headers: bool) -> None:
    """Answer 200 with the stand-in."""
    body = served.rendition.data
    headers = [*_headers(wanted, served), (b"content-length", b"%d" % len(body))]
    if timing_headers:
        headers.append((b"cache-status", cache_status("miss", detail="stand-in").encode()))
        headers.append((b"server-timing", server_timing(served.seconds).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


def _headers(wanted: Wanted, served: Served) -> RawHeaders:
    """Give its own entity tag, and no Last-Modified: by that date a client would take it for the wanted picture."""
    rendition, key = served.rendition, served.stands_in or wanted.key
    name = rendition.media_type.removeprefix("image/")
    note = f"stand-in: {rendition.width}x{rendition.height} {name} until the picture asked for is made"
    disposition = content_disposition("inline", file_name_for(wanted.original.image_id, key.extension))
    headers = [
        (b"etag", entity_tag(key.tag, rendition.crc32).encode()),
        (b"cache-control", cache_control(_POLICY).encode()),
        *picture_headers(rendition, disposition, (*wanted.notes, note)),
    ]
    return [*headers, (b"vary", ", ".join(wanted.vary).encode())] if wanted.vary else headers
