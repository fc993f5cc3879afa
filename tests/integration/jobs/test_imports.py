"""Imports end to end: what is stored, what is not, and what is reported."""

import asyncio
import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.importing import importing
from tests.library_rig import picture
from tests.remote import Remote, ok, redirect

pytestmark = pytest.mark.anyio

FAST = {"retry_delay": 0.01, "per_second": 1000, "host_per_second": 1000, "attempts": 2}


def sections(there: Remote, **imports: Any) -> dict[str, dict[str, Any]]:
    fetching = {"fetch_networks": ["127.0.0.1"], "fetch_ports": [there.port]}
    hooks = {"webhook_networks": ["127.0.0.1"], "webhook_ports": [there.port]}
    return {"uploads": fetching, "imports": FAST | hooks | imports, "urls": {"public": "https://img.example.com"}}


async def test_images_are_stored_once_for_each_product(tmp_path: Path, there: Remote) -> None:
    base = f"http://127.0.0.1:{there.port}"
    same = ok(picture(1, "jpg"), "Content-Type: text/plain", 'ETag: "1"')
    there.answers |= {"/a.jpg": same, "/copy.jpeg?x=1": same, "/b": ok(picture(2)), "/c/a.jpg": ok(picture(3, "jpg"))}
    paths = ["/a.jpg", "/copy.jpeg?x=1", "/b", "/c/a.jpg", "/a.jpg"]
    async with importing(tmp_path, **sections(there)) as importer:
        rows = [("A", base + path) for path in paths] + [("B", f"{base}/a.jpg")]
        job = await importer.until(await importer.start(rows, "?output=w%3D20%26format%3Djpg"))
        assert (job["rows"], job["images"], job["duplicates"], job["products"]) == (6, 5, 1, 2)
        assert job["counts"] == {"stored": 4, "duplicate": 1}
        items = await importer.items(job["id"])
        first, second = sorted(items[:2], key=lambda item: item["state"] != "stored")
        assert (first["state"], second["state"], first["image_id"]) == ("stored", "duplicate", second["image_id"])
        assert {items[2]["image_id"], items[3]["image_id"]} == {"products/A/b.png", "products/A/a-2.jpg"} or (
            items[2]["image_id"], items[3]["image_id"]
        ) == ("products/A/b.png", "products/A/a.jpg")  # fmt: skip
        # The copy of the same product reports them too if it came while the first was being stored.
        assert sum("the same bytes are also at products/" in item["reason"] for item in items) in {1, 2}
        assert items[4]["output_url"] == "https://img.example.com/img/products/B/a.jpg?format=jpg&width=20"
        record = await importer.get(f"/api/images/{items[4]['image_id']}")
        assert record["metadata"]["import"] == {"url": f"{base}/a.jpg", "job": job["id"], "line": 6, "product": "B"}
        assert (record["origin"], record["who"]) == ("import", f"import:{job['id']}")
        stored = {found.name for found in (tmp_path / "originals" / "products" / "A").iterdir()}
        assert len(stored) == 3
        requests = len(there.requests)
        again = await importer.until(await importer.start(rows))
        assert (again["counts"], len(there.requests)) == (job["counts"], requests)


async def test_an_image_that_was_recorded_without_its_source_receives_it(tmp_path: Path, there: Remote) -> None:
    """As if a process had recorded what another one had placed, and both had died before they went on."""
    data, url = picture(1, "jpg"), f"http://127.0.0.1:{there.port}/a.jpg"
    async with importing(tmp_path, **sections(there)) as importer:

        async def interrupted(writer: asyncio.StreamWriter) -> None:
            there.answers["/a.jpg"] = ok(data)
            (job,) = (await importer.get("/api/imports"))["imports"]
            (item,) = (await importer.parts.catalog.imports.items(job["id"])).items
            digest = hashlib.sha256(data).hexdigest()
            await importer.parts.catalog.import_queue.reserve(item, digest, "products/A/a.jpg")
            await importer.ask("PUT", "/api/images/products/A/a.jpg", 201, content=data)
            writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")

        there.answers["/a.jpg"] = interrupted
        job = await importer.until(await importer.start([("A", url)]))
        assert job["counts"] == {"stored": 1}
        assert (await importer.get("/api/images/products/A/a.jpg"))["metadata"]["import"]["url"] == url


