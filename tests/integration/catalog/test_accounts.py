"""Accounts and the link of the first one, in each database."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text as sql

from imgserve.access.accounts import AccountList, SetupLinks
from imgserve.access.sessions import Sessions
from imgserve.catalog import Account
from tests.catalogs import START, Catalog

pytestmark = pytest.mark.anyio

JANE = Account("jane", "editor", "hash", START, START)
JACK = Account("jack", "viewer", "", START, START)


async def test_accounts_are_listed_by_name_as_they_were_stored(catalog: Catalog) -> None:
    assert await catalog.accounts.add(JANE)
    assert await catalog.accounts.add(JACK)
    assert not await catalog.accounts.add(replace(JANE, role="admin"))
    assert await catalog.accounts.all() == [JACK, JANE]


async def test_every_change_but_the_use_changes_the_state(catalog: Catalog) -> None:
    accounts = catalog.accounts
    states = [await accounts.state()]
    await accounts.add(JANE)
    states.append(await accounts.state())
    await accounts.note_login("jane", START + timedelta(days=1), ("other", "new"))
    assert await accounts.state() == states[-1]
    assert (await accounts.all())[0] == replace(JANE, used=START + timedelta(days=1))
    for change in ({}, {"role": "admin"}, {"password": "new"}):
        assert await accounts.change("jane", **change)
        states.append(await accounts.state())
    assert await accounts.remove("jane")
    states.append(await accounts.state())
    assert len(set(states)) == len(states) - 1  # without accounts at the start and at the end
    assert not await accounts.remove("jane")
    assert not await accounts.change("jane", role="admin")


async def test_sessions_that_were_ended_are_known_until_they_would_be_over(catalog: Catalog) -> None:
    accounts, hour = catalog.accounts, timedelta(hours=1)
    states = [await accounts.state()]
    for ended in ({"a": START}, {"a": START, "b": START + hour}, {"c": START + 2 * hour}):
        await accounts.end_sessions(ended)
        states.append(await accounts.state())
    assert await accounts.ended_sessions() == {"a", "b", "c"}
    assert await accounts.prune(START + hour) == 1
    states.append(await accounts.state())
    assert await accounts.ended_sessions() == {"b", "c"}
    assert len(set(states)) == len(states)


async def test_the_state_of_many_ended_sessions_can_be_read(catalog: Catalog) -> None:
    await catalog.accounts.end_sessions({f"{number}": START for number in range(6000)})  # their sum exceeds 64 bits
    assert (await catalog.accounts.state())[2] == 6000


async def test_processes_learn_of_ended_sessions_and_of_those_that_ended_without_the_catalog(catalog: Catalog) -> None:
    here, there = (Sessions(AccountList(catalog.accounts, catalog.secrets), idle=60, longest=3600) for _ in range(2))
    await catalog.accounts.add(JANE)
    for one in (here, there):
        await one.accounts.refresh()
    for without in (False, True):
        session = here.begin(JANE)
        text = here.text(session)
        assert there.read(text) is not None
        if without:
            await catalog.database.execute(sql("ALTER TABLE ended_sessions RENAME TO away"))
        await here.end(session)
        assert here.read(text) is None
        if without:
            await there.accounts.refresh()
            assert there.read(text) is not None
            catalog.database._failures.clear()  # no pause after the failure
            await catalog.database.execute(sql("ALTER TABLE away RENAME TO ended_sessions"))
            await here.accounts.refresh()
        await there.accounts.refresh()
        assert there.read(text) is None
        assert here.read(text) is None


async def test_a_new_hash_replaces_the_one_that_was_checked(catalog: Catalog) -> None:
    await catalog.accounts.add(JANE)
    await catalog.accounts.note_login("jane", START, ("hash", "newer"))
    await catalog.accounts.note_login("jane", START, ("hash", "too late"))
    assert [account.password for account in await catalog.accounts.all()] == ["newer"]


async def test_a_link_can_be_used_once(catalog: Catalog) -> None:
    links = SetupLinks(catalog.secrets)
    assert not await links.waiting()
    former, token = await links.create(), await links.create()
    assert await links.waiting()
    assert await links.valid(token)
    assert token not in (await catalog.secrets.find("setup-link") or "")
    for wrong in (former, "", "x", "\udcff"):
        assert not await links.valid(wrong)
        assert not await links.use(wrong)
    assert sorted(await asyncio.gather(*(links.use(token) for _ in range(3)))) == [False, False, True]
    assert not await links.valid(token)
    assert not await links.waiting()


async def test_a_link_ends_after_a_day(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    links = SetupLinks(catalog.secrets)
    monkeypatch.setattr("imgserve.access.accounts._LINK_SECONDS", 0)
    token = await links.create()
    assert not await links.waiting()
    assert not await links.valid(token)
    assert not await links.use(token)
