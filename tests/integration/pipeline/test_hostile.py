"""Damaged, random and oversized files in a process of their own, disciplined as the server's are."""

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest
import pyvips

from imgserve.errors import TooLarge, UnreadableImage, UnsupportedImage
from imgserve.model import Limits
from imgserve.pipeline.render import render
from imgserve.rendering.wire import ProcessLimits
from imgserve.rendering.worker import start
from imgserve.transform import parse_query
from tests import bombs
from tests.mutations import mutations, seeds
from tests.prefork import PATIENCE

SECONDS = 10.0
"""Processor time that one picture may take, however busy the machine is."""
ROUNDS = 12
REFUSED = (UnreadableImage, UnsupportedImage, TooLarge)
QUERIES = ("w=80", "w=80&fm=jpg", "w=50&h=50&fit=crop&crop=entropy&fm=webp", "w=60&fm=png&animate=0")
SEEDS = seeds()


def attempt(data: bytes, query: str) -> tuple[bytes | str, float]:
    """Render in the child, timed; a refusal comes back as its sentence, anything else is raised."""
    before = time.process_time()
    made: bytes | str
    try:
        made = render(data, parse_query(query).transform, limits=Limits()).data
    except REFUSED as error:
        made = f"{error.code}: {error.detail}"
    return made, time.process_time() - before


def confine(limits: ProcessLimits) -> None:
    """Discipline the process, which has imported this module before it may read no more files."""
    start(limits)


class Child:
    """A rendering process that is replaced when it dies or takes too long."""

    def __init__(self) -> None:
        self._pool = self._new()

    def _new(self) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, mp_context=spawn, initializer=confine, initargs=(ProcessLimits(),))

    def attempt(self, data: bytes, query: str) -> bytes | str:
        """Render in the child; tell where that killed it."""
        try:
            made, seconds = self._pool.submit(attempt, data, query).result(PATIENCE)
        except (BrokenProcessPool, TimeoutError) as error:
            self.close()
            self._pool = self._new()
            return f"{type(error).__name__}: the process is lost"
        return made if seconds < SECONDS else f"it took {seconds:.1f} s"

    def close(self) -> None:
        for process in (self._pool._processes or {}).values():
            process.kill()
        self._pool.shutdown()


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.close()


def sound(made: bytes | str) -> bool:
    """Return whether an outcome is a picture that decodes, or a refusal."""
    if isinstance(made, bytes):
        options = {"n": -1} if made[:3] == b"GIF" else {}
        return bool(pyvips.Image.new_from_buffer(made, "", **options).copy_memory().width)
    return made.split(":")[0] in {"unreadable_image", "unsupported_image", "limit_exceeded", "original_too_large"}


@pytest.mark.parametrize("kind", sorted(SEEDS))
def test_a_damaged_picture_is_refused_or_shown_and_never_worse(child: Child, kind: str) -> None:
    chance = random.Random(kind)
    for data in mutations(SEEDS[kind], ROUNDS):
        query = chance.choice(QUERIES)
        made = child.attempt(data, query)
        assert sound(made), (query, made, data[:64], len(data))


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tiff", "avif", "heic", "svg"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9])
def test_a_picture_cut_short_is_refused(child: Child, kind: str, part: float) -> None:
    data = SEEDS[kind]
    made = child.attempt(data[: int(len(data) * part)], "w=80&fm=png")
    assert str(made).split(":")[0] in {"unreadable_image", "unsupported_image"}


@pytest.mark.parametrize("box", [b"hvc1", b"hvcC", b"infe", b"iloc", b"iprp", b"ispe", b"meta", b"pict", b"pitm"])
def test_a_heic_that_lacks_a_box_is_unreadable(child: Child, box: bytes) -> None:
    made = child.attempt(SEEDS["heic"].replace(box, b"none"), "w=80&fm=png")
    assert str(made).startswith("unreadable_image")


