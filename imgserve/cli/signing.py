"""The command that signs URLs."""

import contextlib
import math
import time
from datetime import datetime
from pathlib import Path
from typing import TextIO

import click

from imgserve.cli.main import config_option
from imgserve.config import Config
from imgserve.config.sections import SIGNING_RULE, is_signing_secret
from imgserve.config.values import parse_duration
from imgserve.transform import signed_url


@click.command()
@click.argument("url")
@click.option(
    "--expires", metavar="TIME", help="When the URL ends: 1h or 7d from now, Unix seconds, or 2030-12-31T18:00."
)
@click.option(
    "--secret-file", type=click.File(), help="File with the secret, or - for standard input; else signing.secrets."
)
@config_option
def sign(url: str, expires: str | None, secret_file: TextIO | None, path: Path | None) -> None:
    """Print a URL or path of a picture with a signature, such as: sign "/img/shoe.jpg?width=400" --expires 7d.

    A signature and an expiry in the URL are replaced. A time without a time zone is local time.
    """
    secret = _stated_secret(secret_file) if secret_file else _configured_secret(path)
    try:
        click.echo(signed_url(secret, url, expires=None if expires is None else seconds_of(expires)))
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _stated_secret(file: TextIO) -> str:
    secret = file.read().strip()
    if not is_signing_secret(secret):
        raise click.ClickException(f"{file.name}: expected one secret of {SIGNING_RULE}")
    return secret


def _configured_secret(path: Path | None) -> str:
    secrets = Config.load(path).signing.secrets
    if not secrets:
        raise click.ClickException("there is no secret: set signing.secrets, or pass --secret-file")
    return secrets[0].get_secret_value()


def seconds_of(text: str) -> int:
    """Return a future time in Unix seconds, rounded up; raise ValueError if the text is none."""
    now = time.time()
    for read in (int, lambda text: now + parse_duration(text), lambda text: datetime.fromisoformat(text).timestamp()):
        with contextlib.suppress(ValueError):
            seconds = math.ceil(read(text))
            break
    else:
        raise ValueError(f"--expires: expected 1h, Unix seconds or 2030-12-31T18:00, but received {text!r}")
    if seconds <= now:
        raise ValueError(f"--expires: expected a time in the future, but received {text!r}")
    return seconds
