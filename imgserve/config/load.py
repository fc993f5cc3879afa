"""Load the settings from all sources, the file, the environment and the command line, and report every mistake."""

import difflib
import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from imgserve.config.secret_files import exposure, read_secret, secrets_in
from imgserve.config.table import Setting, SettingPath, environment_name, table
from imgserve.errors import ConfigError, quoted
from imgserve.validation import expectation

_DEFAULT_FILE = Path("imgserve.yaml")
"""The settings file in the current folder, used unless another is named."""
_PREFIX = "IMGSERVE_"
_CONFIG_VARIABLE = "IMGSERVE_CONFIG"
"""Names the settings file; not a setting itself."""
_COMMAND_VARIABLES = frozenset({_CONFIG_VARIABLE, "IMGSERVE_SERVER", "IMGSERVE_KEY"})
"""Not settings: the settings file, the server of remote commands and its key."""
_SERVICE_LINK = re.compile(r"IMGSERVE_SERVICE_(HOST|PORT(_\w+)?)|IMGSERVE_PORT_\d+_\w+")
"""Variables that Kubernetes adds to every container if a service is called imgserve."""
_SECTION = "a section of settings"
_Mistake = tuple[int, int, str]
"""Rank of the source, line in it, sentence."""
Settings = TypeVar("Settings", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of a setting in a source."""

    text: str
    """The start of a message."""
    line: int = 0
    """Line in a file."""
    named: bool = False
    """The text already names the setting."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """The settings of one source."""

    values: dict[str, Any]
    places: Callable[[SettingPath], _Place | None]
    mistakes: Sequence[tuple[int, str]] = ()
    """Lines and sentences of mistakes found before validation."""


def load(
    settings_class: type[Settings],
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, object],
    options: Mapping[str, str],
) -> tuple[Settings, dict[str, str]]:
    """Return the settings of every source, the strongest last, and the place where each was set, by dotted name.

    Raises ConfigError with every mistake.
    """
    rows, file = list(table(settings_class)), settings_file(path, environ)
    home = Path(environ.get("XDG_CACHE_HOME", ""))  # the XDG base directory specification ignores relative paths
    standard = {"cache.folder": str(home / "imgserve")} if home.is_absolute() else {}
    layers = [
        _override_layer(standard, {}, "XDG_CACHE_HOME"),
        *([_file_layer(file, rows)] if file else []),
        _environment_layer(environ, rows),
        _override_layer(overrides, options, "command line"),
    ]
    mistakes = [(rank, line, text) for rank, layer in enumerate(layers) for line, text in layer.mistakes]
    merged = None
    try:
        merged = settings_class.model_validate(functools.reduce(_overridden, (layer.values for layer in layers)))
    except ValidationError as errors:
        mistakes += [_placed(error, layers, rows) for error in errors.errors(include_url=False)]
    if merged is None or mistakes:
        raise ConfigError([text for _, _, text in sorted(mistakes, key=lambda mistake: mistake[:2])])
    settings = [row for row in rows if not row.section]
    places = [(row.name, place) for layer in layers for row in settings if (place := layer.places(row.path))]
    return merged, {name: place.text.removesuffix(": ") for name, place in places}


def settings_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file that is read: the given one, that of the environment, or the one in the current folder."""
    if path or environ.get(_CONFIG_VARIABLE):
        return path or Path(environ[_CONFIG_VARIABLE])
    return _DEFAULT_FILE if _DEFAULT_FILE.exists() else None


def _file_layer(path: Path, rows: Sequence[Setting]) -> _Layer:
    try:
        with path.open("rb") as opened:
            data, mode = opened.read(), os.fstat(opened.fileno()).st_mode
    except OSError as error:
        return _Layer({}, lambda _: None, [(0, f"{path}: cannot be read: {error.strerror}")])
    from imgserve.config.yaml_file import read_yaml  # noqa: PLC0415  a server without a file needs no parser

    file = read_yaml(data)
    places = {at: _Place(f"{path}:{line}: ", line) for at, line in file.lines.items()}
    mistakes = [(line, f"{path}:{line}: {text}") for line, text in file.mistakes]
    secrets = secrets_in(rows, file.values)
    if secrets and (mistake := exposure(path, mode, ", ".join(secrets))):
        mistakes.append((0, mistake))
    return _Layer(file.values, places.get, mistakes)


def _overridden(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values with those that override them; a value that is not a mapping is replaced as a whole."""
    nested = {
        name: _overridden(inner, above[name])
        for name, inner in below.items()
        if isinstance(inner, Mapping) and isinstance(above.get(name), Mapping)
    }
    return {**below, **above, **nested}


def _environment_layer(environ: Mapping[str, str], rows: Sequence[Setting]) -> _Layer:
    """Return the layer of the environment; an unknown variable with the prefix is a mistake."""
    exact = {row.environment for row in rows if not row.section and not row.open}
    open_ends = tuple(row.environment.removesuffix("NAME") for row in rows if row.open)
    files = {row.file_variable: row for row in rows if row.secret}
    given = {name.upper(): value for name, value in environ.items()}
    by_name = {row.environment for row in rows if isinstance(row.default, Mapping)}
    known, mistakes = dict[str, Any](), list[tuple[int, str]]()
    for name, value in given.items():
        if row := files.get(name):
            if value and given.get(row.environment):
                mistakes.append((0, f"{name}: {row.environment} is set too; expected one of them"))
            elif value:
                try:
                    known[row.environment] = read_secret(row, Path(value))
                except ConfigError as error:
                    mistakes += [(0, text) for text in error.mistakes]
        elif name in by_name and value.startswith("{"):
            from imgserve.config.yaml_file import read_yaml  # noqa: PLC0415  few servers need the parser here

            written = read_yaml(value.encode())
            known[name] = written.values
            mistakes += [(0, f"{name}: {text}") for _, text in written.mistakes]
        elif name in exact or name.startswith(open_ends):
            known.setdefault(name, value)
        elif name.startswith(_PREFIX) and not _is_of_others(name, value):
            names = {row.path: row.environment for row in rows if not row.section}
            offer = _nearest(_path_of(name), list(names))
            hint = f', did you mean "{names[offer]}"?' if offer else ""
            mistakes.append((0, f"{name}: no setting has this name{hint}"))

    def place(at: SettingPath) -> _Place | None:
        name = environment_name(at)
        variable = f"{name}_FILE" if given.get(f"{name}_FILE") else name
        return _Place(f"{variable}: ", named=True) if name in known else None

    return _Layer(_nested({_path_of(name): value for name, value in known.items() if value}), place, mistakes)


def _is_of_others(variable: str, value: str) -> bool:
    """Return whether a variable with the prefix is one of a command, or a service link of a container."""
    link = _SERVICE_LINK.fullmatch(variable) or (variable == f"{_PREFIX}PORT" and "://" in value)
    return variable in _COMMAND_VARIABLES or bool(link)


def _path_of(variable: str) -> SettingPath:
    return tuple(variable.removeprefix(_PREFIX).lower().split("__"))


def _override_layer(overrides: Mapping[str, object], options: Mapping[str, str], source: str) -> _Layer:
    """Return the layer of values by dotted name; None is ignored."""
    given = {tuple(name.split(".")): value for name, value in overrides.items() if value is not None}
    places: dict[SettingPath, _Place] = {}
    for path in given:
        name = ".".join(path)
        text = f"{options.get(name, source)}: "
        places |= {path[:length]: _Place(text) for length in range(1, len(path))}
        places[path] = _Place(text, named=name in options)
    return _Layer(_nested(given), places.get)


def _nested(values: Mapping[SettingPath, object]) -> dict[str, Any]:
    """Return values by path as mappings within mappings."""
    nested: dict[str, Any] = {}
    for path, value in values.items():
        inner = nested
        for name in path[:-1]:
            if not isinstance(inner.get(name), dict):
                inner[name] = {}
            inner = inner[name]
        inner[path[-1]] = value
    return nested


def _placed(error: ErrorDetails, layers: Sequence[_Layer], rows: Sequence[Setting]) -> _Mistake:
    """Return a validation error with the place of the setting, or of its section, in the strongest source."""
    path = tuple(part for part in error["loc"] if isinstance(part, str))
    if error["type"] == "extra_forbidden":
        siblings = [row.path for row in rows if row.path[:-1] == path[:-1]]
        leaves = [row.path for row in rows if not row.section]
        # The name of a setting without its section, before a section of a similar name.
        same = [one for one in leaves if one[-1:] == path]
        offer = _nearest(path, same) or _nearest(path, siblings) or _nearest(path[-1:], leaves)
        text = "no setting has this name" + (f', did you mean "{".".join(offer)}"?' if offer else "")
    else:
        text = _sentence(error, next((row.write for row in rows if row.path == path and not row.section), str))
    for length in range(len(path), 0, -1):
        for rank in reversed(range(len(layers))):
            if place := layers[rank].places(path[:length]):
                named = place.named and length == len(path)
                return rank, place.line, f"{place.text}{'' if named else '.'.join(path) + ': '}{text}"
    return 0, 0, f"{'.'.join(path)}: {text}"


def _sentence(error: ErrorDetails, write: Callable[[Any], str]) -> str:
    """Return a validation error as a sentence: the expected and the received value."""
    if error["type"] == "stated":
        return str(error["ctx"]["sentence"])
    value, expected = error["input"], expectation(error, instead={"model": _SECTION, "dict": _SECTION}, write=write)
    if expected == _SECTION:
        received = "a list" if isinstance(value, list) else "a single value"  # it may contain a secret
    elif isinstance(value, Mapping):
        received = "a mapping"
    elif isinstance(value, (list, tuple)):
        received = f"the list {quoted(', '.join(map(str, value)))}"
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        received = write(value)
    else:
        received = quoted(str(value))
    return f"expected {expected}, but received {received}"


def _nearest(path: SettingPath, known: Sequence[SettingPath]) -> SettingPath | None:
    """Return the most similar known name: the same last part in another section, else the closest spelling."""
    elsewhere = [item for item in known if item[-1] == path[-1]]
    if len(path) == 1 and len(elsewhere) == 1:
        return elsewhere[0]
    by_name = {".".join(item): item for item in known}
    found = difflib.get_close_matches(".".join(path), by_name, n=1, cutoff=0.7)
    return by_name[found[0]] if found else None
