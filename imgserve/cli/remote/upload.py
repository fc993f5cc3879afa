"""`imgserve upload`."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from imgserve.cli.options import Remote
from imgserve.cli.remote.output import Progress, echo, json_line, json_option, size_text
from imgserve.cli.remote.selecting import detail_options
from imgserve.cli.remote.server import in_event_loop, told_to_users
from imgserve.client.api import Details, Sent, Upload


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--id", "image_id", help="Of the one image that is uploaded.")
@click.option("--folder", help="Below which images get the names of their files; by default ids come of the content.")
@click.option("-r", "--recursive", is_flag=True, help="Upload what is below folders, under its path there.")
@click.option("--replace", is_flag=True, help="Put images in place of those with the same ids.")
@click.option("--parallel", type=click.IntRange(1, 64), default=4, show_default=True, help="Files at a time.")
@detail_options
@json_option
@click.pass_obj
def command(
    remote: Remote,
    *,
    files: tuple[Path, ...],
    image_id: str | None,
    folder: str | None,
    recursive: bool,
    replace: bool,
    parallel: int,
    details: Details,
    as_json: bool,
) -> None:
    """Upload files; the exit status is 1 if any of them was refused."""
    uploads = list(_uploads(files, folder, recursive=recursive, replace=replace))
    if image_id is not None:
        if len(files) != 1 or files[0].is_dir() or folder is not None:
            raise click.UsageError("--id is for one file, and stands for the folder too")
        uploads = [Upload(files[0], image_id, replace=replace)]
    if replace and any(upload.image_id is None for upload in uploads):
        raise click.UsageError("--replace needs --id or --folder: what else would be replaced")
    with told_to_users(remote):
        failed = asyncio.run(_send(remote, uploads, parallel, details, as_json=as_json))
    sys.exit(1 if failed else 0)


def _uploads(files: tuple[Path, ...], folder: str | None, *, recursive: bool, replace: bool) -> Iterator[Upload]:
    below = f"{folder.strip('/')}/" if folder else ""
    for path in files:
        if not path.is_dir():
            yield Upload(path, below + path.name if below else None, replace=replace)
        elif recursive:
            yield from (Upload(found, below + name, replace=replace) for found, name in _walk(path))
        else:
            raise click.UsageError(f"{path} is a folder: give --recursive")


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """List the files below a folder in order, with their paths there; hidden ones are left out."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            found = Path(place, name)
            yield found, found.relative_to(folder).as_posix()


async def _send(remote: Remote, uploads: list[Upload], parallel: int, details: Details, *, as_json: bool) -> int:
    """Send all, print what became of each, and tell how many failed."""
    watch, failed = _Watch(uploads), 0
    async with in_event_loop(remote) as client:
        async for sent in client.upload_many(map(watch.watched, uploads), parallel=parallel, **details):
            watch.done += 1
            watch.progress.clear()
            failed += sent.error is not None
            if as_json:
                echo(json_line(sent))
            elif sent.uploaded is not None:
                echo(f"{sent.uploaded.outcome:8} {sent.uploaded.image.image_id}  {sent.uploaded.image.url}")
            else:
                echo(f"imgserve: {sent.name}: {_told(sent)}", err=True)
            watch.show()
    watch.progress.clear()
    return failed


def _told(sent: Sent) -> str:
    if isinstance(sent.error, OSError):
        return sent.error.strerror or str(sent.error)
    return str(sent.error)


class _Watch:
    """Adds up what has been sent of all files."""

    def __init__(self, uploads: list[Upload]) -> None:
        self.progress = Progress()
        self.done = 0
        self._files = len(uploads)
        self._sent: dict[int, int] = {}

    def watched(self, upload: Upload) -> Upload:
        """Watch a file while it is sent."""
        number = len(self._sent)
        self._sent[number] = 0

        def sent(count: int, _total: int | None) -> None:
            self._sent[number] = count
            self.show()

        return Upload(upload.file, upload.image_id, upload.folder, sent, upload.details, upload.replace)

    def show(self) -> None:
        """Show how far all of it has come."""
        self.progress.tell(f"{self.done} of {self._files} files, {size_text(sum(self._sent.values()))} sent")
