"""Commands that delete images on a running server and restore them."""

import sys
from collections.abc import Iterator

import click

from imgserve.cli.main import Remote
from imgserve.cli.output import counted, echo, echo_all, image_line, json_option, size_text, time_text
from imgserve.cli.remote import connected, filter_options, prints, selection
from imgserve.client.api import Deleted, Filters, Image, Imgserve, ServerUnreachable
from imgserve.errors import ImageNotFound, ImgserveError, TrashItemNotFound, Unauthorized


def _deleted_line(deleted: Deleted) -> str:
    if deleted.trash_item is None:
        return f"deleted permanently: {deleted.image_id}"
    return f"in the trash until {time_text(deleted.until)} as {deleted.trash_item}: {deleted.image_id}"


@click.command()
@click.argument("ids", nargs=-1)
@filter_options
@click.option("--yes", is_flag=True, help="Required to delete by filters.")
@prints(_deleted_line)
def delete(client: Imgserve, *, ids: tuple[str, ...], filters: Filters, yes: bool) -> Iterator[Deleted]:
    """Move images to the trash, selected by IDS or by filters. The exit status is 1 if an id does not exist."""
    if filters and not yes:
        raise click.UsageError("this deletes every match: check with find first, then pass --yes")
    gone = client.delete_many(**selection(ids, filters))
    yield from gone
    absent = [image_id for image_id in ids if image_id not in {deleted.image_id for deleted in gone}]
    for image_id in absent:
        echo(f"imgserve: {image_id}: {ImageNotFound().detail}", err=True)
    sys.exit(1 if absent else 0)


@click.command()
@click.option("--empty", is_flag=True, help="Delete everything in the trash permanently.")
@json_option
@click.pass_obj
def trash(remote: Remote, *, empty: bool, as_json: bool) -> None:
    """List deleted images that can be restored, with the time until which they are kept."""
    with connected(remote) as client:
        if empty:
            removed = len(client.trash())
            client.empty_trash()
            click.echo(f'{{"deleted": {removed}}}' if as_json else f"{counted(removed, 'image')} deleted permanently")
        else:
            echo_all(
                client.trash(),
                lambda item: f"{time_text(item.until)} {size_text(item.size):>9}  {item.item}  {item.image_id}",
                as_json=as_json,
                header=f"{'UNTIL':16} {'SIZE':>9}  {'TRASH ITEM':35}  ID",
                none="the trash is empty",
            )


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="ITEM_OR_ID...")
@prints(image_line)
def restore(client: Imgserve, *, names: tuple[str, ...]) -> Iterator[Image]:
    """Restore images by trash item, or by image id (the latest deletion)."""
    failed = False
    for name in names:
        try:
            restored = client.restore(_trash_item(client, name))
        except (ServerUnreachable, Unauthorized):
            raise
        except ImgserveError as error:
            failed = True
            echo(f"imgserve: {name}: {error.detail}", err=True)
        else:
            yield restored
    sys.exit(1 if failed else 0)


def _trash_item(client: Imgserve, name: str) -> str:
    trash = client.trash()
    of_image = [item for item in trash if item.image_id == name]
    if name in {item.item for item in trash}:
        return name
    if not of_image:
        raise TrashItemNotFound
    return max(of_image, key=lambda item: item.deleted).item
