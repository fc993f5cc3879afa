"""The presets that are valid now: those of the settings, which win, of the catalog, and the built-in ones."""

import logging
from collections.abc import Callable, Iterable, Mapping

import anyio

from imgserve.access.sites import Sites
from imgserve.catalog import Presets, StoredPreset
from imgserve.errors import BadTransform, CatalogUnavailable
from imgserve.transform import BUILT_IN_PRESETS, Preset, link_presets, parse_preset

_logger = logging.getLogger(__name__)
_POLL_SECONDS = 0.4
EVERYWHERE_SECONDS = 1.0
"""After this time all processes and nodes have noticed a change."""


class PresetBook:
    """The presets of each site, in the memory of this process. The catalog is asked several times a second.

    The dictionaries in the query settings of the sites are changed in place.
    """

    def __init__(self, stored: Presets, sites: Sites, max_side: int) -> None:
        """Add the presets of a catalog to those of sites."""
        self.stored = stored
        self.general = sites.default.rules.query.presets
        """The presets of everything that belongs to no site."""
        self.names = {name for site in sites for name in site.rules.query.presets}
        """The names and aliases of all sites."""
        self.on_change: list[Callable[[], None]] = []
        self._max_side = max_side
        tables = [site.rules.query.presets for site in sites]
        self._tables = [
            (table, {name: preset for name, preset in table.items() if preset.origin == "settings"}) for table in tables
        ]
        self._state: tuple[int, ...] = (0, 0)
        self._lock = anyio.Lock()

    def in_settings(self, name: str) -> bool:
        """Return whether the settings decide what a name means for everything that belongs to no site."""
        return name in self._tables[0][1]

    def linked(self, sources: Mapping[str, str]) -> tuple[dict[str, Preset], dict[str, list[str]]]:
        """Return presets of the catalog, linked over those of settings; and the mistakes of the rest by name."""
        parsed, mistakes = dict[str, Preset](), dict[str, list[str]]()
        for name, source in sources.items():
            try:
                parsed[name] = parse_preset(source, max_side=self._max_side, origin="catalog")
            except BadTransform as error:
                mistakes[name] = error.mistakes
        linked, wrong = link_presets(parsed, {**BUILT_IN_PRESETS, **self._tables[0][1]})
        return linked, {**{name: [sentence] for name, sentence in wrong.items()}, **mistakes}

    async def refresh(self) -> frozenset[str]:
        """Read the presets again if they have changed; return the names of those that mean something else now.

        Without the catalog, the known ones stay valid.
        """
        async with self._lock:
            try:
                state = await self.stored.state()
                if state == self._state:
                    return frozenset()
                stored = await self.stored.all()
            except CatalogUnavailable:
                _logger.debug("the presets cannot be read now")  # the catalog logs why
                return frozenset()
            self._state = state
            return self._replace(stored.values())

    def _replace(self, stored: Iterable[StoredPreset]) -> frozenset[str]:
        linked, mistakes = self.linked({one.name: one.parameters for one in stored if not self.in_settings(one.name)})
        for name, sentences in mistakes.items():
            _logger.warning("the preset %s of the catalog is left out: %s", name, "; ".join(sentences))
        before = dict(self.general)
        for table, fixed in self._tables:
            new = {**linked, **fixed}
            table.clear()
            table.update(new)
        self.names.clear()
        self.names.update(name for table, _ in self._tables for name in table)
        for call in self.on_change:
            call()
        after = self.general
        changed = (name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        return frozenset((after.get(name) or before[name]).name for name in changed)

    async def run(self) -> None:
        """Follow changes of the presets until cancelled."""
        while True:
            await self.refresh()
            await anyio.sleep(_POLL_SECONDS)
