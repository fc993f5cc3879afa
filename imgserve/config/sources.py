"""The sources of settings: file, environment and command line."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic_settings import BaseSettings, EnvSettingsSource

from imgserve.config.table import Setting, SettingPath, environment_name

_EMPTY = {"", "~", "null", "Null", "NULL"}
_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")}


@dataclass(slots=True)
class YamlFile:
    """The values of a settings file, their lines, and syntax mistakes."""

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[SettingPath, int] = field(default_factory=dict)
    mistakes: list[tuple[int, str]] = field(default_factory=list)
    """Line and sentence."""


def read_yaml(data: bytes) -> YamlFile:
    """Parse a settings file; empty values are ignored."""
    file = YamlFile()
    try:
        root = yaml.compose(data.decode("utf-8-sig"), Loader=yaml.BaseLoader)  # composing makes no objects
    except UnicodeDecodeError as error:
        file.mistakes.append((data.count(b"\n", 0, error.start) + 1, "not UTF-8 text"))
    except yaml.YAMLError as error:
        file.mistakes.append(_syntax(error, data))
    except RecursionError:
        file.mistakes.append((1, "nested too deeply"))
    else:
        _fill(file, root)
    return file


def _fill(file: YamlFile, root: yaml.Node | None) -> None:
    if root is None or _is_empty(root):
        return
    if not isinstance(root, yaml.MappingNode):
        file.mistakes.append((_line(root), f"expected sections of settings, but received {_kind(root)}"))
        return
    file.values = _Composer(file).mapping(root, ())


class _Composer:
    """Converts nodes to values; each node once, so that aliases can neither loop nor multiply."""

    def __init__(self, file: YamlFile) -> None:
        self._file = file
        self._seen: set[yaml.Node] = set()

    def mapping(self, node: yaml.MappingNode, path: SettingPath) -> dict[str, Any]:
        """Return a mapping without empty values; a duplicate key is a mistake."""
        values: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._mistake(key_node, f"expected a name, but received {_kind(key_node)}")
                continue
            key = str(key_node.value)
            if key in first:
                dotted = ".".join((*path, key))
                self._mistake(key_node, f"{dotted}: already given in line {first[key]}")
                continue
            first[key] = _line(key_node)
            self._file.lines[*path, key] = _line(key_node)
            value = None if _is_empty(value_node) else self._value(value_node, (*path, key))
            if value is not None:
                values[key] = value
        return values

    def _value(self, node: yaml.Node, path: SettingPath) -> Any:
        """Return the value of a node, or None for a mistake."""
        if node in self._seen:
            self._mistake(node, "the value marked with & here is used again with *; write it out where it is needed")
            return None
        self._seen.add(node)
        if node.tag not in _PLAIN_TAGS:
            self._mistake(node, f"tags such as {node.tag.replace('tag:yaml.org,2002:', '!!')} are not supported")
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            items = [self._value(item, path) for item in node.value if not _is_empty(item)]
            return [item for item in items if item is not None]
        return node.value

    def _mistake(self, node: yaml.Node, sentence: str) -> None:
        self._file.mistakes.append((_line(node), sentence))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _EMPTY


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return "text"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _syntax(error: yaml.YAMLError, data: bytes) -> tuple[int, str]:
    if isinstance(error, yaml.MarkedYAMLError):
        return _marked(error)
    if isinstance(error, yaml.reader.ReaderError):
        text = data.decode("utf-8-sig")
        return text.count("\n", 0, error.position) + 1, f"the character {error.character:#x} is not allowed"
    return 1, "not YAML"


def _marked(error: yaml.MarkedYAMLError) -> tuple[int, str]:
    problem, mark = error.problem or "not YAML", error.problem_mark
    if "'\\t'" in problem:
        problem = "a tab; indent with spaces"
    if "end of stream" in problem or "<stream end>" in problem:  # never closed: the opening line is more helpful
        mark = error.context_mark or mark
    return (mark.line + 1 if mark else 1), problem


PREFIX = "IMGSERVE_"
CONFIG_VARIABLE = "IMGSERVE_CONFIG"
"""Names the settings file; not a setting itself."""
_COMMAND_VARIABLES = frozenset({"IMGSERVE_SERVER", "IMGSERVE_KEY"})
"""Name the server of remote commands and its key; not settings either."""
_SERVICE_LINK = re.compile(r"IMGSERVE_SERVICE_(HOST|PORT(_\w+)?)|IMGSERVE_PORT_\d+_\w+")
"""Variables that Kubernetes adds to every container if a service is called imgserve."""


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a setting in a source."""

    text: str
    """The start of a message."""
    line: int = 0
    """Line in a file."""
    named: bool = False
    """The text already names the setting."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The settings of one source."""

    values: dict[str, Any]
    places: Callable[[SettingPath], Place | None]
    mistakes: Sequence[tuple[int, str]] = ()
    """Lines and sentences of mistakes found before validation."""


