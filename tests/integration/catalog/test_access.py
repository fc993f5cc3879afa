"""API keys, shared secrets and the audit log in the catalog."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from imgserve.catalog import ApiKey
from imgserve.errors import BadCursor
from imgserve.records import AuditEntry
from tests.catalogs import START, Catalog

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
KEY = ApiKey(
    key_id="k1", name="shop", digest="d1", scopes=("read", "upload"), created=START,
    prefixes=("shop/", "ü/"), presets=("card",), site="site", expires=START + DAY,
)  # fmt: skip
PLAIN = ApiKey(key_id="k2", name="all", digest="d2", scopes=("admin",), created=START)


def entry(second: int, **fields: Any) -> AuditEntry:
    values: dict[str, Any] = {"actor": "admin", "address": "192.0.2.1", "action": "records_delete", **fields}
    return AuditEntry(at=START + timedelta(seconds=second), **values)


async def test_keys_are_listed_as_they_were_stored(catalog: Catalog) -> None:
    await catalog.keys.add(KEY)
    await catalog.keys.add(PLAIN)
    assert await catalog.keys.all() == [PLAIN, KEY]


async def test_a_revoked_key_is_not_listed_and_can_be_revoked_once(catalog: Catalog) -> None:
    await catalog.keys.add(KEY)
    assert await catalog.keys.revoke("k1", at=START + DAY)
    assert not await catalog.keys.revoke("k1")
    assert not await catalog.keys.revoke("unknown")
    assert await catalog.keys.all() == []
    assert await catalog.keys.all(revoked=True) == [replace(KEY, revoked=START + DAY)]


async def test_the_state_changes_with_keys_and_not_with_their_use(catalog: Catalog) -> None:
    states = [await catalog.keys.state()]
    await catalog.keys.add(PLAIN)
    states.append(await catalog.keys.state())
    await catalog.keys.note_use([("k2", START + DAY)])
    assert await catalog.keys.state() == states[-1]
    await catalog.keys.revoke("k2", at=START + DAY)
    states.append(await catalog.keys.state())
    assert len(set(states)) == 3


async def test_the_latest_use_counts(catalog: Catalog) -> None:
    await catalog.keys.add(PLAIN)
    await catalog.keys.note_use([("k2", START + DAY), ("unknown", START)])
    await catalog.keys.note_use([("k2", START)])
    assert [key.used for key in await catalog.keys.all()] == [START + DAY]


async def test_keys_that_ended_long_ago_are_pruned(catalog: Catalog) -> None:
    for key in (KEY, PLAIN, replace(PLAIN, key_id="k3", digest="d3")):
        await catalog.keys.add(key)
    await catalog.keys.revoke("k3", at=START)
    assert await catalog.keys.prune(START + 2 * DAY) == 2
    assert await catalog.keys.all(revoked=True) == [PLAIN]


async def test_the_first_proposal_of_a_secret_is_shared(catalog: Catalog) -> None:
    assert len(set(await asyncio.gather(*(catalog.secrets.shared("name", str(n)) for n in range(5))))) == 1
    assert await catalog.secrets.remove("name")
    assert not await catalog.secrets.remove("name")
    assert await catalog.secrets.shared("name", "other") == "other"


async def test_the_audit_log_is_paged_from_the_newest(catalog: Catalog) -> None:
    entries = [
        AuditEntry(
            at=START,
            actor="key:k1",
            address="",
            action="records_change",
            target="a \udcff.jpg",
            before={"title": "a"},
            after={"title": "ü"},
            request_id="r",
        ),
        entry(1),
        entry(2, target="b.jpg"),
    ]
    for one in entries:
        await catalog.audit.add(one)
    first = await catalog.audit.page(limit=2)
    assert first.items == (entries[2], entries[1])
    second = await catalog.audit.page(limit=2, cursor=first.cursor)
    assert (second.items, second.cursor) == ((entries[0],), None)


@pytest.mark.parametrize(
    ("filters", "seconds"),
    [({"target": "b.jpg"}, [2]), ({"actor": "key:k1"}, [3]), ({"action": "records_delete"}, [2, 1]), ({}, [3, 2, 1])],
)
async def test_the_audit_log_is_filtered(catalog: Catalog, filters: dict[str, Any], seconds: list[int]) -> None:
    for one in (entry(1), entry(2, target="b.jpg"), entry(3, actor="key:k1", action="keys_create")):
        await catalog.audit.add(one)
    found = (await catalog.audit.page(**filters)).items
    assert [one.at for one in found] == [START + timedelta(seconds=second) for second in seconds]


@pytest.mark.parametrize("cursor", ["x", "-1", "²", "9" * 30])
async def test_a_cursor_of_another_list_is_rejected(catalog: Catalog, cursor: str) -> None:
    with pytest.raises(BadCursor):
        await catalog.audit.page(cursor=cursor)


async def test_long_states_are_shortened_and_old_entries_pruned(catalog: Catalog) -> None:
    await catalog.audit.add(AuditEntry(at=START, actor="a", address="", action="b", after={"text": "x" * 30_000}))
    assert (await catalog.audit.page()).items[0].after == {"characters": 30_011}
    assert await catalog.audit.prune(START) == 0
    assert await catalog.audit.prune(START + DAY) == 1
