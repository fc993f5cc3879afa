"""Secrets in files, and files with secrets that other accounts could read."""

import logging
from pathlib import Path

import pytest
from pydantic import SecretStr

from imgserve.config import Config
from imgserve.config.table import table
from imgserve.errors import ConfigError

KEY, OTHER = "a-key-of-at-least-16", "another-key-of-at-least-16"
TEXTS = {
    "access.admin_key": KEY,
    "signing.secrets": f"{KEY}\n\n  {OTHER}\r\n",
    "rates.storage": f"redis://:{KEY}@localhost/0",
    "catalog.url": f"postgresql://user:{KEY}@localhost/images",
    "cdn.cloudflare.token": KEY,
    "cdn.fastly.token": KEY,
    "metrics.token": KEY,
    "jobs.queue": f"redis://:{KEY}@localhost/1",
    "imports.webhook_secret": "whsec_" + "c2VjcmV0" * 4,
}
SECRETS = [row for row in table(Config) if row.secret]


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def mistakes(path: Path | None = None, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Config.load(path, environ=environ)
    return caught.value.mistakes


def value(config: Config, name: str) -> str:
    found: object = config
    for part in name.split("."):
        found = getattr(found, part)
    items = found if isinstance(found, tuple) else (found,)
    return "\n".join(item.get_secret_value() if isinstance(item, SecretStr) else str(item) for item in items)


def test_every_secret_setting_is_in_the_table() -> None:
    assert {row.name for row in SECRETS} == TEXTS.keys()


@pytest.mark.parametrize("row", SECRETS, ids=lambda row: row.name)
def test_each_secret_can_come_from_a_file(row: object, tmp_path: Path) -> None:
    name, variable = row.name, row.file_variable  # type: ignore[attr-defined]
    file = written(tmp_path / "secret", TEXTS[name] + "\n")
    config = Config.load(environ={variable: str(file)})
    assert value(config, name).split() == TEXTS[name].split()
    assert KEY not in repr(config)


def test_a_variable_and_a_file_contradict_each_other(tmp_path: Path) -> None:
    file = written(tmp_path / "key", KEY)
    found = mistakes(IMGSERVE_ACCESS__ADMIN_KEY=OTHER, IMGSERVE_ACCESS__ADMIN_KEY_FILE=str(file))
    assert found == ["IMGSERVE_ACCESS__ADMIN_KEY_FILE: IMGSERVE_ACCESS__ADMIN_KEY is set too; expected one of them"]
    both = {"IMGSERVE_ACCESS__ADMIN_KEY": "", "IMGSERVE_ACCESS__ADMIN_KEY_FILE": str(file)}
    assert value(Config.load(environ=both), "access.admin_key") == KEY


@pytest.mark.parametrize(
    ("text", "mode", "sentence"),
    [
        (KEY, 0o604, "every account of this machine can read this secret in {file}; run: chmod o-r {file}"),
        ("\n", 0o600, "expected one line with the secret in {file}"),
        (f"{KEY}\n{OTHER}", 0o600, "expected one line with the secret in {file}"),
        (
            "short",
            0o600,
            "expected at least 16 visible ASCII characters, or sha256: and 64 hexadecimal digits; it is not shown here",
        ),
        (None, 0, "{file} cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_is_no_secret_is_refused(text: str | None, mode: int, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    if text is not None:
        written(file, text, mode)
    found = mistakes(IMGSERVE_ACCESS__ADMIN_KEY_FILE=str(file))
    assert found == [f"IMGSERVE_ACCESS__ADMIN_KEY_FILE: {sentence.format(file=file)}"]


def test_a_group_that_can_read_a_secret_causes_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = written(tmp_path / "key", KEY, 0o640)
    with caplog.at_level(logging.WARNING):
        Config.load(environ={"IMGSERVE_METRICS__TOKEN_FILE": str(file)})
    assert caplog.messages == [f"the group of {file} can read this secret in it"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"access: {{admin_key: {KEY}}}", "access.admin_key"),
        (f"signing: {{secrets: [{KEY}]}}", "signing.secrets"),
        (f"sites: {{shop: {{folder: shop, secrets: [{KEY}]}}}}", "sites.shop.secrets"),
        (f"catalog: {{url: 'postgresql://user:{KEY}@localhost/images'}}", "catalog.url"),
    ],
)
def test_a_settings_file_with_a_secret_must_not_be_readable_by_others(text: str, name: str, tmp_path: Path) -> None:
    file = written(tmp_path / "imgserve.yaml", text, 0o644)
    expected = f"every account of this machine can read {name} in {file}; run: chmod o-r {file}"
    assert mistakes(file) == [expected]
    file.chmod(0o600)
    Config.load(file, environ={})


@pytest.mark.parametrize(
    "text",
    [
        "server: {port: 1}",
        "access: {admin_key: ''}",
        f"access: {{admin_key: 'sha256:{'0' * 64}'}}",
        "catalog: {url: 'postgresql://localhost/images'}",
    ],
)
def test_a_settings_file_without_a_secret_may_be_readable(text: str, tmp_path: Path) -> None:
    Config.load(written(tmp_path / "imgserve.yaml", text, 0o644), environ={})


def test_a_secret_in_an_unknown_file_variable_is_a_mistake() -> None:
    assert "no setting has this name" in mistakes(IMGSERVE_SERVER__HOST_FILE="/run/host")[0]
