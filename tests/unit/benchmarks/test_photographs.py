from pathlib import Path

import pytest

from benchmarks.photographs import Gallery, Photograph


def gallery_of(*widths: int) -> Gallery:
    return Gallery(Path(), tuple(Photograph(Path(), width, width) for width in widths))


@pytest.mark.parametrize("widths", [(5760, 3000), (2400,), (600, 400), (400,)])
def test_widths_are_distinct_and_none_is_enlarged(widths: tuple[int, ...]) -> None:
    gallery = gallery_of(*widths)
    page, more = gallery.srcset(), gallery.new_widths()
    assert (len(page), len(more)) == (8, 16)
    assert len({*page, *more}) == 24
    assert 0 < min(*page, *more) <= max(*page, *more) <= min(widths)


def test_small_photographs_are_requested_in_smaller_sizes() -> None:
    assert gallery_of(5760, 2400).scaled(800) == 800
    assert gallery_of(5760, 1200).scaled(800) == 400
