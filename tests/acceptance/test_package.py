"""The wheel: built from the checkout, installed apart from it, complete."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import httpx2
import pytest

from tests.pictures import encoded, opened, quarters
from tests.servers import settled

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


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment of its own, with the dependencies of this one; return its command."""
    environment = tmp_path_factory.mktemp("environment") / "imgserve"
    uv = [sys.executable, "-m", "uv", "--offline", "--no-config", "--quiet"]
    subprocess.run([*uv, "venv", "--python", sys.executable, str(environment)], check=True)
    python = environment / "bin" / "python"
    subprocess.run([*uv, "pip", "install", "--python", str(python), "--no-deps", str(wheel)], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return environment / "bin" / "imgserve"


def test_the_installed_command_serves_a_folder_of_pictures(command: Path, tmp_path: Path) -> None:
    """As `uvx --from WHEEL imgserve serve ~/Pictures` does, by somebody who has set nothing."""
    pictures = tmp_path / "Pictures"
    settled(pictures / "shoe.jpg", encoded(quarters(), "jpg"))
    inherited = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    process = subprocess.Popen(
        [str(command), "serve", str(pictures), "--port", "0"],
        cwd=tmp_path,
        env={**inherited, "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        lines = list[str]()
        while not lines or not lines[-1].startswith("Picture"):
            lines.append(process.stdout.readline())
            assert lines[-1], "".join(lines)
        opening = next(line.split()[1] for line in lines if line.startswith("Open"))
        page, picture = httpx2.get(opening), httpx2.get(lines[-1].split()[1], headers={"accept": "image/webp"})
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert httpx2.get(f"{opening}admin/").status_code in {200, 303}
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/webp")
        assert opened(picture.content).width == min(400, quarters().width)
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0