async def test_a_refresh_fetches_what_has_changed(tmp_path: Path, there: Remote) -> None:
    url = f"http://127.0.0.1:{there.port}"
    there.answers |= {"/a.jpg": ok(picture(1, "jpg"), 'ETag: "1"'), "/b.jpg": ok(picture(2, "jpg"), 'ETag: "1"')}
    rows = [("A", f"{url}/a.jpg"), ("A", f"{url}/b.jpg")]
    async with importing(tmp_path, **sections(there)) as importer:
        await importer.until(await importer.start(rows))
        there.answers["/a.jpg"] = b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n'
        there.answers["/b.jpg"] = ok(picture(3, "jpg"), 'ETag: "2"')
        there.requests.clear()
        job = await importer.until(await importer.start(rows, "?refresh=true"))
        assert all(b'if-none-match: "1"' in request.lower() for request in there.requests)
        items = await importer.items(job["id"])
        assert [(item["state"], item["status"], item["reason"]) for item in items] == [
            ("stored", 304, "not modified"), ("stored", 200, ""),
        ]  # fmt: skip
        assert (tmp_path / "originals/products/A/b.jpg").read_bytes() == picture(3, "jpg")


async def _reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _stall(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    await asyncio.sleep(60)


async def _drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + picture(1)[:20])
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + picture(1))
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


def _bomb() -> bytes:
    import gzip  # noqa: PLC0415  of this case alone

    return ok(gzip.compress(picture(1) + b"\0" * 5_000_000), "Content-Encoding: gzip")


HOSTILE: dict[str, tuple[Any, str, int | None, str, int]] = {
    "/private": (redirect("http://10.0.0.1/a.jpg"), "failed", None, "port", 1),
    "/local": (redirect("http://localhost/a.jpg"), "failed", None, "port", 1),
    "/reset": (_reset, "failed", None, "incomplete or damaged", 2),
    "/stall": (_stall, "failed", None, "did not respond in time", 2),
    "/drip": (_drip, "failed", None, "within 3", 2),
    "/short": (ok(picture(1)[:50], length=500), "failed", None, "incomplete or damaged", 2),
    "/endless": (_endless, "failed", None, "larger than 1000000 bytes", 1),
    "/large": (ok(b"", length=2_000_000), "failed", None, "larger than 1000000 bytes", 1),
    "/bomb": (_bomb(), "failed", None, "larger than 1000000 bytes", 1),
    "/page": (ok(b"<!doctype html><title>Not found</title>", "Content-Type: image/jpeg"), "failed", None, "format", 1),
    "/cut": (ok(picture(1, "jpg")[:300]), "failed", None, "", 1),
    "/empty": (ok(b""), "failed", None, "", 1),
    "/missing": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "failed", 404, "status 404", 1),
    "/busy": (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "failed", 503, "status 503", 2),
    "/loop": (redirect("/loop"), "failed", None, "redirects more than", 1),
    "/fine": (redirect("/good.jpg"), "stored", 200, "", 1),
    "/good.jpg": (ok(picture(9, "jpg")), "stored", 200, "", 1),
}


