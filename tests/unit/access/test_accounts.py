"""Names, passwords and roles of accounts, and the life of a session."""

import asyncio
from dataclasses import replace

import pytest

from imgserve.access.accounts import (
    SCOPES,
    Role,
    account_name,
    caller_of,
    hash_password,
    name_mistake,
    new_account,
    password_mistake,
)
from imgserve.access.keys import Scope
from imgserve.access.sessions import Session, Sessions
from imgserve.errors import CatalogUnavailable
from tests.access_rig import AccountsInMemory

PASSWORD = "correct horse battery"  # noqa: S105  of a test
JANE = new_account("jane", Role.EDITOR, None)


@pytest.mark.parametrize("text", ["jane", " Jane ", "jane.doe@example.com", "7", "a" * 100])
def test_names_of_accounts(text: str) -> None:
    assert name_mistake(account_name(text)) == ""


@pytest.mark.parametrize("text", ["", "   ", "-a", "a b", "a/b", "jané", "a" * 101, "a\nb", "a\0"])
def test_other_names_are_rejected(text: str) -> None:
    assert "letters, digits" in name_mistake(account_name(text))


@pytest.mark.parametrize(
    ("password", "mistake"),
    [
        ("a" * 11, "at least 12"),
        ("jane@example.com", "must not be the name"),
        (" JANE@example.com", "must not be the name"),
        ("a" * 1001, "at most 1000"),
        ("aaaaaaaaaaaa", ""),
        ("Jane@example.com!", ""),
        ("ü" * 12, ""),
    ],
)
def test_rules_of_passwords(password: str, mistake: str) -> None:
    found = password_mistake("jane@example.com", password)
    assert (mistake in found) if mistake else found == ""


def test_a_password_is_stored_as_a_salted_argon2id_hash() -> None:
    one, other = hash_password(PASSWORD), hash_password(PASSWORD)
    assert one.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert one != other


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        ("viewer", {Scope.READ}),
        ("editor", {Scope.READ, Scope.UPLOAD, Scope.MANAGE, Scope.IMPORT}),
        ("admin", set(Scope)),
        ("king", set()),
    ],
)
def test_what_a_role_may_do(role: str, scopes: set[Scope]) -> None:
    caller = caller_of("jane", role)
    assert {scope for scope in Scope if caller.may(scope)} == scopes
    assert caller.name == "account:jane"
    assert set(SCOPES) == set(Role)


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def sessions(signed_with: str = "a key") -> tuple[Sessions, Clock]:
    clock = Clock()
    return Sessions(AccountsInMemory(JANE, secret=signed_with), idle=3600, longest=86_400, clock=clock), clock


@pytest.mark.parametrize(("seconds", "valid"), [(0, True), (3599, True), (3600, False)])
def test_a_session_ends_when_it_is_not_used(seconds: float, valid: bool) -> None:
    found, clock = sessions()
    text = found.text(found.begin(JANE))
    clock.now += seconds
    assert (found.read(text) is not None) is valid


def test_a_session_that_is_used_is_renewed_until_its_longest_time() -> None:
    found, clock = sessions()
    session: Session | None = found.begin(JANE)
    first, hours = session, 0
    while session is not None:
        assert found.renewed(session) is None
        clock.now += 3000
        hours += 1
        renewed = found.renewed(session)
        assert renewed is not None
        assert first is not None
        assert (renewed.id, renewed.began) == (first.id, first.began)
        session = found.read(found.text(renewed))
    assert hours == 29  # 86400 / 3000, rounded up


def test_a_change_of_the_account_ends_a_session() -> None:
    found, _ = sessions()
    text = found.text(found.begin(JANE))
    accounts = found.accounts
    assert isinstance(accounts, AccountsInMemory)
    changed = replace(JANE, role="admin", changed=JANE.changed.replace(year=2100))
    for later, valid in (([changed], False), ([], False), ([JANE], True)):
        accounts.set(*later)
        assert (found.read(text) is not None) is valid


def test_an_ended_session_ends_with_all_its_renewals_and_no_other() -> None:
    found, clock = sessions()
    session, other = found.begin(JANE), found.begin(JANE)
    clock.now += 3000
    renewed = found.renewed(session)
    assert renewed is not None
    texts = [found.text(one) for one in (session, renewed, other)]
    asyncio.run(found.end(session))
    assert [found.read(text) is not None for text in texts] == [False, False, True]


def test_only_what_was_signed_with_the_secret_for_its_purpose_is_accepted() -> None:
    found, _ = sessions()
    other, _ = sessions("another")
    text, device = found.text(found.begin(JANE)), found.device(JANE)
    for forged in (other.text(other.begin(JANE)), device, "", "x", text[:-1], text.upper(), "." + text):
        assert found.read(forged) is None
    assert found.known_device("jane", device)
    for name, forged in (("jack", device), ("jane", text), ("jane", other.device(JANE)), ("jane", "")):
        assert found.known_device(name, forged) == ""
    assert found.is_token("session 1", found.token("session 1"))
    for subject, forged in (("session 2", found.token("session 1")), ("session 1", other.token("session 1"))):
        assert not found.is_token(subject, forged)


def test_without_the_secret_there_are_no_sessions() -> None:
    found, _ = sessions("")
    assert found.read(sessions()[0].text(sessions()[0].begin(JANE))) is None
    assert not found.is_token("session 1", "")
    with pytest.raises(CatalogUnavailable):
        found.text(found.begin(JANE))
