"""The documents agree with the code and with each other."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import imgserve
from imgserve.cli.main import cli
from imgserve.client.api import Imgserve
from imgserve.transform.parameters import PARAMETERS
from tests.docs import written

ROOT = Path(__file__).parents[2]
PLACES = ("imgserve", "static", "tests", "benchmarks", ".ci")
TEXTS = {".css", ".html", ".md", ".py", ".svg", ".toml", ".txt", ".yaml"}
NAMES = {".dockerignore", ".gitignore", "Dockerfile", "LICENSE", "Makefile", "run"}
FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.:/-])/(?:work|root|home|Users|opt/(?!imgserve))(?:/|\b)"),
    "a registry host": re.compile(r"(?:pypi|pythonhosted|npmjs|ghcr|quay|docker)\.(?:org|com|io)"),
    "unfinished work": re.compile(r"\b(?:[T]ODO|[F]IXME|[X]XX)\b"),
}


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _files() -> Iterator[Path]:
    paths = [*ROOT.iterdir(), *(path for place in PLACES for path in (ROOT / place).rglob("*"))]
    yield from (path for path in paths if path.is_file() and (path.suffix in TEXTS or path.name in NAMES))


def _packages() -> list[str]:
    return sorted(face.parent.name for face in (ROOT / "imgserve").glob("*/__init__.py"))


def _makefile_targets() -> list[str]:
    return re.findall(r"^([a-z]+):.*## ", _read("Makefile"), re.MULTILINE)


def test_the_readme_shows_an_address_and_a_command_within_thirty_lines() -> None:
    top = "\n".join(_read("README.md").splitlines()[:30])
    assert re.search(r"^    https?://\S+/img/\S+\?\S+$", top, re.MULTILINE)
    assert re.search(r"^    make serve$", top, re.MULTILINE)
    assert re.search(r"^    make test$", top, re.MULTILINE)


@pytest.mark.parametrize("target", _makefile_targets())
def test_every_make_target_is_explained(target: str) -> None:
    assert f"| `make {target}` |" in _read("CONTRIBUTING.md")


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_that_a_document_names_exists(document: str) -> None:
    assert set(re.findall(r"(?:^    |`)make ([a-z]+)", _read(document), re.MULTILINE)) <= set(_makefile_targets())


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_file_that_a_document_links_to_exists(document: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", _read(document)) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_section_that_the_reference_points_to_exists() -> None:
    text = _read("USAGE.md")
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    sections = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) - sections == set()


@pytest.mark.parametrize("package", _packages())
def test_every_package_is_on_the_map(package: str) -> None:
    assert f"`{package}/`" in _read("CONTRIBUTING.md")


@pytest.mark.parametrize("command", cli.list_commands(click.Context(cli)))
def test_every_command_is_in_the_reference(command: str) -> None:
    assert re.search(rf"^\| `imgserve (?:--server URL )?{command}[ `]", _read("USAGE.md"), re.MULTILINE)


def test_every_command_that_the_reference_names_exists() -> None:
    named = re.findall(r"^\| `imgserve (?:--server URL )?([a-z]+)", _read("USAGE.md"), re.MULTILINE)
    assert sorted(named) == cli.list_commands(click.Context(cli))


def test_every_method_of_the_client_is_in_the_reference() -> None:
    methods = {name for name in dir(Imgserve) if not name.startswith("_")} - {"close"}
    assert {name for name in methods if f"`{name}`" not in _read("USAGE.md")} == set()


def test_the_changelog_opens_with_this_version_or_what_is_unreleased() -> None:
    newest = re.findall(r"^## \[([^\]]+)\]", _read("CHANGELOG.md"), re.MULTILINE)[0]
    assert newest in {"Unreleased", imgserve.__version__}


def test_the_changelog_keeps_to_its_sections_in_their_order() -> None:
    order = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    for release in re.split(r"^## ", _read("CHANGELOG.md"), flags=re.MULTILINE)[1:]:
        sections = re.findall(r"^### (.+)$", release, re.MULTILINE)
        assert sections == sorted(set(sections), key=order.index)


def test_every_parameter_is_in_the_changelog() -> None:
    named = set(re.findall(r"`([a-z-]+)`", _read("CHANGELOG.md")))
    assert {row.name for row in PARAMETERS} <= named


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_of_the_project_names(what: str) -> None:
    found = {str(path.relative_to(ROOT)): FORBIDDEN[what].findall(path.read_text("utf-8")) for path in _files()}
    assert {name: words for name, words in found.items() if words} == {}


def test_every_address_of_the_welcome_page_is_served() -> None:
    routes = _read("imgserve/web/routes.py") + _read("imgserve/web/api/document.py")
    targets = re.findall(r'<[^>]* (?:href|src)="((/[a-z]*)[^"]*)"', _read("static/welcome.html"))
    assert [whole for whole, top in targets if f'"{whole}"' not in routes and f'Mount("{top}"' not in routes] == []


def test_the_tables_of_the_reference_are_those_of_the_code() -> None:
    assert written(_read("USAGE.md")) == _read("USAGE.md"), "run: python -m tests.docs"
