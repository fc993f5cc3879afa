"""The documents agree with the code and with each other."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import imgserve
from imgserve.cli.main import cli
from imgserve.client import ImageUrls
from imgserve.client.api import Imgserve
from imgserve.config import Config
from imgserve.transform.parameters import PARAMETERS
from tests.docs import REFERENCE, TABLES, with_tables

ROOT = Path(__file__).parents[2]
PLACES = ("imgserve", "static", "docs", "tests", "benchmarks", ".ci")
DOCUMENTS = [
    "README.md", "USAGE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md",
    *(f"docs/{document.name}" for document in REFERENCE),
]  # fmt: skip
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


def _sections(document: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", _read(document), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


def _links(document: str) -> list[tuple[str, str]]:
    """Return file and section of every internal link; the file is empty for a link into the same document."""
    found = re.findall(r"\]\(([^)#]*)#?([^)]*)\)", _read(document))
    return [(file, section) for file, section in found if "://" not in file]


def _api_calls() -> set[str]:
    """Return method and path of every call, as the document of the API lists them."""
    paths = re.findall(r'@\w*endpoint\(\s*"([A-Z]+)",\s*"(/api/[^"]*)"', "".join(map(_read, _api_modules())))
    return {f"{method} {path}" for method, path in paths}


def _api_modules() -> list[str]:
    return [str(path.relative_to(ROOT)) for path in (ROOT / "imgserve/web/api").glob("*.py")]


def test_the_readme_shows_a_url_and_a_command_within_thirty_lines() -> None:
    top = "\n".join(_read("README.md").splitlines()[:30])
    assert re.search(r"^\s*https?://\S+/img/\S+\?\S+$", top, re.MULTILINE)
    assert re.search(r"^make serve$", top, re.MULTILINE)


@pytest.mark.parametrize(("document", "limit"), [("README.md", 79), ("USAGE.md", 400), ("CONTRIBUTING.md", 149)])
def test_a_document_is_short(document: str, limit: int) -> None:
    assert len(_read(document).splitlines()) <= limit


def test_the_screenshot_is_small() -> None:
    assert (ROOT / "docs/welcome.jpg").stat().st_size < 200_000


@pytest.mark.parametrize("target", _makefile_targets())
def test_every_make_target_is_explained(target: str) -> None:
    assert f"| `make {target}` |" in _read("CONTRIBUTING.md")


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_that_a_document_names_exists(document: str) -> None:
    assert set(re.findall(r"(?:^    |^|`)make ([a-z]+)", _read(document), re.MULTILINE)) <= set(_makefile_targets())


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_internal_link_of_a_document_resolves(document: str) -> None:
    folder = Path(document).parent
    for file, section in _links(document):
        target = (folder / file).as_posix() if file else document
        assert (ROOT / target).exists(), (file, section)
        assert not section or section in _sections(target), (file, section)


@pytest.mark.parametrize("package", _packages())
def test_every_package_is_on_the_map(package: str) -> None:
    assert f"`{package}/`" in _read("CONTRIBUTING.md")


@pytest.mark.parametrize("command", cli.list_commands(click.Context(cli)))
def test_every_command_is_in_the_reference(command: str) -> None:
    assert re.search(rf"^\| `imgserve (?:--server URL )?{command}[ `]", _read("docs/operations.md"), re.MULTILINE)


def test_every_command_that_the_reference_names_exists() -> None:
    named = re.findall(r"^\| `imgserve (?:--server URL )?([a-z]+)", _read("docs/operations.md"), re.MULTILINE)
    assert sorted(named) == cli.list_commands(click.Context(cli))


def test_every_method_of_the_client_is_in_the_reference() -> None:
    methods = {name for name in dir(Imgserve) if not name.startswith("_")} - {"close"}
    assert {name for name in methods if f"`{name}`" not in _read("docs/client.md")} == set()


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
    routes = "".join(
        map(
            _read,
            ["imgserve/web/pages.py", "imgserve/web/parameters.py", "imgserve/web/admin/pages.py", *_api_modules()],
        )
    )
    targets = re.findall(r'<[^>]* (?:href|src)="((/[a-z]*)[^"]*)"', _read("static/welcome.html"))
    known = {
        whole
        for whole, top in targets
        if f'"{whole.rstrip("/")}"' in routes or f'Route("{top}/{{path:path}}"' in routes
    }
    assert {whole for whole, _ in targets} - known == set()


def _examples(language: str) -> list[tuple[str, str]]:
    """Return every example in a language, with the name of its document."""
    block = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [(document, example) for document in DOCUMENTS for example in block.findall(_read(document))]


@pytest.mark.parametrize(("document", "example"), _examples("yaml"))
def test_every_example_of_settings_is_valid(document: str, example: str, tmp_path: Path) -> None:
    file = tmp_path / f"{Path(document).stem}.yaml"
    file.touch(0o600)  # some contain secrets
    file.write_text(example)
    assert Config.load(file) is not None


@pytest.mark.parametrize(("document", "example"), _examples("python"))
def test_every_example_of_python_imports_what_exists(document: str, example: str) -> None:
    tree = ast.parse(example, document)
    for statement in ast.walk(tree):
        if isinstance(statement, ast.ImportFrom):
            module = importlib.import_module(statement.module or "")
            assert [name.name for name in statement.names if not hasattr(module, name.name)] == []


def test_the_urls_of_the_examples_of_python_are_right() -> None:
    """A comment below a call shows what it returns."""
    found = re.findall(r"^(images\.(?:url|srcset)\(.*\))\n# (.*)$", _read("docs/client.md"), re.MULTILINE)
    base = "https://img.example.com/img"
    for call, shown in found:
        url = eval(call, {"images": ImageUrls(base)})  # noqa: S307  an example of our own documents
        assert url.replace(base, "...") == shown.replace(base, "...")
    assert found


def test_every_table_is_in_the_reference_once() -> None:
    """The tables list every setting, parameter, format, error code and metric."""
    found = [name for document in REFERENCE for name in re.findall(r"<!-- table: ([a-z]+) -->", document.read_text())]
    assert sorted(found) == sorted(TABLES)


@pytest.mark.parametrize("document", [document.name for document in REFERENCE])
def test_the_tables_of_the_reference_are_those_of_the_code(document: str) -> None:
    assert with_tables(_read(f"docs/{document}")) == _read(f"docs/{document}"), "run: make docs"


@pytest.mark.parametrize("call", sorted(_api_calls()))
def test_every_call_of_the_api_is_in_the_reference(call: str) -> None:
    assert f"`{call.replace('{image_id}', '{id}')}`" in _read("docs/api.md")


def test_every_call_that_the_reference_lists_exists() -> None:
    listed = re.findall(r"`([A-Z]+ /api/[^`]+)`", _read("docs/api.md").partition("## Uploading")[0])
    current = {call.replace("{id}", "{image_id}") for call in listed if not _is_earlier(call)}
    assert current == _api_calls()


def _is_earlier(call: str) -> bool:
    """Return whether the path has an action after the image id, as before release 0.2."""
    return "/api/images/{id}/" in call
