"""Read a settings file with the lines of its settings, so that every mistake can be reported with its line."""

from dataclasses import dataclass, field
from typing import Any

import yaml

_EMPTY = {"", "~", "null", "Null", "NULL"}
_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")}


@dataclass(slots=True)
class YamlFile:
    """The values of a settings file, their lines, and syntax mistakes."""

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)
    mistakes: list[tuple[int, str]] = field(default_factory=list)
    """Line and sentence."""
    _seen: set[yaml.Node] = field(default_factory=set)
    """Each node is converted once, so that aliases can neither loop nor multiply."""

    def mapping(self, node: yaml.MappingNode, path: tuple[str, ...]) -> dict[str, Any]:
        """Return a mapping without empty values; a duplicate key is a mistake."""
        values: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = _line(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.mistakes.append((line, f"expected a name, but received {_kind(key_node)}"))
                continue
            key = str(key_node.value)
            if key in first:
                self.mistakes.append((line, f"{'.'.join((*path, key))}: already given in line {first[key]}"))
                continue
            first[key] = self.lines[*path, key] = line
            value = None if _is_empty(value_node) else self._value(value_node, (*path, key))
            if value is not None:
                values[key] = value
        return values

    def _value(self, node: yaml.Node, path: tuple[str, ...]) -> Any:
        """Return the value of a node, or None for a mistake."""
        mistake = ""
        if node in self._seen:
            mistake = "the value marked with & here is used again with *; write it out where it is needed"
        elif node.tag not in _PLAIN_TAGS:
            mistake = f"tags such as {node.tag.replace('tag:yaml.org,2002:', '!!')} are not supported"
        self._seen.add(node)
        if mistake:
            self.mistakes.append((_line(node), mistake))
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            items = [self._value(item, path) for item in node.value if not _is_empty(item)]
            return [item for item in items if item is not None]
        return node.value


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
        if isinstance(root, yaml.MappingNode):
            file.values = file.mapping(root, ())
        elif root is not None and not _is_empty(root):
            file.mistakes.append((_line(root), f"expected sections of settings, but received {_kind(root)}"))
    return file


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _EMPTY


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return "a single value"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _syntax(error: yaml.YAMLError, data: bytes) -> tuple[int, str]:
    """Return the line and the sentence of a syntax error."""
    if isinstance(error, yaml.reader.ReaderError):
        line = data.decode("utf-8-sig").count("\n", 0, error.position) + 1
        return line, f"the character {error.character:#x} is not allowed"
    if not isinstance(error, yaml.MarkedYAMLError):
        return 1, "not YAML"
    problem, mark = error.problem or "unknown mistake", error.problem_mark
    sentence = f"not valid YAML: {problem}"
    if "'\\t'" in problem:
        sentence = "a tab; indent with spaces"
    elif "another document" in problem:
        sentence = "expected one YAML document, but found another one"
    if "end of stream" in problem or "<stream end>" in problem:  # never closed: the opening line is more helpful
        sentence = "not valid YAML: a bracket, brace or quote is not closed"
        mark = error.context_mark or mark
    return (mark.line + 1 if mark else 1), sentence
