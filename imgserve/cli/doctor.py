"""The command that checks the settings and the machine."""

import sys
from pathlib import Path

import click

from imgserve.app import data_folder
from imgserve.app.doctor import diagnose
from imgserve.cli.main import config_option
from imgserve.cli.output import echo_all, json_option
from imgserve.config import Config
from imgserve.web.system import Finding


def _line(finding: Finding) -> str:
    text = f"{finding.state:8} {finding.name}"
    return "".join(
        (text, f": {finding.found}" * bool(finding.found), f"\n         {finding.advice}" * bool(finding.advice))
    )


@click.command()
@click.argument("originals", required=False, type=click.Path(path_type=Path))
@config_option
@click.option("--data", type=click.Path(path_type=Path), help="Data folder.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of renditions.")
@click.option("--host", help="Address to listen on.")
@json_option
def doctor(  # noqa: PLR0917  one argument an option
    originals: Path | None, path: Path | None, data: Path | None, cache: Path | None, host: str | None, as_json: bool
) -> None:
    """Check the settings and this machine, and print what is unsafe or will fail, with what to do.

    Pass the folder and the options that `imgserve serve` receives. The exit status is 1 if there is a problem.
    """
    overrides = {
        "originals.folder": originals,
        "originals.data_folder": data,
        "cache.folder": cache,
        "server.host": host,
    }
    config = Config.load(path, overrides=overrides)
    findings = diagnose(config, data_folder(config))
    echo_all(findings, _line, as_json=as_json)
    sys.exit(any(one.state == "problem" for one in findings))
