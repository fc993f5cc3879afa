"""What acceptance tests share: pictures and a server for those that only read, and a browser."""

import re
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pyvips
from playwright.sync_api import Browser, Page, StorageState

from tests import browser
from tests.admin import Open
from tests.browser import People, session_state
from tests.management import Api
from tests.pictures import BLUE, GREEN, RED, animation, encoded, noise, quarters
from tests.servers import Server, server, settled

_FAILED = pytest.StashKey[bool]()
CONFIG = """
presets:
  card: {width: 120, height: 90, fit: crop, format: webp}
  Wide: width=300&aspect=3:1&auto=format
"""


def photograph() -> bytes:
    """Make what a phone makes: wider than the default preset, turned by EXIF, with GPS and a copyright."""
    image = pyvips.Image.black(2400, 1200, bands=3).copy(interpretation="srgb")
    image = image.draw_rect(list(RED), 0, 0, 1200, 1200, fill=True).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    for name, value in (
        ("exif-ifd0-Copyright", "Ada Lovelace"),
        ("exif-ifd3-GPSLatitude", "52/1 30/1 0/1"),
        ("exif-ifd0-Make", "Secret Camera"),
    ):
        image.set_type(pyvips.GValue.gstr_type, name, value)
    return encoded(image, "jpg")


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 30"><rect width="40" height="30" fill="#1eb41e"/></svg>'


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out a folder of originals of every kind."""
    folder = tmp_path_factory.mktemp("originals")
    shoe = quarters()
    for name in ("jpg", "png", "webp", "gif", "tiff", "avif", "heic"):
        settled(folder / f"kinds/{name}.{name}", encoded(shoe, name))
    settled(folder / "kinds/svg.svg", SVG)
    settled(folder / "kinds/moving.gif", animation([RED, GREEN, BLUE]))
    settled(folder / "shoe.jpg", encoded(shoe, "jpg"))
    settled(folder / "products/summer/2024/shoe.jpg", encoded(shoe, "jpg"))
    settled(folder / "noise.jpg", encoded(noise(), "jpg"))
    settled(folder / "large.png", encoded(pyvips.Image.black(2000, 1500).copy(interpretation="b-w"), "png"))
    settled(folder / "phone.jpg", photograph())
    settled(folder / "clear.png", encoded(shoe.bandjoin(128), "png"))
    settled(folder / "notes.txt", b"no picture at all")
    return folder


@pytest.fixture(scope="session")
def site(gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the gallery with a few presets; for tests that change neither files nor settings."""
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    config.write_text(CONFIG)
    with server(gallery, "--config", config) as served:
        yield served


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Start a browser for the tests of one file."""
    with browser.chromium() as started:
        yield started


@pytest.fixture
def people(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[People]:
    """Let people browse; store what they see if the test fails."""
    found = People(chromium)
    try:
        yield found
        failed = request.node.stash.get(_FAILED, default=False)
        mistakes = "" if failed else found.mistakes()
        if failed or mistakes:
            found.photograph(re.sub(r"[^\w.-]+", "-", request.node.name))
        assert not mistakes, mistakes
    finally:
        found.close()


@pytest.fixture(scope="module")
def sessions(api: Api) -> Mapping[str, StorageState]:
    """Sign in a person of each role, on the server of the tests of one file."""
    return {role: session_state(api.served.base_url, role) for role in browser.ROLES}


@pytest.fixture
def opened(api: Api, people: People, sessions: Mapping[str, StorageState]) -> Open:
    """Return a function that opens a page below /admin for a person."""

    def open_page(path: str, name: str = "editor", **options: Any) -> Page:
        page = people.open(storage_state=sessions[name], **options)
        page.goto(f"{api.served.base_url}/admin/{path}")
        return page

    return open_page


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note for fixtures whether the test failed."""
    report = yield
    item.stash[_FAILED] = report.failed
    return report
