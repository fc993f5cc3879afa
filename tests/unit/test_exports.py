"""What each package shows to the others."""

import ast
import importlib
from pathlib import Path

import pytest

import imgserve

PACKAGE = Path(imgserve.__file__).parent
FACES = sorted(path for path in PACKAGE.glob("*/**/__init__.py") if "_static" not in path.parts)


def _name(face: Path) -> str:
    return ".".join(("imgserve", *face.parent.relative_to(PACKAGE).parts))


@pytest.mark.parametrize("face", FACES, ids=_name)
def test_a_package_exports_exactly_what_its_face_imports(face: Path) -> None:
    imports = [node for node in ast.parse(face.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    imported = sorted(alias.asname or alias.name for node in imports for alias in node.names)
    assert sorted(getattr(importlib.import_module(_name(face)), "__all__", [])) == imported


@pytest.mark.parametrize("face", FACES, ids=_name)
def test_a_face_holds_no_code_of_its_own(face: Path) -> None:
    held = {type(node) for node in ast.parse(face.read_text(encoding="utf-8")).body}
    assert held <= {ast.Expr, ast.ImportFrom, ast.Assign}


def test_the_root_imports_nothing() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
