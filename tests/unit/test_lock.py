"""The lock files agree with pyproject.toml: `make lock` writes them."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NAMED = {
    "requirements.lock": [
        *PROJECT["project"]["dependencies"],
        *(text for extra in ("postgres", "redis") for text in PROJECT["project"]["optional-dependencies"][extra]),
    ],
    "requirements-build.lock": PROJECT["dependency-groups"]["build"],
    "requirements-dev.lock": [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]],
}  # fmt: skip
HINT = "run: make lock"


def _text(lock: str) -> str:
    return (ROOT / lock).read_text(encoding="utf-8")


def _pins(lock: str) -> dict[str, str]:
    """Return name and version of everything that a lock file installs."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", _text(lock), re.MULTILINE))


@pytest.mark.parametrize("lock", NAMED)
def test_every_dependency_is_pinned_to_a_version_that_it_accepts(lock: str) -> None:
    pins = _pins(lock)
    named = [Requirement(text) for text in NAMED[lock]]
    assert [one.name for one in named if canonicalize_name(one.name) not in pins] == [], HINT
    assert [one.name for one in named if pins[canonicalize_name(one.name)] not in one.specifier] == [], HINT


@pytest.mark.parametrize("lock", NAMED)
def test_every_dependency_of_a_dependency_is_pinned(lock: str) -> None:
    """The files are installed without resolving anything, so a gap would show when the server starts."""
    pins = _pins(lock)
    assert {name for pin in pins for name in _required(pin)} - set(pins) == set(), HINT


def _required(name: str) -> Iterator[str]:
    try:
        found = requires(name) or []
    except PackageNotFoundError:  # for another system
        return
    for one in map(Requirement, found):
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            yield canonicalize_name(one.name)


@pytest.mark.parametrize("lock", NAMED)
def test_every_pin_has_hashes(lock: str) -> None:
    blocks = re.split(r"^(?=[a-z0-9])", _text(lock), flags=re.MULTILINE)[1:]
    assert {block.partition("==")[0] for block in blocks} == set(_pins(lock))
    assert [block for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("lock", NAMED)
def test_no_address_is_in_a_lock(lock: str) -> None:
    assert "://" not in _text(lock)
    assert "index-url" not in _text(lock)


def test_the_development_tools_are_locked_next_to_the_very_versions_of_the_server() -> None:
    assert _pins("requirements.lock").items() <= _pins("requirements-dev.lock").items(), HINT


@pytest.mark.parametrize(("target", "tools"), [("serve", False), ("test", True), ("lint", True)])
def test_only_the_targets_of_developers_install_development_tools(target: str, tools: bool) -> None:
    command = ["make", "--dry-run", "--always-make", target]
    recipe = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "--requirement requirements.lock" in recipe
    assert ("--requirement requirements-dev.lock" in recipe) == tools
