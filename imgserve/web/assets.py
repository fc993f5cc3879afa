"""Where the files of the project's own pages are. Serving them is not done here."""

from pathlib import Path

from imgserve.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent.parent


def static_folder(package: Path = _PACKAGE) -> Path:
    """Find the static files: inside an installed package, else beside it in a checkout."""
    inside, beside = package / "_static", package.parent / "static"
    for folder in (inside, beside):
        if (folder / "welcome.html").is_file():
            return folder
    raise ConfigError([f"the static files of imgserve are missing: expected {inside} or {beside}; install it again"])
