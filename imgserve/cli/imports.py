"""Import images from tables of URLs on a running server."""

import sys
from pathlib import Path

import click

from imgserve.cli.main import Remote
from imgserve.cli.output import Progress, counted, echo, json_line, json_option
from imgserve.cli.remote import connected
from imgserve.client.api import Imgserve, Import, ImportProgress


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--output", default="", help="Parameters of a rendition of each image: format=jpg&quality=50, preset=card."
)
@click.option("--name", help="What people call it; default: the name of the file.")
@click.option("--refresh", is_flag=True, help="Fetch images of earlier imports again, if they have changed.")
@click.option("--webhook", default="", help="URL that is called at the end.")
@click.option("--analyze", is_flag=True, help="Only report what is in the table.")
@click.option("--wait", is_flag=True, help="Wait until the end.")
@click.option(
    "--export", type=click.Path(dir_okay=False, path_type=Path), help="Save the completed table: .csv, .xlsx, .json."
)
@click.option("--zip", "archive", type=click.Path(dir_okay=False, path_type=Path), help="Save a ZIP of the images.")
@json_option
@click.pass_obj
def import_(
    remote: Remote,
    *,
    file: Path,
    output: str,
    name: str | None,
    refresh: bool,
    webhook: str,
    analyze: bool,
    wait: bool,
    export: Path | None,
    archive: Path | None,
    as_json: bool,
) -> None:
    """Import the images of FILE: CSV, XLSX or JSON. --export and --zip wait, too.

    The exit status is 1 if images failed, or with --analyze if there are mistakes.
    """
    with connected(remote) as client:
        if analyze:
            sys.exit(_analyze(client, file, as_json=as_json))
        job = client.start_import(file, name=name or file.name, output=output, refresh=refresh, webhook=webhook)
        if not (wait or export or archive):
            text = f"{job.job_id}  {counted(job.images, 'image')}, {job.invalid} invalid rows"
            echo(json_line(job) if as_json else text)
            return
        ended = _wait(client, job, as_json=as_json)
        if export is not None:
            client.save_import(job.job_id, export)
        if archive is not None:
            client.save_import_zip(job.job_id, archive)
    sys.exit(1 if ended.invalid or set(ended.counts) - {"stored", "duplicate"} else 0)


def _analyze(client: Imgserve, file: Path, *, as_json: bool) -> int:
    found = client.analyze_import(file)
    if as_json:
        echo(json_line(dict(found)))
    else:
        for mistake in found["mistakes"]:
            echo(f"{file}:{mistake['line']}: {mistake['column'] or 'row'}: {mistake['reason']}", err=True)
        images, products = counted(found["images"], "image"), counted(found["products"], "product")
        echo(f"{images} of {products}, {found['duplicates']} repeated, {found['invalid']} invalid rows")
    return 1 if found["invalid"] else 0


def _wait(client: Imgserve, job: Import, *, as_json: bool) -> Import:
    progress = Progress()
    for state in client.follow_import(job.job_id):
        if as_json:
            echo(json_line(state))
        else:
            progress.update(_text(state))
    progress.clear()
    ended = client.get_import(job.job_id)
    for image in client.import_images(job.job_id, states=["failed"]):
        echo(f"imgserve: {image.url}: {image.reason}", err=True)
    if not as_json:
        counts = ", ".join(f"{number} {state}" for state, number in sorted(ended.counts.items()))
        echo(f"{job.job_id}  {ended.state}: {counts or 'no images'}, {ended.invalid} invalid rows")
    return ended


def _text(state: ImportProgress) -> str:
    failed = state.counts.get("failed", 0)
    bar = f"[{'#' * (20 * state.done // max(1, state.images)):20}]"
    left = "" if state.remaining is None else f", {state.remaining:.0f} s left"
    return f"{bar} {state.done} of {state.images} images, {failed} failed{left}"
