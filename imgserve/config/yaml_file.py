"""A config file as plain values that know their lines. Nothing about single settings.

Every value stays text, so that it means the same as in the environment: `off` is no false, `16:9` no sexagesimal.
"""

from dataclasses import dataclass, field
from typing import Any

import yaml

from imgserve.config.table import SettingPath

_EMPTY = {"", "~", "null", "Null", "NULL"}
_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")}


@dataclass(slots=True)
class YamlFile:
    """What a config file says, where, and what is wrong with its form."""

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[SettingPath, int] = field(default_factory=dict)
    mistakes: list[tuple[int, str]] = field(default_factory=list)
    """Line and sentence."""


def read_yaml(data: bytes) -> YamlFile:
    """Read a config file; an empty one, or an empty value, says nothing."""
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
    """Turns nodes into values; each node once, so that an alias can neither loop nor multiply."""

    def __init__(self, file: YamlFile) -> None:
        self._file = file
        self._seen: set[yaml.Node] = set()

    def mapping(self, node: yaml.MappingNode, path: SettingPath) -> dict[str, Any]:
        """Read a mapping; a key given twice is a mistake, an empty value says nothing."""
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
        """Read any node; None for one that is a mistake."""
        if node in self._seen:
            self._mistake(node, "the value marked with & here is used again with *; write it out where it is needed")
            return None
        self._seen.add(node)
        if node.tag not in _PLAIN_TAGS:
            self._mistake(node, f"tags such as {node.tag.replace('tag:yaml.org,2002:', '!!')} are not understood")
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
    if "end of stream" in problem or "<stream end>" in problem:  # never closed: better told where it was opened
        mark = error.context_mark or mark
    return (mark.line + 1 if mark else 1), problem
