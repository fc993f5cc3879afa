"""Where the static files are found."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from imgserve.errors import ConfigError
from imgserve.web.pages import static_folder

FILES = ("favicon.svg", "imgserve.css", "robots.txt", "welcome.css", "welcome.html", "welcome.js")


def _lay(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "welcome.html").touch()
    return folder


def test_every_file_that_pages_name_is_there() -> None:
    assert all((static_folder() / name).is_file() for name in FILES)


def test_a_checkout_has_the_static_files_next_to_the_package(tmp_path: Path) -> None:
    beside = _lay(tmp_path / "static")
    assert static_folder(tmp_path / "imgserve") == beside


def test_an_installed_package_has_them_inside_and_prefers_those(tmp_path: Path) -> None:
    _lay(tmp_path / "static")
    inside = _lay(tmp_path / "imgserve" / "_static")
    assert static_folder(tmp_path / "imgserve") == inside


def test_a_package_without_static_files_names_the_searched_folders(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="static files of imgserve are missing: expected"):
        static_folder(tmp_path / "imgserve")


def test_the_welcome_page_has_no_inline_script_or_style_and_loads_nothing_from_elsewhere() -> None:
    page = (static_folder() / "welcome.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?! src=\"/)|<style|\sstyle=|\son\w+=|https?:", page)


def test_the_favicon_is_well_formed() -> None:
    drawing = ET.fromstring((static_folder() / "favicon.svg").read_text(encoding="utf-8"))  # noqa: S314  ours
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
