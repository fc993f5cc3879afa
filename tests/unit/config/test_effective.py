"""The settings in force, and where each was set."""

from pathlib import Path

from imgserve.config import Config
from imgserve.config.table import HIDDEN, EffectiveSetting

SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105  of a test


def loaded(folder: Path, text: str, **environ: str) -> dict[str, EffectiveSetting]:
    file = folder / "imgserve.yaml"
    file.touch(0o600)
    file.write_text(text)
    config = Config.load(file, environ=environ, overrides={"server.port": 9000}, options={"server.port": "--port"})
    return {one.name: one for section in config.effective for one in section.settings}


def test_each_setting_has_the_strongest_source_and_its_default(tmp_path: Path) -> None:
    text = "cache:\n  disk_bytes: 5GB\n  memory_bytes: 1GB\nlog:\n  level: debug\n"
    found = loaded(tmp_path, text, IMGSERVE_CACHE__MEMORY_BYTES="512MiB")
    disk, memory, port = found["cache.disk_bytes"], found["cache.memory_bytes"], found["server.port"]
    assert (disk.value, disk.origin) == ("5GB", f"{tmp_path}/imgserve.yaml:2")
    assert (memory.value, memory.origin) == ("512MiB", "IMGSERVE_CACHE__MEMORY_BYTES")
    assert (port.value, port.origin) == ("9000", "--port")
    assert (found["cache.disk_entries"].origin, disk.default) == ("default", "10GB")


def test_secrets_are_hidden_wherever_they_are(tmp_path: Path) -> None:
    text = f"sites:\n  shop:\n    folder: shop\n    secrets: [{SECRET}]\nsigning:\n  secrets: [{SECRET}]\n"
    found = loaded(tmp_path, text, IMGSERVE_METRICS__TOKEN=SECRET)
    assert not any(SECRET in value for one in found.values() for value in (one.value, one.default))
    assert found["signing.secrets"].value == found["metrics.token"].value == HIDDEN
    assert HIDDEN in found["sites"].value
    assert found["access.admin_key"].value == ""


def test_settings_of_the_constructor_are_defaults_or_have_no_place() -> None:
    sections = Config(presets={"small": "width=320"}).effective
    assert {one.origin for section in sections for one in section.settings} == {"default"}
