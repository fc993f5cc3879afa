"""Commands that need no server: config, doctor, render and samples."""

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import click

from imgserve.app import data_folder, render_settings
from imgserve.app.access import sites_of
from imgserve.app.doctor import diagnose
from imgserve.app.nginx import nginx_configuration
from imgserve.cli.main import config_option
from imgserve.cli.output import echo_all, json_option, size_text
from imgserve.config import Config
from imgserve.config.load import settings_file
from imgserve.config.table import example as example_file
from imgserve.config.table import schema as json_schema
from imgserve.formats import BY_EXTENSION
from imgserve.pipeline import load
from imgserve.pipeline.render import render as render_bytes
from imgserve.transform import parse_query
from imgserve.web.operations import Finding
from imgserve.web.pages import static_folder


@click.group()
def config() -> None:
    """Check and describe the settings."""


@config.command()
@config_option
def check(path: Path | None) -> None:
    """Check the settings and list every mistake."""
    Config.load(path)
    click.echo(f"{settings_file(path, os.environ) or 'The default settings'}: no mistakes")


@config.command()
def example() -> None:
    """Print a settings file with every default."""
    click.echo(example_file(Config), nl=False)


@config.command()
def schema() -> None:
    """Print the JSON Schema of the settings file, for editors."""
    click.echo(json.dumps(json_schema(Config), indent=2))


@config.command()
@config_option
@click.option("--upstream", metavar="HOST:PORT", help="Address of imgserve; default: that of the settings.")
@click.option("--cache", "folder", type=click.Path(path_type=Path), help="Cache folder as nginx sees it.")
@click.option("--listen", default="80", show_default=True, help="What nginx listens on.")
def nginx(path: Path | None, upstream: str | None, folder: Path | None, listen: str) -> None:
    """Print an nginx configuration that reads the cache folder."""
    settings = Config.load(path)
    if not settings.cache.published_urls:
        raise click.ClickException("cache.published_urls is 0: nginx would find nothing in the cache folder")
    text = nginx_configuration(settings, sites_of(settings), upstream=upstream, cache=folder, listen=listen)
    click.echo(text, nl=False)


@click.command()
@click.argument("original", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("rendition", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("parameters", default="")
@config_option
def render(original: Path, rendition: Path, parameters: str, path: Path | None) -> None:
    """Render one picture without a server, such as: render shoe.jpg small.webp "width=400".

    Steps are separated by then: "rotate=5&then&width=400". The format comes from PARAMETERS, else from the extension of
    RENDITION. RENDITION "-" is standard output. A mark is a file: mark=logo.png.
    """
    config = Config.load(path)
    parsed = parse_query(parameters, strict=True, presets=config.plain_presets(), max_side=config.limits.output_side)
    transform = parsed.transform
    by_name = BY_EXTENSION.get(rendition.suffix[1:].lower())
    if transform.format is None and str(rendition) != "-":
        if by_name is None or not by_name.writable:
            raise click.UsageError(
                f"{rendition}: no format with the extension {rendition.suffix or '(none)'} can be written"
            )
        transform = replace(transform, format=by_name.name)
    marks = {one.mark: Path(one.mark) for one in (*(step.transform for step in parsed.earlier), transform) if one.mark}
    for mark in marks.values():
        if not mark.is_file():
            raise click.UsageError(f"mark: there is no file {mark}")
    load.prepare(config.formats.allow_untrusted)
    settings = render_settings(config)
    result = render_bytes(
        original.read_bytes(),
        transform,
        earlier=[step.transform for step in parsed.earlier],
        limits=settings.limits,
        encoders=settings.encoders,
        damaged=settings.damaged,
        marks={name: mark.read_bytes() for name, mark in marks.items()},
    )
    if str(rendition) == "-":
        sys.stdout.buffer.write(result.data)
    else:
        rendition.write_bytes(result.data)
    summary = f"{rendition}: {result.width}x{result.height} {result.media_type}, {size_text(len(result.data))}"
    click.echo("; ".join([summary, *parsed.notes, *result.notes]), err=True)


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def samples(folder: Path) -> None:
    """Copy the sample pictures into a folder, to try the server with."""
    pictures = static_folder() / "samples"
    for picture in sorted(path for path in pictures.rglob("*") if path.is_file()):
        copy = folder / picture.relative_to(pictures)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, copy)
        click.echo(copy)


def _finding_line(finding: Finding) -> str:
    text = f"{finding.state:8} {finding.name}"
    text += f": {finding.found}" if finding.found else ""
    return f"{text}\n         {finding.advice}" if finding.advice else text


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
    settings = Config.load(path, overrides=overrides)
    findings = diagnose(settings, data_folder(settings))
    echo_all(findings, _finding_line, as_json=as_json)
    sys.exit(any(one.state == "problem" for one in findings))
