"""Endpoints of presets."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import anyio
from pydantic import Field
from starlette.requests import Request

from imgserve.access.keys import Scope
from imgserve.access.presets import EVERYWHERE_SECONDS, PresetBook
from imgserve.catalog import StoredPreset
from imgserve.errors import BadTransform, PreconditionFailed, PresetConflict, PresetNotFound
from imgserve.http.conditional import match_holds
from imgserve.http.headers import preset_tag
from imgserve.records import PresetRecord
from imgserve.transform import Preset, canonical, transform_of
from imgserve.transform.merge import ATTRIBUTES
from imgserve.transform.presets import NAME, NAME_RULE, preset_text
from imgserve.web.api.endpoint import Answer, Call, endpoint
from imgserve.web.api.messages import Reply, ResponseModel, bad_request
from imgserve.web.api.requests import RequestModel

_endpoint = partial(endpoint, tag="presets")
_ETAG = {"ETag": "Changes with the preset."}
_IF_MATCH = {"If-Match": "Only if the preset has this ETag."}


class PresetChanges(RequestModel):
    """What a preset stands for."""

    parameters: Annotated[str, Field(max_length=4096)] | dict[str, Any]
    """Parameters, `extends`, `aliases` and `locked`: a query such as `width=400&fit=crop`, or names and values."""


class NewPreset(PresetChanges):
    """A preset to be created."""

    name: Annotated[str, Field(max_length=200)]
    """Letters, digits, `-` and `_`."""


class PresetOut(ResponseModel, record=PresetRecord):
    """A preset."""


class PresetsOut(ResponseModel):
    """All presets that belong to no site."""

    presets: list[PresetOut]
    """By name."""


class RemovedPresetOut(ResponseModel):
    """A removed preset."""

    name: str
    """Its name."""


@dataclass(frozen=True, slots=True)
class Presets:
    """Endpoints of presets. Those of the settings cannot be changed here, and win over those of the catalog."""

    book: PresetBook
    purge: Callable[[Collection[str]], None] | None
    """Purges the caches in front by tags; None if there are none."""

    @_endpoint("GET", "/api/presets", Scope.READ, "List the presets")
    async def list(self) -> PresetsOut:
        """Return the presets of the settings, of the catalog and the built-in ones, without those of sites."""
        stored = await self.book.stored.all()
        presets = {name: one for name, one in sorted(self.book.general.items()) if one.name == name}
        return PresetsOut(presets=[_shown(one, stored.get(name)) for name, one in presets.items()])

    @_endpoint(
        "GET",
        "/api/presets/{name}",
        Scope.READ,
        "Get a preset",
        errors=[PresetNotFound],
        answers={200: Answer("The preset.", PresetOut, headers=_ETAG)},
    )
    async def get(self, name: str) -> Reply:
        """Return a preset by its name or an alias."""
        await self.book.refresh()
        preset = self.book.general.get(name.lower())
        if preset is None:
            raise PresetNotFound
        return _reply(preset, (await self.book.stored.all()).get(preset.name))

    @_endpoint(
        "POST",
        "/api/presets",
        Scope.MANAGE,
        "Create a preset",
        errors=[PresetConflict, BadTransform],
        answers={201: Answer("The new preset.", PresetOut, headers=_ETAG)},
        example={"name": "card", "parameters": "width=400&height=300&auto=format"},
    )
    async def create(self, body: NewPreset) -> Reply:
        """Create a preset. All servers know it within a second."""
        name = body.name.lower()
        if name in await self.book.stored.all():
            raise PresetConflict("A preset with this name exists already.")
        return await self._store(name, body, None, 201)

    @_endpoint(
        "PUT",
        "/api/presets/{name}",
        Scope.MANAGE,
        "Create or replace a preset",
        errors=[PresetConflict, PreconditionFailed, BadTransform],
        headers=_IF_MATCH,
        answers={200: Answer("The preset.", PresetOut, headers=_ETAG)},
        example={"parameters": {"extends": "card", "width": 800, "locked": ["width"]}},
    )
    async def replace(self, name: str, body: PresetChanges, call: Call) -> Reply:
        """Store a preset. All servers use it within a second, and caches in front are purged of its pictures."""
        name = name.lower()
        return await self._store(name, body, await self._former(name, call.request), 200)

    @_endpoint(
        "DELETE",
        "/api/presets/{name}",
        Scope.MANAGE,
        "Remove a preset",
        errors=[PresetNotFound, PresetConflict, PreconditionFailed],
        headers=_IF_MATCH,
    )
    async def remove(self, name: str, call: Call) -> RemovedPresetOut:
        """Remove a preset on which no other builds. A built-in one of its name is valid again."""
        former = await self._former(name.lower(), call.request)
        if former is None:
            raise PresetNotFound
        sources = {other: one.parameters for other, one in (await self.book.stored.all()).items()}
        self._check(sources, {other: source for other, source in sources.items() if other != former.name})
        if not await self.book.stored.remove(former):
            raise PreconditionFailed("The preset has changed.")
        await self._publish()
        return RemovedPresetOut(name=former.name)

    async def _former(self, name: str, request: Request) -> StoredPreset | None:
        """Return the preset of the catalog, or None; raise PreconditionFailed if it does not match."""
        former = (await self.book.stored.all()).get(name)
        if "if-match" in request.headers and (former is None or not match_holds(request.headers, _etag(former))):
            raise PreconditionFailed("The preset has changed, or there is none in the catalog.")
        return former

    async def _store(self, name: str, body: PresetChanges, former: StoredPreset | None, status: int) -> Reply:
        if not NAME.fullmatch(name):
            raise bad_request([f"name: {NAME_RULE}"])
        if self.book.in_settings(name):
            raise PresetConflict("The settings decide what this name means.")
        text = body.parameters if isinstance(body.parameters, str) else preset_text(body.parameters)
        sources = {other: one.parameters for other, one in (await self.book.stored.all()).items()}
        preset = self._check(sources, {**sources, name: text})[name]
        stored = await self.book.stored.store(name, text, former=former)
        if stored is None:
            raise PreconditionFailed("The preset has changed.")
        await self._publish()
        return _reply(preset, stored, status)

    def _check(self, before: dict[str, str], after: dict[str, str]) -> dict[str, Preset]:
        """Return the presets after a change.

        Raises BadTransform with the mistakes of the changed one, or PresetConflict if others would not be valid.
        """
        presets, mistakes = self.book.linked(after)
        _, known = self.book.linked(before)
        for name, sentences in sorted(mistakes.items(), key=lambda one: before.get(one[0]) == after[one[0]]):
            if before.get(name) != after[name]:
                raise BadTransform(sentences)
            if name not in known:
                raise PresetConflict(f"The preset {name} would not be valid: {'; '.join(sentences)}.")
        taken = [alias for name in after for alias in presets[name].aliases if self.book.in_settings(alias)]
        if taken and before != after:
            raise PresetConflict(f"The settings decide what these names mean: {', '.join(taken)}.")
        return presets

    async def _publish(self) -> None:
        """Use a change here, and purge the caches in front when all processes and nodes use it."""
        changed = await self.book.refresh()
        if self.purge is not None and changed:
            await anyio.sleep(EVERYWHERE_SECONDS)
            self.purge([preset_tag(name) for name in sorted(changed)])


def _etag(stored: StoredPreset) -> str:
    return f'"{int(stored.changed.timestamp() * 1e6):x}"'


def _reply(preset: Preset, stored: StoredPreset | None, status: int = 200) -> Reply:
    headers = {} if stored is None or preset.origin != "catalog" else {"etag": _etag(stored)}
    return Reply(_shown(preset, stored), status, headers)


def _shown(preset: Preset, stored: StoredPreset | None) -> PresetOut:
    own = stored is not None and preset.origin == "catalog"
    record = PresetRecord(
        name=preset.name,
        parameters=preset.source,
        query=canonical(transform_of(preset.values)),
        origin=preset.origin,
        aliases=preset.aliases,
        locked=("all",) if preset.locked == ATTRIBUTES else tuple(sorted(preset.locked)),
        changed=stored.changed if own and stored is not None else None,
    )
    return PresetOut.model_validate(record)