@pytest.mark.parametrize("kind", sorted(SEEDS))
def test_the_head_of_one_format_before_the_body_of_another_harms_nobody(child: Child, kind: str) -> None:
    for other, body in SEEDS.items():
        if other != kind:
            assert sound(child.attempt(SEEDS[kind][:32] + body, "w=80&fm=png"))
            assert sound(child.attempt(SEEDS[kind] + body, "w=80&fm=png"))


@pytest.mark.parametrize(
    "magic", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"MM\0*", b"<svg", b"\x1f\x8b\x08"]
)
def test_random_bytes_behind_a_magic_number_are_refused(child: Child, magic: bytes) -> None:
    chance = random.Random(magic)
    for size in (0, 1, 16, 300, 5000, 100_000):
        made = child.attempt(magic + chance.randbytes(size), "w=80&fm=png")
        assert sound(made), made
        assert isinstance(made, str)


OVER_A_LIMIT: dict[str, tuple[Callable[[], bytes], str]] = {
    "png 30000x30000": (lambda: bombs.png(30_000, 30_000), "original_pixels"),
    "png 1x1000000": (lambda: bombs.png(1, 1_000_000), "original_side"),
    "png 1000000x1": (lambda: bombs.png(1_000_000, 1), "original_side"),
    "png 1000000x1 interlaced": (lambda: bombs.png(1_000_000, 1, interlaced=True), "original_side"),
    "jpeg 60000x60000": (lambda: bombs.jpeg(60_000, 60_000), "original_pixels"),
    "avif 10000x6000": (lambda: bombs.avif(10_000, 6_000), "original_pixels"),
    "svg of a million units": (lambda: bombs.svg("", 1_000_000), "svg_side"),
    "svgz of 256 MB": (lambda: bombs.svgz(1 << 28), "svg_bytes"),
}


@pytest.mark.parametrize("name", OVER_A_LIMIT)
def test_a_bomb_is_refused_by_the_limit_that_it_is_over(child: Child, name: str) -> None:
    make, limit = OVER_A_LIMIT[name]
    made = child.attempt(make(), "w=100&fm=png")
    assert isinstance(made, str), f"served: {len(made)} bytes"
    assert made.startswith("limit_exceeded")
    assert limit in made


COSTLY: dict[str, Callable[[], bytes]] = {
    "png 7000x7000 interlaced": lambda: bombs.png(7_000, 7_000, color_type=6, interlaced=True),
    "png 1x32768": lambda: bombs.png(1, 32_768),
    "avif 8000x6000": lambda: bombs.avif(8_000, 6_000),
    "gif of 20000 frames": lambda: bombs.gif(1, 20_000),
    "gif of 500 frames and 48 megapixels": lambda: bombs.gif(310, 500),
    "tiff of 20000 pages": lambda: bombs.tiff(20_000),
    "jpeg of another size than it says": lambda: bombs.jpeg(7_000, 7_000),
    "svg of nested uses": bombs.nested_uses,
    "svg of entities": bombs.entities,
    "numbers": lambda: b"4 4\n" + b"1 2 3 4\n" * 4,
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_costly_picture_is_refused_or_served_within_the_means_of_a_process(child: Child, name: str) -> None:
    assert sound(child.attempt(COSTLY[name](), "w=100&fm=webp"))


def test_a_drawing_packed_twice_is_not_unpacked_by_anyone(child: Child) -> None:
    made = child.attempt(bombs.svgz(1 << 28, 2), "w=100&fm=png")
    assert str(made).startswith(("unreadable_image", "limit_exceeded", "unsupported_image"))


def test_a_drawing_with_a_picture_of_400_megapixels_costs_a_process_at_most(child: Child) -> None:
    made = child.attempt(bombs.embedding(bombs.png(20_000, 20_000)), "w=100&fm=webp")
    assert sound(made) or made == "BrokenProcessPool: the process is lost"
    assert isinstance(child.attempt(SEEDS["jpg"], "w=80"), bytes)


def test_a_text_of_numbers_is_no_picture(child: Child) -> None:
    assert str(child.attempt(COSTLY["numbers"](), "")).startswith("unsupported_image")
