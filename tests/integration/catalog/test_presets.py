"""Presets in the catalog."""

import pytest

from tests.catalogs import Catalog

pytestmark = pytest.mark.anyio


async def test_a_preset_is_replaced_and_removed_only_as_it_is_known(catalog: Catalog) -> None:
    states = [await catalog.presets.state()]
    first = await catalog.presets.store("card", "w=1", former=None)
    states.append(await catalog.presets.state())
    assert first is not None
    assert await catalog.presets.store("card", "w=2", former=None) is None
    second = await catalog.presets.store("card", "w=2", former=first)
    states.append(await catalog.presets.state())
    assert second is not None
    assert await catalog.presets.store("card", "w=3", former=first) is None
    assert not await catalog.presets.remove(first)
    assert await catalog.presets.all() == {"card": second}
    assert await catalog.presets.remove(second)
    assert await catalog.presets.all() == {}
    assert len(set(states)) == len(states)
