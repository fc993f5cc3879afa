"""The files of deploy/ and the Dockerfile agree with each other and with the settings and commands of the server."""

import configparser
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from imgserve.app import create_app
from imgserve.app.access import sites_of
from imgserve.app.nginx import nginx_configuration
from imgserve.cli.main import cli
from imgserve.config import Config
from imgserve.config.table import table

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text(encoding="utf-8"))
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "kubernetes/imgserve.yaml").read_text(encoding="utf-8")))
DOCKERFILE = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
FILE_VARIABLES = {row.file_variable for row in table(Config) if row.secret}


def manifest(kind: str) -> Any:
    """Return the one manifest of a kind."""
    (found,) = (one for one in MANIFESTS if one["kind"] == kind)
    return found


@pytest.fixture(params=["imgserve.yaml", "compose/imgserve.yaml", "kubernetes"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    """Return settings that have no mistakes."""
    return load(request.param, tmp_path)


def load(name: str, tmp_path: Path) -> Config:
    if name != "kubernetes":
        return Config.load(DEPLOY / name, environ={})
    file = tmp_path / "imgserve.yaml"
    file.write_text(manifest("ConfigMap")["data"]["imgserve.yaml"])
    return Config.load(file, environ={})


def parse(command: Sequence[str], config: str) -> None:
    """Check a command with its options, and that it reads these settings."""
    assert command[0].rpartition("/")[2] == "imgserve"
    group: click.Command = cli
    arguments = list(command[1:])
    while isinstance(group, click.Group):
        name = arguments.pop(0)
        found = group.get_command(click.Context(group), name)
        assert found is not None, name
        group = found
    assert group.make_context("test", arguments).params["path"] == Path(config)


def test_settings_say_where_everything_is(config: Config) -> None:
    places = (config.originals.folder, config.originals.data_folder, config.cache.folder)
    assert all(place is not None and place.is_absolute() for place in places)
    assert config.server.port == 8000


@pytest.mark.parametrize(
    ("settings_file", "written", "options"),
    [
        ("imgserve.yaml", "nginx/imgserve.conf", {}),
        (
            "compose/imgserve.yaml",
            "compose/nginx.conf",
            {"upstream": "imgserve:8000", "cache": Path("/cache"), "listen": "8080"},
        ),
    ],
)
def test_a_configuration_of_nginx_is_that_of_the_settings_beside_it(
    settings_file: str, written: str, options: dict[str, Any]
) -> None:
    config = Config.load(DEPLOY / settings_file, environ={})
    assert nginx_configuration(config, sites_of(config), **options) == (DEPLOY / written).read_text(encoding="utf-8")


def test_the_image_copies_what_exists_and_what_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copied = [
        name for line in re.findall(r"^COPY (?!--from)(.*)", DOCKERFILE, re.MULTILINE) for name in line.split()[:-1]
    ]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert {f"!{name}" for name in copied} == set(ignored) - {"*", "**/__pycache__"}


def test_the_image_runs_a_command_as_a_numbered_user_with_a_health_check() -> None:
    (command,) = re.findall(r"^CMD (.*)", DOCKERFILE, re.MULTILINE)
    assert yaml.safe_load(command)[:3] == ["imgserve", "serve", "/originals"]
    (user,) = re.findall(r"^USER (.*)", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    (probe,) = re.findall(r"http://127\.0\.0\.1:8000(/\w+)", DOCKERFILE)
    assert probe in {getattr(route, "path", "") for route in create_app(Config()).routes}
    assert f"EXPOSE {Config().server.port}" in DOCKERFILE


def volumes_of_image() -> set[str]:
    (volumes,) = re.findall(r"^VOLUME (.*)", DOCKERFILE, re.MULTILINE)
    return set(yaml.safe_load(volumes))


def test_compose_mounts_what_the_settings_name(tmp_path: Path) -> None:
    service, front, config = (
        COMPOSE["services"]["imgserve"],
        COMPOSE["services"]["nginx"],
        load("compose/imgserve.yaml", tmp_path),
    )
    mounts = {target: source for source, target in (volume.split(":")[:2] for volume in service["volumes"])}
    parse(service["command"], "/etc/imgserve/imgserve.yaml")
    assert (DEPLOY / "compose" / mounts["/etc/imgserve/imgserve.yaml"]).exists()
    folders = {str(config.originals.folder), str(config.originals.data_folder), str(config.cache.folder)}
    assert folders == volumes_of_image() == mounts.keys() - {"/etc/imgserve/imgserve.yaml"}
    assert f"{mounts['/cache']}:/cache:ro" in front["volumes"]
    assert (ROOT / "deploy" / "compose" / service["build"] / "Dockerfile").exists()
    secrets = {f"/run/secrets/{name}" for name in service["secrets"]}
    assert service["environment"].keys() <= FILE_VARIABLES
    assert set(service["environment"].values()) == secrets
    assert service["secrets"] == list(COMPOSE["secrets"])
    assert [str(one) for one in config.server.trusted_proxies] == [
        one["subnet"] for one in COMPOSE["networks"]["front"]["ipam"]["config"]
    ]
    for one in (service, front):
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("version", ["1.30", "1.34"])
@pytest.mark.parametrize("document", MANIFESTS, ids=lambda one: one["kind"])
def test_a_manifest_is_valid(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_the_pod_mounts_what_the_settings_name_and_is_restricted(tmp_path: Path) -> None:
    config, state = load("kubernetes", tmp_path), manifest("StatefulSet")["spec"]
    pod = state["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    parse(container["args"], "/etc/imgserve/imgserve.yaml")
    folders = {str(config.originals.folder), str(config.originals.data_folder), str(config.cache.folder)}
    assert folders == volumes_of_image()
    assert folders | {"/tmp", "/etc/imgserve", "/run/secrets/imgserve"} == set(mounts)  # noqa: S108  a mount
    claims = {one["metadata"]["name"] for one in state["volumeClaimTemplates"]}
    assert set(mounts.values()) == claims | {volume["name"] for volume in pod["volumes"]}
    routes = {getattr(route, "path", "") for route in create_app(Config()).routes}
    probes = [container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")]
    assert probes == ["/healthz", "/healthz", "/readyz"]
    assert set(probes) <= routes
    assert container["ports"][0]["containerPort"] == config.server.port
    assert {one["name"] for one in container["env"]} <= FILE_VARIABLES
    assert next(one["secret"]["defaultMode"] for one in pod["volumes"] if "secret" in one) == 0o400
    assert pod["securityContext"]["runAsUser"] == int(re.findall(r"^USER (\d+)", DOCKERFILE, re.MULTILINE)[0])
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    grace = pod["terminationGracePeriodSeconds"]
    assert grace > config.server.grace


UNIT = DEPLOY / "systemd" / "imgserve.service"


def test_the_unit_runs_commands_that_exist_and_may_write_where_the_settings_say(tmp_path: Path) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names of directives have capitals
    unit.read(UNIT, encoding="utf-8")
    service, config = unit["Service"], load("imgserve.yaml", tmp_path)
    for directive in ("ExecStart", "ExecStartPre"):
        parse(shlex.split(service[directive]), "/etc/imgserve/imgserve.yaml")
    assert str(config.originals.folder) == service["ReadWritePaths"]
    assert str(config.originals.data_folder) == f"/var/lib/{service['StateDirectory']}"
    assert str(config.cache.folder) == f"/var/cache/{service['CacheDirectory']}"
    assert float(service["TimeoutStopSec"]) > config.server.grace
    text = UNIT.read_text(encoding="utf-8")
    assert set(re.findall(r"^Environment=(IMGSERVE_\w+)", text, re.MULTILINE)) <= FILE_VARIABLES


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_well_confined() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:]
