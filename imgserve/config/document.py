"""Documents generated from the settings: example file, JSON schema and table."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from imgserve.config.config import SHIPPED, Config
from imgserve.config.table import Setting, SettingPath, flow, section_of, settings

_INTRODUCTION = """\
# Settings of imgserve. Every setting is listed with its default; remove the # before a name to change it.
# Environment variables override this file: cache.disk_bytes is IMGSERVE_CACHE__DISK_BYTES. The command line overrides
# both. `imgserve config check` lists every mistake.
# Sizes are written as 10GB, 256MiB or bytes, times as 500ms, 30s, 5m, 2h, 1d or seconds.
"""
_MORE_PRESETS = """\
  # Examples:
  #   small: {width: 320, auto: format}
  #   square: {width: 400, height: 400, fit: crop}
  #   banner: width=1600&aspect=4:1&quality=70
"""


def example() -> str:
    """Return a settings file that contains every default as a comment."""
    rows = {row.path: row for row in settings(Config)}
    return _INTRODUCTION + "".join(_lines(Config, (), rows))


def _lines(model: type[BaseModel], above: SettingPath, rows: dict[SettingPath, Setting]) -> Iterator[str]:
    """Yield sections as they are and settings as comments; an empty section changes nothing."""
    indent = "  " * len(above)
    for name, field in model.model_fields.items():
        path = (*above, name)
        gap = "" if above else "\n"
        if section := section_of(field):
            yield f"{gap}{indent}# {_sentence(section.__doc__)}\n{indent}{name}:\n"
            yield from _lines(section, path, rows)
        elif rows[path].open:
            yield f"{gap}{indent}# {rows[path].help}\n{indent}{name}:\n"
            yield from (f"{indent}  #{key}: {flow(value)}\n" for key, value in SHIPPED.items())
            yield _MORE_PRESETS
        else:
            yield f"{gap}{indent}# {rows[path].help}\n{indent}#{name}: {rows[path].written}".rstrip() + "\n"


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def schema() -> dict[str, Any]:
    """Return the JSON schema of a settings file, for editors."""
    document = Config.model_json_schema()
    for name, field in Config.model_fields.items():
        empty_allowed = {"anyOf": [document["properties"][name], {"type": "null"}]}
        document["properties"][name] = empty_allowed if section_of(field) else document["properties"][name]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}


def markdown_table() -> str:
    """Return a Markdown table of every setting: name, default, environment variable, meaning."""
    head = "| setting | default | environment | meaning |\n|---|---|---|---|\n"
    return head + "".join(
        f"| `{row.name}` | {_code(row.written)} | `{row.environment}` | {_cell(row.help)} |\n"
        for row in settings(Config)
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else ""