@pytest.mark.parametrize(("slow", "seconds"), [(True, (2, 3)), (False, (50, 60))])
async def test_every_behavior_of_a_hostile_host_has_its_state_and_reason(
    tmp_path: Path, there: Remote, slow: bool, seconds: tuple[float, float]
) -> None:
    hostile = {path: case for path, case in HOSTILE.items() if (path in {"/stall", "/drip"}) is slow}
    there.answers |= {path: case[0] for path, case in HOSTILE.items()}
    given = sections(there, read_timeout=seconds[0], timeout=seconds[1], image_bytes=1_000_000, per_host=20)
    async with importing(tmp_path, **given) as importer:
        base = f"http://127.0.0.1:{there.port}"
        rows = [(f"P{number}", base + path) for number, path in enumerate(hostile)]
        job_id = await importer.start([*rows, ("P", "http://10.1.2.3/a.jpg")])
        await importer.until(job_id)
        *items, private = await importer.items(job_id, "?limit=100")
        for item, (path, (_, state, status, reason, attempts)) in zip(items, hostile.items(), strict=True):
            assert (path, item["state"], item["status"]) == (path, state, status), item
            assert reason in item["reason"], item
            assert item["attempts"] == attempts, item
            assert item["reason"] or state == "stored"
        assert (private["state"], private["attempts"]) == ("failed", 1)


async def test_a_host_that_asks_for_time_receives_it_and_is_reported(tmp_path: Path, there: Remote) -> None:
    there.answers["/a.jpg"] = b"HTTP/1.1 429 Slow down\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n"
    there.answers["/b.jpg"] = ok(picture(2, "jpg"))
    base = f"http://127.0.0.1:{there.port}"
    async with importing(tmp_path, **sections(there, per_host=1)) as importer:
        job_id = await importer.start([("A", f"{base}/a.jpg"), ("A", f"{base}/b.jpg")])
        job = await importer.when(job_id, lambda job: bool(job["slow_hosts"]))
        assert job["slow_hosts"][0]["reason"] == "The server responded with status 429."
        assert (await importer.items(job_id))[0]["status"] == 429
        there.answers["/a.jpg"] = ok(picture(1, "jpg"))
        await importer.post(f"/api/imports/{job_id}/pause")
        assert (await importer.post(f"/api/imports/{job_id}/pause"))["state"] == "paused"
        await importer.post(f"/api/imports/{job_id}/cancel")
        assert (await importer.post(f"/api/imports/{job_id}/resume", 409))["code"] == "wrong_state"
        assert (await importer.post(f"/api/imports/{job_id}/retry"))["queued"] == 2
        assert (await importer.until(job_id))["counts"] == {"stored": 2}


