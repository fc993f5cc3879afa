"""Waves of rows, beside what the definition of the transform says."""

from operator import mul

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.pipeline.perceptual import cosines, dct_of_rows


@given(st.integers(1, 50).flatmap(lambda length: st.lists(st.floats(-1e3, 1e3), min_size=length, max_size=length)))
def test_a_folded_row_has_the_waves_of_the_whole(row: list[float]) -> None:
    whole = [sum(map(mul, row, table)) for table in cosines(9, len(row))]
    assert [found[0] for found in dct_of_rows([row], 9)] == pytest.approx(whole, abs=1e-6)
