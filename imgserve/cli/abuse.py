"""The command that lists who causes rejections, new renditions and traffic."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import click

from imgserve.cli.output import counted, size_text
from imgserve.cli.remote import prints
from imgserve.client.api import Imgserve, UsageCount

_LISTS = {
    "rejected": ("rejected", ("client", "referrer")),
    "cold": ("cold", ("client", "referrer")),
    "bytes": ("bytes", ("client", "referrer")),
    "variants": ("cold", ("image",)),
}
"""What is counted, and for whom, by the name of the list."""


@dataclass(frozen=True, slots=True)
class _Row:
    list: str
    by: str
    subject: str
    number: int
    reasons: dict[str, int]


def _line(row: _Row) -> str:
    if row.list == "bytes":
        return f"{row.list:9} {size_text(row.number):>14}  {row.by:8}  {row.subject}"
    reasons = ", ".join(f"{code} {number}" for code, number in sorted(row.reasons.items(), key=lambda one: -one[1]))
    number = counted(row.number, "request" if row.list == "rejected" else "picture")
    return f"{row.list:9} {number:>14}  {row.by:8}  {row.subject}" + (f" ({reasons})" if row.list == "rejected" else "")


@click.command()
@click.option("--hours", type=click.IntRange(1, 168), default=24, show_default=True, help="Including the current one.")
@click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="Lines of each list.")
@prints(_line, header=f"{'LIST':9} {'NUMBER':>14}  {'BY':8}  WHO", none="nothing was counted")
def abuse(client: Imgserve, *, hours: int, limit: int) -> Iterator[_Row]:
    """List who causes the most rejected requests, new renditions and bytes, and the images with the most new variants.

    Needs a key with the scope admin.
    """
    for name, (what, kinds) in _LISTS.items():
        for by in kinds:
            for one in client.usage(what, by=by, hours=hours, limit=limit):
                yield _row(name, by, one)


def _row(name: str, by: str, one: UsageCount) -> _Row:
    return _Row(name, by, **(dataclasses.asdict(one) | {"reasons": dict(one.reasons)}))
