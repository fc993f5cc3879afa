"""The secrets of signatures: accepted from every source, and never shown."""

from pathlib import Path

import pytest

from imgserve.config import Config
from imgserve.config.sections import SigningConfig
from imgserve.config.table import example
from imgserve.errors import ConfigError

NEW, OLD = "the-newest-secret", "an-older/secret=="


def secrets(config: Config) -> list[str]:
    return [secret.get_secret_value() for secret in config.signing.secrets]


@pytest.mark.parametrize("written", [f"[{NEW}, {OLD}]", f"\n    - {NEW}\n    - '{OLD}'", f"{NEW}, {OLD}"])
def test_secrets_come_from_the_file_newest_first_and_are_never_shown(written: str, tmp_path: Path) -> None:
    file = tmp_path / "imgserve.yaml"
    file.write_text(f"signing:\n  secrets: {written}\n  debug: true\n")
    file.chmod(0o600)
    config = Config.load(file, environ={})
    assert secrets(config) == [NEW, OLD]
    assert config.signing.debug
    assert NEW not in repr(config) + str(config) + str(config.model_dump()) + config.model_dump_json()


def test_secrets_come_from_the_environment() -> None:
    assert secrets(Config.load(environ={"IMGSERVE_SIGNING__SECRETS": NEW})) == [NEW]
    assert secrets(Config.load(environ={"IMGSERVE_SIGNING__SECRETS": f"{NEW},{OLD}"})) == [NEW, OLD]


@pytest.mark.parametrize(
    "written",
    [
        "secrets: hush-hush",
        "secrets: [hush-hush, the-newest-secret]",
        "secrets: [the-newest-secret, hush hush of sixteen]",
        'secrets: ["hush-hush,of-sixteen-letters"]',
        "secrets: [[hush-hush-hush-hush-hush]]",
        "secrets: {hush: hush-hush-hush-hush}",
        "secrets: hüsh-hush-hush-hush-hush",
    ],
)
def test_what_is_no_secret_is_refused_without_being_repeated(written: str, tmp_path: Path) -> None:
    file = tmp_path / "imgserve.yaml"
    file.write_text(f"signing:\n  {written}\n")
    file.chmod(0o600)
    with pytest.raises(ConfigError) as refused:
        Config.load(file, environ={})
    expected = "expected secrets of at least 16 visible ASCII characters without commas; they are not shown here"
    assert refused.value.mistakes == [f"{file}:2: signing.secrets: {expected}"]


@pytest.mark.parametrize("written", ["hush-hush-hush-hush-hush", "[hush-hush-hush-hush-hush]"])
def test_a_secret_in_place_of_the_section_is_not_repeated_either(written: str, tmp_path: Path) -> None:
    file = tmp_path / "imgserve.yaml"
    file.write_text(f"signing: {written}\n")
    with pytest.raises(ConfigError) as refused:
        Config.load(file, environ={})
    assert "hush" not in str(refused.value)


def test_nothing_is_signed_by_default() -> None:
    assert SigningConfig().secrets == ()
    assert "#secrets: []\n" in example(Config)
