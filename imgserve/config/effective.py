"""The settings that are in force, each with its value and where it was set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr

from imgserve.config.table import Setting, table

HIDDEN = "••••••••"


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """A setting as it is in force."""

    name: str
    """The dotted name."""
    value: str
    """As written in a settings file; a secret is hidden, and empty if there is none."""
    default: str
    origin: str
    """`default`, or where it was set, such as `imgserve.yaml:3` or an environment variable."""
    help: str


@dataclass(frozen=True, slots=True)
class SettingsSection:
    """A section of the settings."""

    name: str
    help: str
    settings: Sequence[EffectiveSetting]


def effective(config: BaseModel, origins: Mapping[str, str]) -> list[SettingsSection]:
    """Return the settings in force by top section; `origins` are the places by dotted name."""
    sections = dict[str, tuple[str, list[EffectiveSetting]]]()
    for row in table(type(config)):
        if row.section:
            if len(row.path) == 1:
                sections[row.name] = row.help, []
            continue
        sections.setdefault(row.path[0], (row.help, []))[1].append(_setting(row, config, origins))
    return [SettingsSection(name, text, found) for name, (text, found) in sections.items()]


def _setting(row: Setting, config: BaseModel, origins: Mapping[str, str]) -> EffectiveSetting:
    value: Any = config
    for name in row.path:
        value = getattr(value, name)
    return EffectiveSetting(row.name, _written(row, value), row.written, origins.get(row.name, "default"), row.help)


def _written(row: Setting, value: Any) -> str:
    if row.secret:
        values = value if isinstance(value, (list, tuple)) else [value]
        return HIDDEN if any(one.get_secret_value() if isinstance(one, SecretStr) else one for one in values) else ""
    return row.write(_plain(value))


def _plain(value: Any) -> Any:
    """Return a value without models, whose secrets are hidden."""
    if isinstance(value, BaseModel):
        return {name: _plain(one) for name, one in value if one != type(value).model_fields[name].default}
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    return value if isinstance(value, (int, float, bool, str, type(None))) else str(value)
