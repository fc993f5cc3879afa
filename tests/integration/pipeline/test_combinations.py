"""Any combination of parameters is a picture of the announced size, or a mistake of the client."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from imgserve.errors import ImgserveError
from imgserve.formats import FORMATS
from imgserve.model import Limits
from imgserve.pipeline.render import render
from imgserve.transform import BUILT_IN_PRESETS, canonical, parse_query
from tests.parameters import asked, plainly
from tests.pictures import RED, animation, encoded, noise, opened, quarters

LIMITS = Limits(output_side=300, output_pixels=60_000)
ORIGINALS = {
    "jpg": encoded(noise(60, 45), "jpg"),
    "png": encoded(quarters(48, 64).bandjoin(128), "png"),
    "gif": animation([RED, (0, 0, 0), RED], size=24),
    "tiff": encoded(noise(33, 20), "tiff"),
}
MARK = encoded(quarters(9, 7), "png")


@pytest.mark.parametrize("name", ORIGINALS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(parameters=asked())
def test_a_combination_is_a_picture_of_its_size_or_a_mistake(name: str, parameters: dict[str, Any]) -> None:
    parameters = {key: value for key, value in parameters.items() if key not in {"preset", "explain", "palette"}}
    query = plainly(parameters)
    try:
        parsed = parse_query(query, presets=BUILT_IN_PRESETS, max_side=300)
        marks = {parsed.transform.mark: MARK} if parsed.transform.mark else {}
        made = render(ORIGINALS[name], parsed.transform, limits=LIMITS, marks=marks)
        again = render(ORIGINALS[name], parse_query(canonical(parsed.transform)).transform, limits=LIMITS, marks=marks)
    except ImgserveError as error:
        assert 400 <= error.status < 500, (query, error)  # noqa: PT017  any other error ends the test
        return
    assert made == again
    if made.media_type in {FORMATS[kind].media_type for kind in ("jpg", "png", "webp", "gif", "tiff")}:
        picture = opened(made.data)
        assert (picture.width, picture.height) == (made.width, made.height)
    assert max(made.width, made.height) <= 300
