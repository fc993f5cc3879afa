"""The benchmark of a running server, next to floors and peers, and the list of the other measurements.

python -m benchmarks [PHOTOS] [options]
python -m benchmarks --list
"""

import ast
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType

import click

from benchmarks.peers import find
from benchmarks.programs import BenchmarkFailed
from benchmarks.run import CHAPTERS, Order, run
from benchmarks.setup import QUICK, Pace

_INTERRUPTED = 130
_SAMPLES = Path("var/samples")
_program = click.Path(exists=True, dir_okay=False, resolve_path=True)


def _print_list(context: click.Context, _option: click.Parameter, requested: bool) -> None:
    if requested:
        for name, purpose in measurements():
            click.echo(f"python -m benchmarks.{name}\n    {purpose}")
        context.exit()


@click.command()
@click.argument("photos", default=_SAMPLES, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rounds", type=click.IntRange(min=1), help=f"Alternating rounds (default: {Pace().rounds}).")
@click.option("--json", type=click.Path(dir_okay=False, path_type=Path), help="Write every figure to this file.")
@click.option("--only", metavar="CHAPTERS", help=f"Some of: {','.join(CHAPTERS)}.")
@click.option(
    "--pictures", type=click.IntRange(min=1), help=f"Pictures of the memory chapter (default: {Pace().pictures})."
)
@click.option("--quick", is_flag=True, help="Run one short round, to see that everything works.")
@click.option("--no-wrk", is_flag=True, help="Send repeated requests with the generator of this benchmark.")
@click.option("--thumbor", type=_program, envvar="BENCHMARK_THUMBOR", show_envvar=True, help="Command of thumbor.")
@click.option("--ipx", type=_program, envvar="BENCHMARK_IPX", show_envvar=True, help="Command of ipx.")
@click.option("--nginx", type=_program, envvar="BENCHMARK_NGINX", show_envvar=True, help="Command of nginx.")
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_print_list, help="List the other measurements."
)
def command(  # noqa: PLR0917  one argument an option
    photos: Path,
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
    """Measure this machine with the photographs of a folder, next to floors and peers.

    Starts servers on the loopback interface and stops them. Peers that are not installed are skipped.
    """
    pace = QUICK if quick else Pace()
    pace = replace(pace, rounds=rounds or pace.rounds, pictures=pictures or pace.pictures)
    commands = find(thumbor=thumbor, ipx=ipx, nginx=nginx)
    if no_wrk:
        commands = replace(commands, wrk=None)
    try:
        run(Order(photos, pace, _chapters(only), commands, json), click.echo)
    except BenchmarkFailed as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def measurements() -> Iterator[tuple[str, str]]:
    """Yield the name and the purpose of each module whose docstring says how to run it."""
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if f"python -m benchmarks.{path.stem}" in text:
            yield path.stem, text.partition("\n")[0]


def _chapters(words: str | None) -> list[str]:
    requested = words.replace(",", " ").split() if words else list(CHAPTERS)
    if unknown := [word for word in requested if word not in CHAPTERS]:
        raise click.BadParameter(f"expected some of {', '.join(CHAPTERS)}, but received {', '.join(unknown)}")
    return [chapter for chapter in CHAPTERS if chapter in requested]


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # A shell ignores SIGINT for processes that it starts in the background, and they inherit that.
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    command(prog_name="python -m benchmarks")
