"""Accounts and the link of the first one, in each database."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from imgserve.access.accounts import SetupLinks
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
