import json
import re
from pathlib import Path

import pytest
import yaml

from imgserve.config import Config
from imgserve.config.table import example, schema, table
from tests.docs import settings_table

SETTINGS = [row for row in table(Config) if not row.section]
COMMITTED = Path(__file__).parents[3] / "config.example.yaml"


def test_the_committed_example_is_the_generated_one() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == example(Config), "imgserve config example > config.example.yaml"


@pytest.mark.parametrize("pattern", [None, r"^( *)#(?=[a-z])"])
def test_the_example_loads_to_the_defaults_as_it_is_and_uncommented(tmp_path: Path, pattern: str | None) -> None:
    file = tmp_path / "config.yaml"
    text = re.sub(pattern, r"\1", example(Config), flags=re.MULTILINE) if pattern else example(Config)
    file.write_text(text, encoding="utf-8")
    loaded, default = Config.load(file, environ={}).model_dump(mode="json"), Config().model_dump(mode="json")
    for presets in (loaded["presets"], default["presets"]):
        presets["default"] = {name: str(value) for name, value in presets["default"].items()}
    assert loaded == default


def test_the_uncommented_example_names_every_setting() -> None:
    content = yaml.safe_load(re.sub(r"^( *)#(?=[a-z])", r"\1", example(Config), flags=re.MULTILINE))
    for row in SETTINGS:
        value = content
        for name in row.path:
            value = value[name]


def test_the_presets_shown_as_examples_are_good_ones() -> None:
    shown = "\n".join(re.findall(r"^  # ( {2}\w+: .*)$", example(Config), flags=re.MULTILINE))
    assert set(Config(presets=yaml.safe_load(shown)).presets) == {"default", "small", "square", "banner"}


def test_every_setting_has_one_sentence_of_help() -> None:
    assert [row.name for row in SETTINGS if not re.fullmatch(r"\S.*\.", row.help)] == []


def test_the_table_has_a_row_for_every_setting() -> None:
    lines = settings_table().splitlines()
    assert len(lines) == 2 + len(SETTINGS)
    assert (
        "| `cache.disk_bytes` | `10GB` | `IMGSERVE_CACHE__DISK_BYTES` | "
        "Renditions cached on disk; the least recently used are evicted first; 0 for none. |"
    ) in lines
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 5 for line in lines)


def test_the_schema_names_every_setting_and_lets_a_section_be_empty() -> None:
    document = schema(Config)
    assert json.loads(json.dumps(document)) == document
    assert document["additionalProperties"] is False
    assert {"type": "null"} in document["properties"]["cache"]["anyOf"]
    size = document["$defs"]["CacheConfig"]["properties"]["disk_bytes"]
    assert {item["type"] for item in size["anyOf"]} == {"integer", "string"}
    assert size["description"].startswith("Renditions cached on disk")