async def test_results_are_a_completed_table_an_archive_and_pages(tmp_path: Path, there: Remote) -> None:
    base = f"http://127.0.0.1:{there.port}"
    there.answers |= {"/a.jpg": ok(picture(1, "jpg")), "/b.png": ok(picture(2))}
    table = (
        "S. No.;Product Name;Input Image Urls;Note\n"
        f'1;Red shoe;"{base}/a.jpg, {base}/b.png";=1+1\n2;;{base}/a.jpg;x\n3;Bag;{base}/gone.jpg;\n'
    )
    async with importing(tmp_path, presets={"tiny": {"width": 8, "format": "png"}}, **sections(there)) as importer:
        job_id = (await importer.post("/api/imports?output=preset%3Dtiny&name=shoes.csv", 201, content=table))["id"]
        await importer.until(job_id)
        exported = await importer.ask("GET", f"/api/imports/{job_id}/export.csv")
        head, shoe, invalid, bag = csv.reader(io.StringIO(exported.content.decode("utf-8-sig")))
        assert head == ["S. No.", "Product Name", "Input Image Urls", "Note", "Output Image Urls", "Status", "Reason"]
        url = "https://img.example.com/img/products/Red-shoe"
        assert shoe[3:] == ["'=1+1", f"{url}/a.jpg?preset=tiny, {url}/b.png?preset=tiny", "stored", ""]
        assert invalid[4:] == ["", "invalid", "Product Name: expected a product"]
        assert bag[4:] == ["", "failed", "The server responded with status 404."]
        objects = await importer.get(f"/api/imports/{job_id}/export.json")
        assert objects[0]["Note"] == "=1+1"
        assert len(objects[0]["Output Image Urls"]) == 2
        sheet = await importer.ask("GET", f"/api/imports/{job_id}/export.xlsx")
        again = await importer.post("/api/imports/analyze", content=sheet.content)
        assert (again["rows"], again["headers"]) == (3, head[:4])
        for query, size in (("", len(picture(1, "jpg"))), ("?preset=tiny", None)):
            answer = await importer.ask("GET", f"/api/imports/{job_id}/zip{query}")
            assert int(answer.headers["content-length"]) == len(answer.content)
            archive = zipfile.ZipFile(io.BytesIO(answer.content))
            assert archive.testzip() is None
            lines = json.loads(archive.read("manifest.json"))
            assert [line["status"] for line in lines] == ["stored", "stored", "failed"]
            info = archive.getinfo(lines[0]["file"])
            assert info.file_size == lines[0]["bytes"]
            assert size is None or info.file_size == size
            assert lines[0]["file"] == ("Red-shoe/a.png" if query else "Red-shoe/a.jpg")
        only = await importer.ask("GET", f"/api/imports/{job_id}/products/Bag/zip")
        assert zipfile.ZipFile(io.BytesIO(only.content)).namelist() == ["manifest.csv", "manifest.json"]
        assert (await importer.get(f"/api/imports/{job_id}/products/Hat/zip", 404))["code"] == "import_not_found"
        products = (await importer.get(f"/api/imports/{job_id}/products"))["products"]
        assert [(one["product"], one["counts"]) for one in products] == [
            ("Bag", {"failed": 1}), ("Red-shoe", {"stored": 2}),
        ]  # fmt: skip
        (gone,), shown = (one["images"] for one in products)
        assert (gone["path"], gone["thumbhash"], [bool(one["thumbhash"]) for one in shown]) == ("", "", [True, True])
        (job,) = (await importer.get("/api/imports"))["imports"]
        assert (job["name"], job["invalid"]) == ("shoes.csv", 1)
        deleted = await importer.ask("DELETE", f"/api/imports/{job_id}?images=true")
        assert deleted.json() == {"images": 2}
        assert (await importer.get(f"/api/imports/{job_id}", 404))["code"] == "import_not_found"
        assert (await importer.get("/api/totals"))["images"] == 0


async def test_events_report_changes_until_the_end(tmp_path: Path, there: Remote) -> None:
    there.answers["/a.jpg"] = ok(picture(1, "jpg"))
    async with importing(tmp_path, **sections(there)) as importer:
        job_id = await importer.start([("A", f"http://127.0.0.1:{there.port}/a.jpg")])
        answer = await importer.ask("GET", f"/api/imports/{job_id}/events")
        assert answer.headers["content-type"].startswith("text/event-stream")
        last = answer.text.strip().rsplit("\n\n", 1)[-1].splitlines()
        data = json.loads(last[2].removeprefix("data: "))
        assert (data["state"], data["done"], data["counts"]) == ("finished", 1, {"stored": 1})
        seen = {"last-event-id": last[1].removeprefix("id: ")}
        assert (await importer.ask("GET", f"/api/imports/{job_id}/events", 204, headers=seen)).content == b""


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?output=width%3D-1", 400, "bad_transform"),
        ("?output=preset%3Dunknown", 400, "bad_transform"),
        ("?webhook=ftp://example.com/", 422, "address_refused"),
        ("?unknown=1", 400, "bad_request"),
    ],
)
async def test_mistakes_in_options_are_rejected(
    tmp_path: Path, there: Remote, query: str, status: int, code: str
) -> None:
    async with importing(tmp_path, **sections(there)) as importer:
        found = await importer.post(f"/api/imports{query}", status, content="SKU,Image URL\nA,https://example.com/a\n")
        assert found["code"] == code
        assert (await importer.get("/api/imports"))["imports"] == []
