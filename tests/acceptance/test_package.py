"""The wheel: built from the checkout, installed apart from it, complete."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay the wheel out as an installer does, away from the checkout."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def _run(code: str, installed: Path) -> str:
    program = f"import sys; sys.path.insert(0, {str(installed)!r})\n{code}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=installed, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_wheel_holds_the_package_its_static_files_and_its_license(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    static = {f"imgserve/_static/{path.relative_to(ROOT / 'static')}" for path in (ROOT / "static").rglob("*.*")}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "imgserve").rglob("*.py")}
    assert static | modules | {"imgserve/py.typed"} <= held
    assert any(name.endswith("licenses/LICENSE") for name in held)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"imgserve"}


def test_an_installed_package_finds_its_own_static_files(installed: Path) -> None:
    found = _run("from imgserve.web.pages import static_folder; print(static_folder())", installed)
    assert Path(found) == installed / "imgserve" / "_static"


def test_an_installed_package_makes_a_catalog(installed: Path, tmp_path: Path) -> None:
    code = (
        "import asyncio; from imgserve.catalog import Database, Problems\n"
        "async def main():\n"
        f"    database = Database('sqlite:///{tmp_path}/catalog.sqlite')\n"
        "    await database.open(); await Problems(database).count(); await database.close(); print('made')\n"
        "asyncio.run(main())"
    )
    assert _run(code, installed) == "made"


def test_an_installed_package_knows_its_version(wheel: Path, installed: Path) -> None:
    assert _run("import imgserve; print(imgserve.__version__)", installed) == wheel.name.split("-")[1]
