"""The server that a command talks to, and what a user is told where that fails."""

import contextlib
from collections.abc import Iterator

import click

from imgserve.cli.options import KEY_VARIABLE, SERVER_VARIABLE, Remote
from imgserve.client.api import AsyncImgserve, Imgserve
from imgserve.errors import Unauthorized


@contextlib.contextmanager
def connected(remote: Remote) -> Iterator[Imgserve]:
    """Give the client of the server; what cannot be asked is wrong use of the command."""
    with told_to_users(remote), Imgserve(address(remote), key=remote.key) as client:
        yield client


def in_event_loop(remote: Remote) -> AsyncImgserve:
    """Give the asynchronous client of the server."""
    return AsyncImgserve(address(remote), key=remote.key)


def address(remote: Remote) -> str:
    """Tell where the server is.

    Raises:
        UsageError: nobody has said it.
    """
    if remote.server:
        return remote.server
    command = click.get_current_context().info_name
    raise click.UsageError(
        f"this is for a running server: imgserve --server URL {command} ..., or {SERVER_VARIABLE} in the environment"
    )


@contextlib.contextmanager
def told_to_users(remote: Remote) -> Iterator[None]:
    """Tell errors in the words of the command line."""
    try:
        yield
    except Unauthorized as error:
        hint = "it refused the one given" if remote.key else f"give it with --key or in {KEY_VARIABLE}"
        raise click.ClickException(f"the server wants a valid API key: {hint}") from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error
