"""Webhooks: signed, repeated while the receiver is down, with the same body; to public addresses alone."""

import asyncio
import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from imgserve.jobs import webhooks
from imgserve.jobs.webhooks import is_webhook_secret, signature
from tests.importing import Importer, importing
from tests.integration.jobs.test_imports import sections
from tests.library_rig import picture
from tests.remote import Remote, ok

pytestmark = pytest.mark.anyio

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  of the example in the standard


class Receiver:
    """What a webhook receives, and how it answers: with 503 at first."""

    def __init__(self, failures: int = 0) -> None:
        self.calls = list[tuple[dict[str, str], bytes]]()
        self.failures = failures

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.calls.append((headers, await reader.readexactly(int(headers["content-length"]))))
        status = b"503 Down" if len(self.calls) <= self.failures else b"204 Done"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


async def deliveries(importer: Importer, job_id: str, state: str) -> list[dict[str, Any]]:
    async with asyncio.timeout(30):
        while True:
            found: list[dict[str, Any]] = (await importer.get(f"/api/imports/{job_id}/deliveries"))["deliveries"]
            if found and all(one["state"] == state for one in found):
                return found
            await asyncio.sleep(0.02)


def test_the_signature_is_that_of_the_standard() -> None:
    body = b'{"test": 2432232314}'
    signed = signature(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("text", "valid"), [(SECRET, True), ("whsec_", False), ("secret", False), ("whsec_!", False), (SECRET[6:], False)]
)
def test_secrets_are_checked(text: str, valid: bool) -> None:
    assert is_webhook_secret(text) is valid


async def test_a_call_is_repeated_until_it_is_accepted_and_can_be_made_again(
    tmp_path: Path, there: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "_PAUSES", (0.01,) * 8)
    receiver = Receiver(failures=2)
    listening = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    there.answers["/a.jpg"] = ok(picture(1, "jpg"))
    base = f"http://127.0.0.1:{there.port}"
    async with listening, importing(tmp_path, **sections(there, webhook_ports=[port])) as importer:
        hook = f"http%3A%2F%2F127.0.0.1%3A{port}%2Fhook"
        rows = [("A", f"{base}/a.jpg"), ("B", f"{base}/gone.jpg")]
        job_id = await importer.start(rows, f"?webhook={hook}&each_product=true&name=x.csv")
        await importer.until(job_id)  # when all calls are planned
        found = await deliveries(importer, job_id, "delivered")
        assert len(found) == 3
        assert sum(one["attempts"] for one in found) == len(receiver.calls) == 5
        secret = (await importer.get("/api/imports/webhook"))["secret"]
        for headers, body in receiver.calls:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            digest = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
            assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        bodies = {headers["webhook-id"]: body for headers, body in receiver.calls}
        assert len(bodies) == len(set(bodies.values())) == 3
        data = {
            tuple(one["data"].get(name) for name in ("product", "state")): one
            for one in map(json.loads, bodies.values())
        }
        assert data[None, "finished"]["data"]["counts"] == {"stored": 1, "failed": 1}
        assert data["A", None]["data"]["images"][0]["output_url"] == "https://img.example.com/img/products/A/a.jpg"
        assert data["B", None]["data"]["images"][0]["reason"] == "The server responded with status 404."
        again = found[0]["id"]
        await importer.post(f"/api/imports/{job_id}/deliveries/{again}")
        await deliveries(importer, job_id, "delivered")
        assert receiver.calls[-1][0]["webhook-id"] == again
        assert receiver.calls[-1][1] == bodies[again]
        assert (await importer.post(f"/api/imports/{job_id}/deliveries/msg_x", 404))["code"] == "import_not_found"


async def test_private_addresses_are_not_called(tmp_path: Path, there: Remote) -> None:
    given = sections(there, webhook_networks=[], webhook_ports=[there.port])
    async with importing(tmp_path, **given) as importer:
        hook = f"http%3A%2F%2F127.0.0.1%3A{there.port}%2Fhook"
        job_id = await importer.start([("A", f"http://127.0.0.1:{there.port}/gone.jpg")], f"?webhook={hook}")
        (call,) = await deliveries(importer, job_id, "failed")
        assert (call["attempts"], "does not download from it" in call["reason"]) == (1, True)
