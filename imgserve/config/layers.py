"""The sources of settings: file, environment, command line. Each a layer of values that knows where they stand."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, EnvSettingsSource

from imgserve.config.table import Setting, SettingPath, environment_name
from imgserve.config.yaml_file import read_yaml

PREFIX = "IMGSERVE_"
CONFIG_VARIABLE = "IMGSERVE_CONFIG"
"""Names the config file; no setting itself."""
_COMMAND_VARIABLES = frozenset({"IMGSERVE_SERVER", "IMGSERVE_KEY"})
"""Name the server that commands talk to, and the key for it; no settings either."""
_BENCHMARK_VARIABLES = "IMGSERVE_BENCHMARK_"
"""Name the programs that `imgserve benchmark` measures; no settings either."""
_SERVICE_LINK = re.compile(r"IMGSERVE_SERVICE_(HOST|PORT(_\w+)?)|IMGSERVE_PORT_\d+_\w+")
"""What Kubernetes puts into every container's environment where a service is called imgserve."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a setting stands."""

    text: str
    """The beginning of a message."""
    line: int = 0
    """In a file."""
    named: bool = False
    """The text already says which setting it is."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The settings of one source."""

    values: dict[str, Any]
    places: Callable[[SettingPath], Place | None]
    mistakes: Sequence[tuple[int, str]] = ()
    """Lines and sentences: what is wrong before any value is looked at."""


def file_layer(path: Path) -> Layer:
    """Read a config file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return Layer({}, lambda _: None, [(0, f"{path}: cannot be read: {error.strerror}")])
    file = read_yaml(data)
    places = {at: Place(f"{path}:{line}: ", line) for at, line in file.lines.items()}
    return Layer(file.values, places.get, [(line, f"{path}:{line}: {text}") for line, text in file.mistakes])


def environment_layer(settings_class: type[BaseSettings], environ: Mapping[str, str], rows: Sequence[Setting]) -> Layer:
    """Take the variables that name settings; one that begins like them and names none is a mistake."""
    ours = {name.upper(): value for name, value in environ.items() if name.upper().startswith(PREFIX)}
    known = {name: value for name, value in ours.items() if _names_setting(name, rows)}
    unknown = [name for name, value in ours.items() if name not in known and not _is_foreign(name, value)]

    def place(at: SettingPath) -> Place | None:
        name = environment_name(at)
        return Place(f"{name}: ", named=True) if name in known else None

    mistakes = [(0, _unknown_variable(name, rows)) for name in unknown]
    return Layer(_Environment(settings_class, known)(), place, mistakes)


class _Environment(EnvSettingsSource):
    """The environment as a value instead of the process's own."""

    def __init__(self, settings_class: type[BaseSettings], variables: Mapping[str, str]) -> None:
        super().__init__(settings_class, case_sensitive=False)
        self.env_vars = {name.lower(): value for name, value in variables.items() if value}


def _names_setting(name: str, rows: Iterable[Setting]) -> bool:
    return any(
        name.startswith(row.environment.removesuffix("NAME")) if row.open else name == row.environment for row in rows
    )


def _is_foreign(name: str, value: str) -> bool:
    link = name == f"{PREFIX}PORT" and "://" in value
    others = name == CONFIG_VARIABLE or name in _COMMAND_VARIABLES or name.startswith(_BENCHMARK_VARIABLES)
    return others or link or bool(_SERVICE_LINK.fullmatch(name))


def _unknown_variable(name: str, rows: Iterable[Setting]) -> str:
    offer = nearest(tuple(name.removeprefix(PREFIX).lower().split("__")), [row.path for row in rows])
    hint = f', did you mean "{environment_name(offer)}"?' if offer else ""
    return f"{name}: no setting has this name{hint}"


def override_layer(overrides: Mapping[str, object], options: Mapping[str, str]) -> Layer:
    """Take what the command line gave, by dotted name; None is not given."""
    values: dict[str, Any] = {}
    places: dict[SettingPath, Place] = {}
    for name, value in overrides.items():
        if value is not None:
            path = tuple(name.split("."))
            text = f"{options.get(name, 'command line')}: "
            places |= {path[:length]: Place(text) for length in range(1, len(path))}
            places[path] = Place(text, named=name in options)
            _put(values, path, value)
    return Layer(values, places.get)


def _put(values: dict[str, Any], path: SettingPath, value: object) -> None:
    *above, last = path
    for name in above:
        inner = values.get(name)
        if not isinstance(inner, dict):
            inner = values[name] = {}
        values = inner
    values[last] = value


def nearest(path: SettingPath, known: Sequence[SettingPath]) -> SettingPath | None:
    """Find the known name most like this one: the same last part elsewhere, else the nearest spelling."""
    elsewhere = [item for item in known if item[-1] == path[-1]]
    if len(path) == 1 and len(elsewhere) == 1:
        return elsewhere[0]
    by_name = {".".join(item): item for item in known}
    found = difflib.get_close_matches(".".join(path), by_name, n=1, cutoff=0.7)
    return by_name[found[0]] if found else None
