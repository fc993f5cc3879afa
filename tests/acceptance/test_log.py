"""The log of a running server: lines of JSON with the ids of requests, slow and failed renderings, and no secrets."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.pictures import encoded, noise
from tests.servers import Server, server, settled, until

SETTINGS = {"IMGSERVE_LOG__FORMAT": "auto", "IMGSERVE_LOG__SLOW_RENDER": "0.1ms"}


@pytest.fixture(scope="module")
def logging_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("originals")
    data = encoded(noise(), "jpg")
    settled(folder / "noise.jpg", data)
    settled(folder / "half.jpg", data[: len(data) // 2])
    with server(folder, "--workers", "2", env=SETTINGS) as running:
        yield running


def entries(running: Server, **fields: object) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in running.lines if line.startswith("{")]
    return [entry for entry in found if fields.items() <= entry.items()]


def test_lines_of_every_process_are_json(logging_server: Server) -> None:
    (listening,) = entries(logging_server, message=f"listening on {logging_server.base_url}")
    assert list(listening) == ["time", "level", "logger", "message"]
    assert (listening["level"], listening["logger"]) == ("info", "imgserve.server.supervisor")
    assert len(entries(logging_server, logger="imgserve.workers", level="info")) == 2


def test_slow_renderings_are_logged_with_the_request_image_and_transform(logging_server: Server) -> None:
    answer = logging_server.get("/img/noise.jpg?w=61&format=webp&q=70")
    request_id = answer.headers["x-request-id"]
    (slow,) = until(lambda: entries(logging_server, message="slow rendering", request_id=request_id))
    assert (slow["image_id"], slow["transform"]) == ("noise.jpg", "format=webp&quality=70&width=61")
    assert slow["original"].endswith("/noise.jpg")
    assert slow["seconds"] > 0
    assert slow["pid"] > 1


def test_failed_renderings_are_logged_with_their_reason_and_without_secrets(logging_server: Server) -> None:
    answer = logging_server.get("/img/half.jpg?w=62&format=webp&signature=0123456789abcdef")
    request_id = answer.headers["x-request-id"]
    assert answer.status_code == 422
    (failed,) = until(lambda: entries(logging_server, message="failed rendering", request_id=request_id))
    assert (failed["level"], failed["reason"], failed["image_id"]) == ("warning", "unreadable_image", "half.jpg")
    assert failed["transform"] == "format=webp&width=62"
    assert failed["detail"] == answer.json()["detail"]
    assert "0123456789abcdef" not in "".join(logging_server.lines)
