"""What the checks of settings and machine find."""

import json
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from imgserve.app import machine
from imgserve.app.doctor import diagnose
from imgserve.cli.main import cli
from imgserve.config import Config
from imgserve.formats import FORMATS
from imgserve.rendering.sandbox import supported
from imgserve.web.operations import Finding

LONG = "0123456789abcdef" * 2


def config_of(folder: Path, settings: dict[str, Any]) -> Config:
    sections = {name: dict(values) for name, values in settings.items()}
    for name in ("originals", "cache"):
        (folder / name).mkdir(exist_ok=True)
        sections.setdefault(name, {}).setdefault("folder", str(folder / name))
    return Config.model_validate(sections)


def found(folder: Path, **settings: Any) -> dict[str, Finding]:
    data = folder / "data"
    data.mkdir(exist_ok=True, mode=0o700)
    findings = diagnose(config_of(folder, settings), data)
    assert all(bool(one.advice) == (one.state != "ok") for one in findings)
    assert all(one.found for one in findings if one.state != "ok")
    return {one.name: one for one in findings}


def states(folder: Path, **settings: Any) -> dict[str, str]:
    return {name: one.state for name, one in found(folder, **settings).items() if one.state != "ok"}


SAFE: dict[str, Any] = {"urls": {"sizes": [320, 640]}}
PUBLIC: dict[str, Any] = {"host": "192.0.2.1", "allowed_hosts": ["img.example.com"], "trusted_proxies": ["10.0.0.7"]}
QUIET: dict[str, Any] = {**SAFE, "server": PUBLIC, "access": {"docs": "key"}}


def ordinary(folder: Path) -> dict[str, str]:
    """Return what is found here with safe settings: what the kernel and the disk are like."""
    usual = states(folder, **SAFE)
    assert usual.keys() <= {"sandbox", "disk of the data", "disk of the cache", "open files"}
    return usual


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (QUIET, {}),
        ({}, {"unbounded URLs": "warning"}),
        ({"rates": {"new_per_client": "60/minute"}}, {}),
        ({"rules": {"presets_only": True}}, {}),
        ({"sites": {"shop": {"folder": "shop", "rates": {"new_per_image": "9/day"}}}}, {"unbounded URLs": "warning"}),
        ({"rules": {"require": "key"}}, {}),
        ({"server": PUBLIC, "access": {"docs": "off"}}, {"unbounded URLs": "problem"}),
        ({**QUIET, "access": {}}, {"documentation": "warning"}),
        ({**QUIET, "metrics": {"open_to": ["everyone"]}}, {"metrics": "warning"}),
        ({**SAFE, "metrics": {"open_to": ["everyone"]}}, {}),
        ({**QUIET, "server": {**PUBLIC, "allowed_hosts": ["*"]}}, {"allowed hosts": "warning"}),
        ({**QUIET, "server": {**PUBLIC, "trusted_proxies": ["127.0.0.1"]}}, {"encryption": "problem"}),
        ({**QUIET, "server": {**PUBLIC, "host": "::", "trusted_proxies": []}}, {"encryption": "problem"}),
        ({**QUIET, "server": {**PUBLIC, "trusted_proxies": ["0.0.0.0/0"]}}, {"trusted proxies": "problem"}),
        ({**SAFE, "signing": {"debug": True}}, {"signing.debug": "problem"}),
        ({**SAFE, "signing": {"secrets": [LONG, LONG[:31]]}}, {"secrets": "problem"}),
        ({**SAFE, "signing": {"secrets": [LONG]}, "metrics": {"token": LONG}}, {}),
        ({**SAFE, "sites": {"shop": {"folder": "shop", "rules": {"key_in_url": True}}}}, {"keys in URLs": "warning"}),
        ({**SAFE, "rendering": {"sandbox": "off"}}, {"sandbox": "warning"}),
        ({**SAFE, "rules": {"watermark": "mark=logo.png"}}, {"watermarks": "problem"}),
    ],
)
def test_unsafe_settings_are_found(settings: dict[str, Any], expected: dict[str, str], tmp_path: Path) -> None:
    assert states(tmp_path, **settings) == ordinary(tmp_path) | expected


def test_names_of_settings_are_shown_but_no_secret(tmp_path: Path) -> None:
    settings = {**SAFE, "access": {"admin_key": LONG[:20]}, "sites": {"a": {"folder": "a", "secrets": [LONG[:20]]}}}
    finding = found(tmp_path, **settings)["secrets"]
    assert finding.found == "shorter than 32 characters: access.admin_key, sites.a.secrets"
    assert LONG[:20] not in str(found(tmp_path, **settings))


