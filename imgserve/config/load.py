"""Load the settings from all sources and report every mistake."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, InitSettingsSource

from imgserve.config.sources import (
    CONFIG_VARIABLE,
    Layer,
    Place,
    environment_layer,
    file_layer,
    nearest,
    override_layer,
)
from imgserve.config.table import Setting, SettingPath, settings
from imgserve.errors import ConfigError, quoted

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "path": "a folder",
    "tuple": "a list",
    "model": "a section of settings",
    "dict": "a section of settings",
}
"""By the first word of pydantic's error types."""
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def sentence(error: ErrorDetails, setting: Setting | None) -> str:
    """Return a validation error as a sentence: the expected and the received value."""
    context = error.get("ctx", {})
    if error["type"] == "stated":
        return str(context["sentence"])
    return f"expected {_expected(error, context, setting)}, but received {_received(error['input'], setting)}"


def _expected(error: ErrorDetails, context: Mapping[str, Any], setting: Setting | None) -> str:
    kind = error["type"]
    if kind == "expected":
        return str(context["expected"])
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"{words} {_number(context[bound], setting)}"
    return _EXPECTED.get(kind.partition("_")[0], error["msg"])


def _number(value: Any, setting: Setting | None) -> str:
    return setting.write(value) if setting else str(value)


def _received(value: object, setting: Setting | None) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return f"the list {quoted(', '.join(map(str, value)))}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number(value, setting)
    return quoted(str(value))


DEFAULT_FILE = Path("config.yaml")
"""The settings file in the current folder, used unless another is named."""
_Mistake = tuple[int, int, str]
"""Rank of the source, line in it, sentence."""
Settings = TypeVar("Settings", bound=BaseSettings)


def load(
    settings_class: type[Settings],
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, object],
    options: Mapping[str, str],
) -> Settings:
    """Return the settings of every source, the strongest last.

    Raises:
        ConfigError: with every mistake.
    """
    rows = list(settings(settings_class))
    file = _chosen_file(path, environ)
    layers = [
        _standard_folders(environ),
        *([file_layer(file)] if file else []),
        environment_layer(settings_class, environ, rows),
        override_layer(overrides, options),
    ]
    mistakes = [(rank, line, text) for rank, layer in enumerate(layers) for line, text in layer.mistakes]
    try:
        merged = _merged(settings_class, layers)
    except ValidationError as errors:
        mistakes += [_placed(error, layers, rows) for error in errors.errors(include_url=False)]
        raise _config_error(mistakes) from None
    if mistakes:
        raise _config_error(mistakes)
    return merged


def _config_error(mistakes: Sequence[_Mistake]) -> ConfigError:
    """Return the mistakes by source, those of the file by line."""
    return ConfigError([text for _, _, text in sorted(mistakes, key=lambda mistake: mistake[:2])])


def _chosen_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    if path:
        return path
    if named := environ.get(CONFIG_VARIABLE):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _standard_folders(environ: Mapping[str, str]) -> Layer:
    """Return the default folders of the XDG base directory specification, which ignores relative paths."""
    home = Path(environ.get("XDG_CACHE_HOME", ""))
    values = {"cache": {"folder": str(home / "imgserve")}} if home.is_absolute() else {}
    return Layer(values, lambda at: Place("XDG_CACHE_HOME: ") if values and at == ("cache", "folder") else None)


def _merged(settings_class: type[Settings], layers: Sequence[Layer]) -> Settings:
    sources = tuple(InitSettingsSource(settings_class, layer.values) for layer in reversed(layers))
    return settings_class(_build_sources=(sources, {}))


def _placed(error: ErrorDetails, layers: Sequence[Layer], rows: Sequence[Setting]) -> _Mistake:
    path = tuple(part for part in error["loc"] if isinstance(part, str))
    setting = next((row for row in rows if row.path == path), None)
    text = _unknown(path, rows) if error["type"] == "extra_forbidden" else sentence(error, setting)
    rank, place = _place(path, layers)
    name = "" if place.named else ".".join(path) + ": "
    return rank, place.line, f"{place.text}{name}{text}"


def _place(path: SettingPath, layers: Sequence[Layer]) -> tuple[int, Place]:
    """Return the rank of the strongest source of a setting, or of its section, and the place there."""
    for length in range(len(path), 0, -1):
        for rank in reversed(range(len(layers))):
            if place := layers[rank].places(path[:length]):
                return rank, place
    return 0, Place("")


def _unknown(path: SettingPath, rows: Sequence[Setting]) -> str:
    sections = {row.path[:length] for row in rows for length in range(1, len(row.path))}
    siblings = [name for name in (*sections, *(row.path for row in rows)) if name[:-1] == path[:-1]]
    offer = nearest(path, siblings) or nearest(path[-1:], [row.path for row in rows])
    hint = f', did you mean "{".".join(offer)}"?' if offer else ""
    return f"no setting has this name{hint}"