def file_layer(path: Path) -> Layer:
    """Return the layer of a settings file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return Layer({}, lambda _: None, [(0, f"{path}: cannot be read: {error.strerror}")])
    file = read_yaml(data)
    places = {at: Place(f"{path}:{line}: ", line) for at, line in file.lines.items()}
    return Layer(file.values, places.get, [(line, f"{path}:{line}: {text}") for line, text in file.mistakes])


def environment_layer(settings_class: type[BaseSettings], environ: Mapping[str, str], rows: Sequence[Setting]) -> Layer:
    """Return the layer of the environment; an unknown variable with the prefix is a mistake."""
    ours = {name.upper(): value for name, value in environ.items() if name.upper().startswith(PREFIX)}
    known = {name: value for name, value in ours.items() if _names_setting(name, rows)}
    unknown = [name for name, value in ours.items() if name not in known and not _is_foreign(name, value)]

    def place(at: SettingPath) -> Place | None:
        name = environment_name(at)
        return Place(f"{name}: ", named=True) if name in known else None

    mistakes = [(0, _unknown_variable(name, rows)) for name in unknown]
    return Layer(_Environment(settings_class, known)(), place, mistakes)


class _Environment(EnvSettingsSource):
    """A source of given environment variables instead of those of the process."""

    def __init__(self, settings_class: type[BaseSettings], variables: Mapping[str, str]) -> None:
        super().__init__(settings_class, case_sensitive=False)
        self.env_vars = {name.lower(): value for name, value in variables.items() if value}


def _names_setting(name: str, rows: Iterable[Setting]) -> bool:
    return any(
        name.startswith(row.environment.removesuffix("NAME")) if row.open else name == row.environment for row in rows
    )


def _is_foreign(name: str, value: str) -> bool:
    link = name == f"{PREFIX}PORT" and "://" in value
    others = name == CONFIG_VARIABLE or name in _COMMAND_VARIABLES
    return others or link or bool(_SERVICE_LINK.fullmatch(name))


def _unknown_variable(name: str, rows: Iterable[Setting]) -> str:
    offer = nearest(tuple(name.removeprefix(PREFIX).lower().split("__")), [row.path for row in rows])
    hint = f', did you mean "{environment_name(offer)}"?' if offer else ""
    return f"{name}: no setting has this name{hint}"


def override_layer(overrides: Mapping[str, object], options: Mapping[str, str]) -> Layer:
    """Return the layer of the command line; None values are ignored."""
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
    """Return the most similar known name: the same last part in another section, else the closest spelling."""
    elsewhere = [item for item in known if item[-1] == path[-1]]
    if len(path) == 1 and len(elsewhere) == 1:
        return elsewhere[0]
    by_name = {".".join(item): item for item in known}
    found = difflib.get_close_matches(".".join(path), by_name, n=1, cutoff=0.7)
    return by_name[found[0]] if found else None