@pytest.mark.parametrize(
    ("mode", "key_mode", "catalog_mode", "expected"),
    [
        (0o755, 0o600, 0o644, {"catalog": "warning"}),
        (0o700, 0o640, 0o644, {"admin key": "warning"}),
        (0o700, 0o622, 0o600, {"admin key": "problem"}),
        (0o777, 0o600, 0o600, {"permissions of the data folder": "problem"}),
    ],
)
def test_permissions_are_checked(
    mode: int, key_mode: int, catalog_mode: int, expected: dict[str, str], tmp_path: Path
) -> None:
    usual, data = ordinary(tmp_path), tmp_path / "data"
    for name, bits in (("admin-key", key_mode), ("catalog.sqlite", catalog_mode)):
        (data / name).touch()
        (data / name).chmod(bits)
    data.chmod(mode)
    assert states(tmp_path, **SAFE) == usual | expected


def test_the_sandbox_of_this_kernel_is_reported(tmp_path: Path) -> None:
    finding = found(tmp_path, **SAFE)["sandbox"]
    assert (finding.state == "ok") is supported().complete
    assert supported().complete or str(supported()) in finding.found


def test_a_cache_folder_below_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = {**SAFE, "cache": {"folder": str(tmp_path / "file" / "cache")}}
    assert found(tmp_path, **settings)["cache folder"].state == "problem"


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", 0), ("::", 1)])
def test_the_command_prints_findings_and_has_a_status(host: str, status: int, tmp_path: Path) -> None:
    options = ["doctor", str(tmp_path), "--host", host, "--cache", str(tmp_path / ".cache")]
    environment = {"IMGSERVE_URLS__SIZES": "320"}
    result = CliRunner().invoke(cli, options, env=environment)
    assert result.exit_code == status, result.output
    assert (f"problem  encryption: the API listens on {host}" in result.output) is bool(status)
    assert "ok       signing.debug\n" in result.output
    findings = [
        json.loads(line) for line in CliRunner().invoke(cli, [*options, "--json"], env=environment).stdout.splitlines()
    ]
    assert {one["state"] for one in findings if one["name"] == "encryption"} == {"problem" if status else "ok"}
    assert findings[0].keys() == {"name", "state", "found", "advice"}


def test_versions_and_formats_are_listed(tmp_path: Path) -> None:
    findings = found(tmp_path, **SAFE)
    assert "pyvips 3" in findings["software"].found
    assert "jpg, " in findings["formats"].found
    assert findings["encoders"].found.startswith("AVIF and WebP are encoded by imagecodecs 20")


def test_the_extra_for_encoders_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "fast_encoders", lambda: "")
    assert found(tmp_path, **SAFE)["encoders"].found.endswith("by libvips; imgserve[fast] takes less time")


def test_a_format_whose_codec_is_missing_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "jxl", replace(FORMATS["jxl"], module="no_such_module"))
    assert found(tmp_path, **SAFE)["formats"].found.endswith("not installed: jxl (install imgserve[jxl])")


def test_services_of_the_settings_are_connected_to(tmp_path: Path) -> None:
    usual = ordinary(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        here = listening.getsockname()[1]
        settings = {**SAFE, "cdn": {"varnish_urls": [f"http://127.0.0.1:{here}"]}}
        assert states(tmp_path, **settings) == usual
    settings |= {"catalog": {"url": f"postgresql://jane:hunter22@127.0.0.1:{here}/images"}}
    findings = found(tmp_path, **settings)
    assert findings["connection to catalog"].state == "problem"
    assert findings["connection to catalog"].found.startswith(f"127.0.0.1:{here} cannot be reached: ")
    assert findings[f"connection to the cache http://127.0.0.1:{here}"].state == "warning"
    assert "hunter22" not in str(findings)


def test_a_clock_that_differs_from_that_of_the_files_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgserve.app.machine.time.time", lambda now=time.time: now() + 100)
    assert found(tmp_path, **SAFE)["clock"].state == "warning"
    assert "differ by 100 s" in found(tmp_path, **SAFE)["clock"].found


def test_more_memory_than_there_is_and_more_folders_than_are_watched_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = ordinary(tmp_path)
    monkeypatch.setattr("imgserve.app.machine._INOTIFY", tmp_path / "most")
    (tmp_path / "most").write_text("2\n")
    for name in ("originals/a", "originals/b"):
        (tmp_path / name).mkdir(parents=True)
    expected = {"memory": "warning", "watched folders": "warning"}
    assert states(tmp_path, **SAFE, cache={"memory_bytes": "100TB"}) == usual | expected
    assert "watched folders" not in states(tmp_path, **SAFE, originals={"watch": False})
