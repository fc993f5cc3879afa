"""`imgserve benchmark`."""

import signal
from dataclasses import replace
from pathlib import Path
from types import FrameType

import click

from imgserve.benchmark.failure import BenchmarkFailed
from imgserve.benchmark.peers import find
from imgserve.benchmark.run import CHAPTERS, Order, run
from imgserve.benchmark.setup import QUICK, Pace

_program = click.Path(exists=True, dir_okay=False, resolve_path=True)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rounds", type=click.IntRange(min=1), help=f"Rounds that alternate (default: {Pace().rounds}).")
@click.option("--json", type=click.Path(dir_okay=False, path_type=Path), help="Write every figure there.")
@click.option("--only", metavar="WORDS", help=f"Some of: {','.join(CHAPTERS)}.")
@click.option("--pictures", type=click.IntRange(min=1), help=f"While memory is watched (default: {Pace().pictures}).")
@click.option("--quick", is_flag=True, help="One short round, to see that everything runs.")
@click.option("--no-wrk", is_flag=True, help="Send repeated requests by our own generator.")
@click.option("--thumbor", type=_program, envvar="IMGSERVE_BENCHMARK_THUMBOR", help="Command of thumbor.")
@click.option("--ipx", type=_program, envvar="IMGSERVE_BENCHMARK_IPX", help="Command of ipx.")
@click.option("--nginx", type=_program, envvar="IMGSERVE_BENCHMARK_NGINX", help="Command of nginx.")
def command(  # noqa: PLR0917  one argument an option
    folder: Path,
    rounds: int | None,
    json: Path | None,
    only: str | None,
    pictures: int | None,
    quick: bool,
    no_wrk: bool,
    thumbor: str | None,
    ipx: str | None,
    nginx: str | None,
) -> None:
    """Measure this machine with the photographs of a folder, beside floors and peers.

    Starts servers on loopback and ends them. Peers that are not installed are left out.
    """
    pace = QUICK if quick else Pace()
    pace = replace(pace, rounds=rounds or pace.rounds, pictures=pictures or pace.pictures)
    commands = find(thumbor=thumbor, ipx=ipx, nginx=nginx)
    if no_wrk:
        commands = replace(commands, wrk=None)
    signal.signal(signal.SIGTERM, _interrupted)  # as Ctrl+C: what has been started is ended
    try:
        run(Order(folder, pace, _chapters(only), commands, json), click.echo)
    except BenchmarkFailed as error:
        raise click.ClickException(str(error)) from error


def _chapters(words: str | None) -> list[str]:
    asked = words.replace(",", " ").split() if words else list(CHAPTERS)
    if unknown := [word for word in asked if word not in CHAPTERS]:
        raise click.BadParameter(f"expected some of {', '.join(CHAPTERS)}, but received {', '.join(unknown)}")
    return [chapter for chapter in CHAPTERS if chapter in asked]


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
