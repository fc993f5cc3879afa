"""Every setting as one row: name, default and help, for messages and documents."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from imgserve.config.values import Unit

SettingPath = tuple[str, ...]
"""Names from the section down to the setting."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    path: SettingPath
    default: Any
    help: str
    unit: Unit | None
    open: bool
    """A mapping with names chosen by the user, each with its own environment variable: the presets."""

    @property
    def name(self) -> str:
        """The dotted name."""
        return ".".join(self.path)

    @property
    def environment(self) -> str:
        """The environment variable; NAME is replaced by a name that the user chooses."""
        return environment_name((*self.path, "name") if self.open else self.path)

    @property
    def written(self) -> str:
        """The default as written in a settings file; empty for none."""
        return self.write(self.default)

    def write(self, value: Any) -> str:
        """Return a value as written in a settings file."""
        if value is None:
            return ""
        if self.unit and isinstance(value, (int, float)):
            return self.unit.write(value)
        return flow(value)


def environment_name(path: SettingPath) -> str:
    """Return the environment variable of a setting."""
    return "IMGSERVE_" + "__".join(path).upper()


def flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, SecretStr):
        value = str(value)  # asterisks, or nothing
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a section, or None."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def settings(model: type[BaseModel], above: SettingPath = ()) -> Iterator[Setting]:
    """Yield every setting of a model in order of declaration."""
    for name, field in model.model_fields.items():
        path = (*above, name)
        if section := section_of(field):
            yield from settings(section, path)
        else:
            yield _setting(path, field)


def _setting(path: SettingPath, field: FieldInfo) -> Setting:
    default = field.get_default(call_default_factory=True, validated_data={})
    unit = next((item for item in field.metadata if isinstance(item, Unit)), None)
    help_text = " ".join((field.description or "").split())
    return Setting(path, default, help_text, unit, open=isinstance(default, Mapping) and bool(default))
