"""Commands of API keys, of the audit log, and of the list of who causes rejections, new renditions and traffic."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from imgserve.access.admin_key import create_key
from imgserve.access.keys import Scope
from imgserve.app import create_data_folder, data_folder
from imgserve.cli.main import connection_options
from imgserve.cli.output import counted, echo, size_text, time_text
from imgserve.cli.remote import prints
from imgserve.cli.serve import folder_config, options
from imgserve.cli.signing import seconds_of
from imgserve.client.api import ApiKey, AuditEntry, Imgserve


@click.group()
def keys() -> None:
    """Create, list and revoke API keys of a running server, and replace the admin key of a folder."""


def _key_line(key: ApiKey) -> str:
    limits = [
        *key.prefixes,
        *(f"preset={preset}" for preset in key.presets),
        *([f"site={key.site}"] if key.site else []),
    ]
    used, expires = (time_text(moment) if moment else "never" for moment in (key.used, key.expires))
    return f"{key.key_id}  {used:16}  {expires:16}  {','.join(key.scopes):20}  {' '.join(limits) or '-':20}  {key.name}"


def _export_line(key: ApiKey) -> str:
    return f"export IMGSERVE_KEY={key.key}"


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="May be repeated.",
)
@click.option("--prefix", "prefixes", multiple=True, help="Start of the ids of images that the key is for.")
@click.option("--preset", "presets", multiple=True, help="Preset that the key may request pictures with.")
@click.option("--site", default="", help="Site whose images the key is for.")
@click.option("--expires", metavar="TIME", help="When the key ends: 30d from now, Unix seconds, or 2030-12-31T18:00.")
@prints(_export_line)
def create(
    client: Imgserve,
    *,
    name: str,
    scopes: tuple[str, ...],
    prefixes: tuple[str, ...],
    presets: tuple[str, ...],
    site: str,
    expires: str | None,
) -> Iterator[ApiKey]:
    """Create a key and print it, the only time that it is shown."""
    until = None if expires is None else datetime.fromtimestamp(seconds_of(expires), UTC)
    key = client.create_key(name, scopes, prefixes=prefixes, presets=presets, site=site, expires=until)
    echo(f"key {key.key_id}; it is stored only as a hash", err=True)
    yield key


@keys.command("list")
@prints(
    _key_line,
    header=f"{'ID':8}  {'LAST USED':16}  {'EXPIRES':16}  {'SCOPES':20}  {'ONLY FOR':20}  NAME",
    none="there are no keys yet",
)
def list_keys(client: Imgserve) -> list[ApiKey]:
    """List the keys."""
    return client.keys()


@keys.command()
@click.argument("key_id")
@prints(lambda key_id: f"revoked: {key_id}")
def revoke(client: Imgserve, *, key_id: str) -> Iterator[str]:
    """Revoke a key by its id. All servers reject it within a second."""
    client.revoke_key(key_id)
    yield key_id


for _command in (create, list_keys, revoke):
    _command.params += connection_options(environment=False)


@keys.command()
@options
def reset(originals: Path | None, path: Path | None, data: Path | None) -> None:
    """Replace the admin key of a folder, and print the new one.

    Pass the folder and the options that `imgserve serve` receives. Running servers accept the new key at once.
    """
    config = folder_config(path, {"originals.folder": originals, "originals.data_folder": data})
    if config.access.admin_key.get_secret_value():
        raise click.ClickException("the key is the one of the setting access.admin_key: change it there, and restart")
    folder = data_folder(config)
    create_data_folder(config, folder)
    click.echo(f"export IMGSERVE_KEY={create_key(folder, replace=True)}")


def _audit_line(entry: AuditEntry) -> str:
    after = json.dumps(dict(entry.after)) if entry.after else ""
    who = f"{entry.actor:14}  {entry.address:15}"
    return f"{time_text(entry.at)}  {who}  {entry.action:22}  {entry.target or '-'}  {after}".rstrip()


@click.command()
@click.option("--target", default="", help="Image id or other object.")
@click.option("--actor", default="", help="Caller: admin, or key: and the id of a key.")
@click.option("--action", default="", help="Operation, such as records_delete.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Number of calls.")
@prints(
    _audit_line, header=f"{'WHEN':16}  {'WHO':14}  {'FROM':15}  {'ACTION':22}  TARGET  REQUEST", none="no calls match"
)
def audit(client: Imgserve, *, target: str, actor: str, action: str, limit: int) -> Iterator[AuditEntry]:
    """Show management calls, the newest first: who changed what, when and from where."""
    return client.audit(target=target, actor=actor, action=action, limit=limit)


_USAGE_LISTS = {
    "rejected": ("rejected", ("client", "referrer")),
    "renditions": ("cold", ("client", "referrer", "image")),
    "bytes": ("bytes", ("client", "referrer")),
}
"""What is counted, and for whom, by the name of the list."""


@dataclass(frozen=True, slots=True)
class _UsageRow:
    list: str
    by: str
    subject: str
    number: int
    reasons: dict[str, int]


def _usage_line(row: _UsageRow) -> str:
    if row.list == "bytes":
        return f"{row.list:10}  {size_text(row.number):>16}  {row.by:8}  {row.subject}"
    reasons = ", ".join(f"{code} {number}" for code, number in sorted(row.reasons.items(), key=lambda one: -one[1]))
    number = counted(row.number, "request" if row.list == "rejected" else "rendition")
    return f"{row.list:10}  {number:>16}  {row.by:8}  {row.subject}" + (
        f" ({reasons})" if row.list == "rejected" else ""
    )


@click.command()
@click.option("--hours", type=click.IntRange(1, 168), default=24, show_default=True, help="Including the current one.")
@click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="Lines of each list.")
@prints(_usage_line, header=f"{'LIST':10}  {'NUMBER':>16}  {'BY':8}  WHO", none="nothing was counted")
def abuse(client: Imgserve, *, hours: int, limit: int) -> Iterator[_UsageRow]:
    """List who causes the most rejected requests, new renditions and bytes, and the images of the most renditions.

    Needs a key with the scope admin.
    """
    for name, (what, kinds) in _USAGE_LISTS.items():
        for by in kinds:
            for one in client.usage(what, by=by, hours=hours, limit=limit):
                yield _UsageRow(name, by, one.subject, one.number, dict(one.reasons))
