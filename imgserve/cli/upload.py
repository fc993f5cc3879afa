"""Upload files and folders to a running server."""

import asyncio
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from imgserve.cli.main import Remote
from imgserve.cli.output import Progress, echo, json_line, json_option, size_text
from imgserve.cli.remote import async_client, command_line_errors, detail_options
from imgserve.client.api import Details, Upload


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--id", "image_id", help="Image id; for a single file.")
@click.option(
    "--folder", help="Folder of the image ids, followed by the file name; default: ids derived from the content."
)
@click.option("-r", "--recursive", is_flag=True, help="Upload the files below folders under their relative paths.")
@click.option("--replace", is_flag=True, help="Replace images with the same ids.")
@click.option("--parallel", type=click.IntRange(1, 64), default=4, show_default=True, help="Files at a time.")
@detail_options
@json_option
@click.pass_obj
def upload(
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
    """Upload files. The exit status is 1 if any was rejected."""
    uploads = list(_uploads(files, folder, recursive=recursive, replace=replace))
    if image_id is not None:
        if len(files) != 1 or files[0].is_dir() or folder is not None:
            raise click.UsageError("--id requires a single file and excludes --folder")
        uploads = [Upload(files[0], image_id, replace=replace)]
    if replace and any(upload.image_id is None for upload in uploads):
        raise click.UsageError("--replace requires --id or --folder")
    with command_line_errors(remote):
        failed = asyncio.run(_send(remote, uploads, parallel, details, as_json=as_json))
    sys.exit(1 if failed else 0)


def _uploads(files: tuple[Path, ...], folder: str | None, *, recursive: bool, replace: bool) -> Iterator[Upload]:
    """Yield the uploads of files, and of those below folders in order, without hidden ones."""
    below = f"{folder.strip('/')}/" if folder else ""
    for path in files:
        if not path.is_dir():
            yield Upload(path, below + path.name if below else None, replace=replace)
        elif recursive:
            for place, folders, names in os.walk(path):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for found in (Path(place, name) for name in sorted(names) if not name.startswith(".")):
                    yield Upload(found, below + found.relative_to(path).as_posix(), replace=replace)
        else:
            raise click.UsageError(f"{path} is a folder: pass --recursive")


async def _send(remote: Remote, uploads: list[Upload], parallel: int, details: Details, *, as_json: bool) -> int:
    """Upload all files, print each result, and return the number of failures."""
    watch, failed = _Watch(uploads), 0
    async with async_client(remote) as client:
        async for sent in client.upload_many(map(watch.watched, uploads), parallel=parallel, **details):
            watch.done += 1
            watch.progress.clear()
            failed += sent.error is not None
            if as_json:
                echo(json_line(sent))
            elif sent.uploaded is not None:
                image = sent.uploaded.image
                echo(f"{sent.uploaded.outcome:8} {sent.name} -> {image.image_id}  {image.url}")
            else:
                reason = sent.error.strerror if isinstance(sent.error, OSError) else None
                echo(f"imgserve: {sent.name}: {reason or sent.error}", err=True)
            watch.show()
    watch.progress.clear()
    return failed


class _Watch:
    """The progress of all uploads together."""

    def __init__(self, uploads: list[Upload]) -> None:
        self.progress = Progress()
        self.done = 0
        self._files = len(uploads)
        self._sent: dict[int, int] = {}

    def watched(self, upload: Upload) -> Upload:
        """Return an upload that reports its progress here."""
        number = len(self._sent)
        self._sent[number] = 0

        def sent(count: int, _total: int | None) -> None:
            self._sent[number] = count
            self.show()

        return dataclasses.replace(upload, progress=sent)

    def show(self) -> None:
        """Show the progress."""
        self.progress.update(f"{self.done} of {self._files} files, {size_text(sum(self._sent.values()))} sent")
