"""The settings, the table and the commands at the start of docs/access.md, against a real server."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import pyvips

from tests.pictures import BLUE, RED, color_at, encoded, near, opened
from tests.servers import Server, imgserve, server, settled

DOCUMENT = (Path(__file__).parents[2] / "docs" / "access.md").read_text(encoding="utf-8")
SETTINGS = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)[0]
ROWS = re.findall(
    r"^\| (?:any|`(\S+)`) \| `(/img/\S+)` \| (?:(any|none)|`(\S+)`) \| (\d+)(.*?) \|$", DOCUMENT, re.MULTILINE
)
KEY = "a-key-of-tests-with-over-32-characters"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("settings") / "imgserve.yaml"
    file.write_text(SETTINGS)
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module")
def protected(settings: Path) -> Iterator[Server]:
    for name in ("cat.jpg", "shop/shoe.jpg", "press/cup.jpg", "family/us.jpg", "public/stop.png"):
        path = settings.parent / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        color = RED if name == "public/stop.png" else BLUE
        settled(
            path,
            encoded(
                (pyvips.Image.black(40, 30) + list(color)).cast("uchar").copy(interpretation="srgb"), path.suffix[1:]
            ),
        )
    env = {"IMGSERVE_ACCESS__ADMIN_KEY": KEY}
    with server(settings.parent / "photos", "--config", settings, env=env) as served:
        yield served


def test_the_table_has_every_row() -> None:
    assert len(ROWS) == 7


@pytest.mark.parametrize(("host", "target", "whatever", "page", "status", "more"), ROWS)
def test_requests_are_answered_as_the_table_says(
    protected: Server, host: str, target: str, whatever: str, page: str, status: str, more: str
) -> None:
    pages = [page] if page else [""] if whatever == "none" else ["", "https://other.example/a"]
    for name in [host] if host else ["localhost", "unknown.example"]:
        for one in pages:
            response = protected.get(target, host=name, **({"referer": one} if one else {}))
            assert response.status_code == int(status)
            if int(status) != 200:
                assert f"`{response.json()['code']}`" in more
            else:
                assert near(color_at(opened(response.content), 0.5, 0.5), RED if "public/stop.png" in more else BLUE)


def test_a_signed_url_and_a_key_open_what_the_document_says(protected: Server, settings: Path) -> None:
    url, days = re.findall(r'`imgserve sign "(\S+)" --expires (\w+)`', DOCUMENT)[0]
    signed = imgserve("sign", url, "--expires", days, "--config", settings, cwd=settings.parent)
    assert protected.get(signed.stdout.strip()).status_code == 200
    assert protected.get("/img/family/us.jpg?width=320", authorization=f"Bearer {KEY}").status_code == 200
