"""Runs the shell examples of USAGE.md and docs/api.md against a real server."""

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.management import KEY, Api, managed
from tests.pictures import encoded, noise, opened, quarters
from tests.prefork import PATIENCE
from tests.servers import settled, until

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
_FUNCTIONS = """
set -e
curl() { command curl -sS --fail-with-body --noproxy '*' "$@"; echo; }
imgserve() { "$PYTHON" -m imgserve "$@"; }
"""
ELSEWHERE = "www.example.com"
"""Examples with this host are not run, because the tests do not use the Internet."""


def blocks(document: str) -> list[str]:
    """Return the blocks of shell commands of a document, in order."""
    found = _BLOCK.findall((ROOT / document).read_text(encoding="utf-8"))
    return [block for block in found if ELSEWHERE not in block]


def run(block: str, api: Api, folder: Path) -> str:
    """Run the commands of a block and return their output."""
    environment = {
        **os.environ, "IMGSERVE_KEY": KEY, "IMGSERVE_SERVER": api.served.base_url, "PYTHON": sys.executable
    }  # fmt: skip
    done = subprocess.run(
        ["/bin/sh", "-c", _FUNCTIONS + block],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, (block, done.stdout, done.stderr)
    return done.stdout


def responses(block: str, api: Api, folder: Path) -> list[Any]:
    """Run the commands of a block and return their JSON responses."""
    return [json.loads(line) for line in run(block, api, folder).splitlines() if line]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with managed(tmp_path_factory.mktemp("originals")) as an_api:
        yield an_api


def test_every_example_of_the_api_works(api: Api, tmp_path: Path) -> None:
    (tmp_path / "shoe.jpg").write_bytes(encoded(quarters(), "jpg"))
    (tmp_path / "one.jpg").write_bytes(encoded(noise(), "jpg"))
    (tmp_path / "two.png").write_bytes(encoded(quarters(), "png"))
    results = [responses(block, api, tmp_path) for block in blocks("docs/api.md")]
    uploaded, found, looked, changed, moved, many, deleted, purged, addressed, converted, warmed, figures = results
    assert re.fullmatch(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]+\.jpg", uploaded[0]["image"]["id"])
    assert [one["image"]["id"] for one in uploaded[1:2] + uploaded[3:]] == [
        "products/shoe.jpg", "shoes/red.jpg", "shoes/new.jpg", "shoes/newer.jpg"
    ]  # fmt: skip
    assert [one["status"] for one in uploaded[2]["results"]] == [201, 201]
    assert [image["id"] for image in found[0]["images"]] == ["products/shoe.jpg"]
    assert [list(one) for one in looked[1:]] == [
        ["images"],
        ["groups", "next"],
        ["tags"],
        ["folders", "next"],
        ["images", "bytes"],
    ]
    assert (changed[0]["metadata"], changed[0]["focal_point"]) == ({"sku": "R-17"}, {"x": 0.5, "y": 0.4})
    assert (moved[0]["id"], moved[1]["results"][0]["image"]["id"]) == ("catalog/second.png", "products/second.png")
    assert (many[0], len(many[1]["deleted"]), many[2]["images"]) == ({"changed": 3}, 2, 1)
    assert (deleted[0]["deleted"][0]["id"], len(deleted[1]["items"])) == ("products/one.jpg", 3)
    assert (purged[0]["images"], purged[1]["images"]) == (1, 2)
    assert (addressed[0]["url"], converted) == (
        f"{api.served.base_url}/img/products/shoe.jpg?format=webp&width=400",
        [],
    )
    assert opened((tmp_path / "red.png").read_bytes()).get("vips-loader").startswith("png")
    assert zipfile.ZipFile(tmp_path / "shoes.zip").namelist() == ["shoes/red.jpg"]
    assert warmed[-1]["finished"]
    assert (warmed[-1]["failed"], figures[1]["images"]) == (0, 4)


def test_every_example_of_the_guide_works(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    pictures = {"balloon.jpg": noise(), "glass.png": quarters(), "mountains.jpg": quarters()}
    for name, picture in pictures.items():
        settled(photos / name, encoded(picture, name.partition(".")[2]))
    with managed(photos) as api:
        until(lambda: len(api.every_id()) == len(pictures))
        output = "\n".join(run(block, api, tmp_path) for block in blocks("USAGE.md"))
        assert api.record("mountains.jpg")["focal_point"] == {"x": 0.7, "y": 0.4}
        assert api.record("news/balloon.jpg")["title"] == "A balloon"
        assert api.record("products/wine.png")["tags"] == ["red"]
    for line in ("image/avif ", "image/webp ", "image/jpeg ", "pictures made, 0 failed", "in the trash until "):
        assert re.search(rf"^.*{line}", output, re.MULTILINE), line
    assert f"{api.served.base_url}/img/mountains.jpg?auto=format&width=800" in output
