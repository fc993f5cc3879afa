"""What USAGE.md says of the API is so: its examples are run by a shell, with curl, for a real server."""

import json
import os
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.management import KEY, Api, managed
from tests.pictures import encoded, noise, opened, quarters
from tests.servers import PATIENCE

USAGE = Path(__file__).parents[2] / "USAGE.md"
_SECTION = re.compile(r"^## The API\n(.*?)^## ", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
_CURL = "curl() { command curl -sS --fail-with-body --noproxy '*' \"$@\"; echo; }\nset -e\n"
ELSEWHERE = "www.example.com"
"""Nothing is fetched from the Internet here."""


def blocks() -> list[str]:
    """List the blocks of commands of the section, in order."""
    (section,) = _SECTION.findall(USAGE.read_text(encoding="utf-8"))
    return [block for block in _BLOCK.findall(section) if ELSEWHERE not in block]


def run(block: str, api: Api, folder: Path) -> list[Any]:
    """Run a block as it stands, and read what its commands answer."""
    environment = {**os.environ, "IMGSERVE_KEY": KEY, "IMGSERVE_SERVER": api.served.base_url}
    command = ["/bin/sh", "-c", _CURL + block]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, (block, done.stdout, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with managed(tmp_path_factory.mktemp("originals")) as an_api:
        yield an_api


def test_every_example_of_the_api_does_what_it_says(api: Api, tmp_path: Path) -> None:
    (tmp_path / "shoe.jpg").write_bytes(encoded(quarters(), "jpg"))
    (tmp_path / "one.jpg").write_bytes(encoded(noise(), "jpg"))
    (tmp_path / "two.png").write_bytes(encoded(quarters(), "png"))
    told = [run(block, api, tmp_path) for block in blocks()]
    uploaded, found, looked, changed, many, deleted, purged, converted, warmed, figures = told
    assert re.fullmatch(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]+\.jpg", uploaded[0]["image"]["id"])
    assert [one["image"]["id"] for one in uploaded[1:2] + uploaded[3:]] == [
        "products/shoe.jpg", "shoes/red.jpg", "shoes/new.jpg", "shoes/newer.jpg"
    ]  # fmt: skip
    assert [one["status"] for one in uploaded[2]["results"]] == [201, 201]
    assert [image["id"] for image in found[0]["images"]] == ["products/shoe.jpg"]
    assert [list(one) for one in looked[1:]] == [["images"], ["groups", "next"], ["tags"]]
    assert (changed[0]["metadata"], changed[0]["focal_point"]) == ({"sku": "R-17"}, {"x": 0.5, "y": 0.4})
    assert (many[0], len(many[1]["deleted"]), many[2]["images"]) == ({"changed": 3}, 2, 1)
    assert (deleted[0]["deleted"][0]["id"], len(deleted[1]["items"])) == ("products/one.jpg", 3)
    assert (purged[0]["images"], purged[1]["images"]) == (1, 2)
    assert converted == []
    assert opened((tmp_path / "red.png").read_bytes()).get("vips-loader").startswith("png")
    assert zipfile.ZipFile(tmp_path / "shoes.zip").namelist() == ["shoes/red.jpg"]
    assert warmed[-1]["finished"]
    assert (warmed[-1]["failed"], figures[1]["images"]) == (0, 4)
