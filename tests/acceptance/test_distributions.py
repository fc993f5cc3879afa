"""The source distribution, and the distribution of the client: what they hold, and that the client needs no more."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "deploy" / "client"
PACKED = ("imgserve/a.py", "tests/a.py", "benchmarks/a.py", "static/a.css", "docs/a.md", "Makefile")
HEAVY = ("pyvips", "sqlalchemy", "pydantic", "starlette", "uvicorn")


def _built(project: Path, target: str, folder: Path) -> Path:
    build = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(build, cwd=project, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


def _names(sdist: Path) -> set[str]:
    with tarfile.open(sdist) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def test_a_checkout_with_a_virtual_environment_packs_no_file_of_it(tmp_path: Path) -> None:
    checkout, inside = tmp_path / "checkout", Path("lib", "python3.12", "site-packages")
    for name in ("pyproject.toml", "README.md", "LICENSE", "imgserve/__init__.py"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_bytes((ROOT / name).read_bytes())
    for name in PACKED:
        for place in (checkout, *(checkout / venv / inside for venv in (".venv", "venv", "env"))):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).touch()
    names = _names(_built(checkout, "sdist", tmp_path / "dist"))
    assert set(PACKED) <= names
    assert [name for name in names if "site-packages" in name] == []


def test_the_source_distribution_holds_what_tests_and_builds_read(tmp_path: Path) -> None:
    names = _names(_built(ROOT, "sdist", tmp_path / "dist"))
    held = {str(path.relative_to(ROOT)) for place in ("imgserve", "tests") for path in (ROOT / place).rglob("*.py")}
    tops = {"Makefile", "Dockerfile", "README.md", "requirements.lock", "requirements-dev.lock", ".ci/run"}
    assert held | tops | {"static/samples/mountains.jpg", "deploy/client/pyproject.toml"} <= names
    assert [name for name in names if name.startswith(("var/", "dist/", ".venv/", "deploy/client/imgserve"))] == []


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the client, made from its source distribution as package builders make it."""
    folder = tmp_path_factory.mktemp("client")
    with tarfile.open(_built(CLIENT, "sdist", folder / "sdist")) as archive:
        archive.extractall(folder / "source", filter="data")
    (source,) = (folder / "source").iterdir()
    return _built(source, "wheel", folder / "wheel")


@pytest.fixture(scope="module")
def alone(client: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import from that holds the client and what it depends on, nothing else."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(client) as archive:
        archive.extractall(folder)  # noqa: S202  built a moment ago
    for name in _closure(_dependencies(CLIENT)):
        files = distribution(name).files or []
        for top in {path.parts[0] for path in files} - {"..", "__pycache__"}:
            (folder / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    return folder


def _dependencies(project: Path) -> list[str]:
    found: list[str] = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "dependencies"
    ]
    return found


def _closure(requirements: list[str]) -> set[str]:
    names, todo = set[str](), [Requirement(text) for text in requirements]
    while todo:
        one = todo.pop()
        name = canonicalize_name(one.name)
        if name not in names and (one.marker is None or one.marker.evaluate({"extra": ""})):
            names.add(name)
            todo += [Requirement(text) for text in distribution(name).requires or []]
    return names


def _run(code: str, site: Path) -> str:
    program = f"import sys; sys.path.insert(0, {str(site)!r})\n{code}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], cwd=site, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_client_alone_builds_an_address(alone: Path) -> None:
    code = "from imgserve.client import ImageUrls; print(ImageUrls('/img').url('a.jpg', width=400, format='webp'))"
    assert _run(code, alone) == "/img/a.jpg?format=webp&width=400"


def test_every_module_of_the_client_can_be_imported_where_nothing_of_a_server_is_installed(alone: Path) -> None:
    code = (
        "import importlib, importlib.util, pkgutil, imgserve\n"
        "for found in pkgutil.walk_packages(imgserve.__path__, 'imgserve.'):\n"
        "    importlib.import_module(found.name)\n"
        f"print([name for name in {HEAVY} if importlib.util.find_spec(name)])"
    )
    assert _run(code, alone) == "[]"


def test_the_client_is_the_one_of_the_server_of_the_same_version(client: Path) -> None:
    """So that a program works the same with either distribution."""
    with zipfile.ZipFile(client) as archive:
        held = {name: archive.read(name) for name in archive.namelist() if name.startswith("imgserve/")}
    assert {"imgserve/client/__init__.py", "imgserve/py.typed"} <= set(held)
    assert {name: (ROOT / name).read_bytes() for name in held} == held


def test_the_client_repeats_what_the_server_declares() -> None:
    assert set(_dependencies(CLIENT)) <= set(_dependencies(ROOT))
    assert (CLIENT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (CLIENT / "imgserve").resolve() == ROOT / "imgserve"
