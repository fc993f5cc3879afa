"""Every setting as one row, with its value in force; and what is made of the rows: example file and JSON schema."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from imgserve.config.values import Unit
from imgserve.validation import DescribedSchema, field_docs

SettingPath = tuple[str, ...]
"""Names from the section down to the setting."""
HIDDEN = "••••••••"
_INTRODUCTION = """\
# Settings of imgserve. Every setting is listed with its default; remove the # before a name to change it.
# Environment variables override this file: cache.disk_bytes is IMGSERVE_CACHE__DISK_BYTES. The command line overrides
# both. `imgserve config check` lists every mistake. A secret can be in a file instead, such as that of
# IMGSERVE_ACCESS__ADMIN_KEY_FILE; with a secret in it, this file must not be readable by others (chmod 600).
# Sizes are written as 10GB, 256MiB or bytes, times as 500ms, 30s, 5m, 2h, 1d or seconds.
"""
_MORE_PRESETS = """\
  # Examples:
  #   small: {width: 320, auto: format}
  #   square: {width: 400, height: 400, fit: crop}
  #   banner: width=1600&aspect=4:1&quality=70
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, or a section of them."""

    path: SettingPath
    model: type[BaseModel]
    """What declares it; or of a section, its model."""
    section: bool = False
    default: Any = None
    unit: Unit | None = None
    secret: bool = False
    """Whether its value is, or contains, a secret, which may also be in a file of its own."""
    several: bool = False
    """Whether it is a list of secrets."""

    @property
    def help(self) -> str:
        """What it is for, on one line."""
        text = self.model.__doc__ if self.section else field_docs(self.model)[self.path[-1]]
        return " ".join((text or "").split())

    @property
    def open(self) -> bool:
        """Whether the user chooses names in it, each with its own environment variable: the presets."""
        return isinstance(self.default, Mapping) and bool(self.default)

    @property
    def name(self) -> str:
        """The dotted name."""
        return ".".join(self.path)

    @property
    def environment(self) -> str:
        """The environment variable; NAME is replaced by a name that the user chooses."""
        return environment_name((*self.path, "name") if self.open else self.path)

    @property
    def file_variable(self) -> str:
        """The environment variable with the path of a file that contains the secret."""
        return f"{self.environment}_FILE"

    @property
    def written(self) -> str:
        """The default as written in a settings file; empty for none."""
        return self.write(self.default)

    def write(self, value: Any) -> str:
        """Return a value as written in a settings file, on one line."""
        if value is None:
            return ""
        if self.unit and isinstance(value, (int, float)):
            return self.unit.write(value)
        if isinstance(value, (Path, SecretStr)):
            value = str(value)  # of a secret: asterisks, or nothing
        import yaml  # noqa: PLC0415  only documents and messages show values

        plain = list(value) if isinstance(value, tuple) else value
        text = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
        return text.removesuffix("\n").removesuffix("\n...")


def environment_name(path: SettingPath) -> str:
    """Return the environment variable of a setting."""
    return "IMGSERVE_" + "__".join(path).upper()


def table(model: type[BaseModel], above: SettingPath = ()) -> Iterator[Setting]:
    """Yield every section and setting of a model in order of declaration."""
    for name, field in model.model_fields.items():
        path, kind = (*above, name), field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield Setting(path, kind, section=True)
            yield from table(kind, path)
        else:
            default = field.get_default(call_default_factory=True, validated_data={})
            unit = next((item for item in field.metadata if isinstance(item, Unit)), None)
            several = SecretStr in get_args(kind)
            yield Setting(
                path,
                model,
                default=default,
                unit=unit,
                # repr=False: a URL with a password.
                secret=kind is SecretStr or several or field.repr is False,
                several=several,
            )


def example(model: type[BaseModel]) -> str:
    """Return a settings file that contains every default as a comment; an empty section changes nothing."""
    lines = [_INTRODUCTION]
    for row in table(model):
        *above, name = row.path
        indent = "  " * len(above)
        lines.append(f"{indent}# {row.help}\n" if above else f"\n# {row.help}\n")
        if row.section or row.open:
            lines.append(f"{indent}{name}:\n")
        else:
            mark = "#" if above else ""  # the names of sections are no comments
            lines.append(f"{indent}{mark}{name}: {row.written}".rstrip() + "\n")
        if row.open:
            lines += [f"{indent}  #{key}: {row.write(value)}\n" for key, value in row.default.items()]
            lines.append(_MORE_PRESETS)
    return "".join(lines)


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a settings file, for editors; a section may be empty."""
    document = model.model_json_schema(schema_generator=DescribedSchema)
    for row in table(model):
        if row.section and len(row.path) == 1:
            document["properties"][row.name] = {"anyOf": [document["properties"][row.name], {"type": "null"}]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}


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
