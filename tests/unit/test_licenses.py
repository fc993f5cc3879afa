"""The document about licenses names every dependency that is not under a permissive license."""

import re
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_dependency_under_a_license_of_gnu_is_named() -> None:
    document = (ROOT / "docs" / "licenses.md").read_text(encoding="utf-8")
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    installed = [found for name in re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE) if (found := _metadata(name))]
    gnu = {found["Name"].lower().replace("_", "-") for found in installed if "GPL" in _license(found)}
    assert gnu == set(re.findall(r"^\| `([a-z-]+)`", document, re.MULTILINE))


def _metadata(name: str) -> PackageMetadata | None:
    try:
        return metadata(name)
    except PackageNotFoundError:  # for another system
        return None


def _license(found: PackageMetadata) -> str:
    named = [found.get_all(field) or [] for field in ("License", "License-Expression", "Classifier")]
    return "\n".join(line for lines in named for line in lines if "License" in line or len(line) < 100)
