"""How long secrets are compared does not depend on how much of a guess is right: measured, next to a naive comparison.

Inputs are measured in random order in one run, so that all meet the same interruptions by other programs. The
statistic is how often one takes longer than another, over all pairs: half of them if there is no difference. One input
is measured twice, which shows the noise of the run: 0.02 on a busy machine. The bounds are six standard deviations or
more.
"""

import gc
import operator
import random
import string
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from argon2 import PasswordHasher
from cachetools import LRUCache
from prometheus_client import CollectorRegistry

from imgserve.access import accounts
from imgserve.access.accounts import Passwords, Role, new_account
from imgserve.access.keys import key_digest
from imgserve.access.limiter import RateLimiter
from imgserve.access.sessions import Sessions
from imgserve.catalog import Accounts, Database
from imgserve.metrics import Metrics
from imgserve.transform.signing import sign, verify
from tests.access_rig import KEY, AccountsInMemory, access_of

Check = Callable[[str], object]
"""Returns something true for the secret alone."""
SECRET = "a secret of this test, of which nobody knows a letter"  # noqa: S105  of a test


def times(inputs: Sequence[Callable[[], object]], rounds: int) -> list[list[int]]:
    """Return the nanoseconds that each call takes, measured in turn, in random order."""
    taken: list[list[int]] = [[] for _ in inputs]
    order = list(range(len(inputs)))
    gc.disable()
    try:
        for _ in range(rounds):
            random.shuffle(order)  # each is as often the one after the slowest, which leaves caches cold
            for index in order:
                started = time.perf_counter_ns()
                inputs[index]()
                taken[index].append(time.perf_counter_ns() - started)
    finally:
        gc.enable()
    return taken


def other(text: str) -> str:
    """Return text of the same kind that differs in every character."""
    kinds = ("0123456789", "abcdef", "ghijklmnopqrstuvwxyz", string.ascii_uppercase, "-_")
    return text.translate({ord(one): two for kind in kinds for one, two in zip(kind, kind[1:] + kind[0], strict=True)})


def difference(one: Sequence[int], other: Sequence[int]) -> float:
    """Return how far apart two distributions are: |AUC - 0.5|, from the U of Mann and Whitney; 0 to 0.5."""
    sorted_other = sorted(other)
    wins = sum(bisect_left(sorted_other, value) + bisect_right(sorted_other, value) for value in one) / 2
    return abs(wins / (len(one) * len(other)) - 0.5)


def without_suspending(call: Coroutine[Any, Any, object]) -> object:
    """Run a coroutine that waits for nothing."""
    try:
        call.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the coroutine waits for something")


class Everything(LRUCache[str, None]):
    """A cache that contains every hash."""

    def __contains__(self, key: object) -> bool:
        return True


def keys() -> tuple[str, Check]:
    """Return the hash of a key, and the check of one."""
    access = access_of()
    access.ring._unknown = Everything(1)  # the catalog is not asked about unknown keys
    return key_digest(KEY), lambda digest: without_suspending(access._identify(digest))


def signatures() -> tuple[str, Check]:
    """Return the signature of a URL, and the check of one."""
    path, query = b"/img/a.png", b"width=200"
    return sign(SECRET, path, query), lambda text: verify([SECRET], path, query + b"&signature=" + text.encode())


def tokens() -> tuple[str, Check]:
    """Return the token of a session, and the check of one."""
    sessions = Sessions(AccountsInMemory(secret=SECRET), idle=60, longest=60)
    return sessions.token("session a"), lambda text: sessions.is_token("session a", text)


def cookies() -> tuple[str, Check]:
    """Return the cookie of a session, which ends with its signature, and the check of one."""
    jane = new_account("jane", Role.ADMIN, None)
    sessions = Sessions(AccountsInMemory(jane, secret=SECRET), idle=60, longest=60)
    return sessions.text(sessions.begin(jane)), sessions.read


def naive(secret: str, text: str) -> bool:
    """Compare as a beginner would: up to the first difference."""
    return all(map(operator.eq, secret, text))


@pytest.mark.parametrize("kind", [keys, signatures, tokens, cookies])
def test_a_guess_takes_as_long_however_much_of_it_is_right(kind: Callable[[], tuple[str, Check]]) -> None:
    secret, check = kind()
    fixed = secret.rpartition(".")[0]  # of a cookie, whose first part is no secret
    tail = secret.removeprefix(fixed)
    near, far = fixed + tail[:-2] + other(tail[-2:]), fixed + other(tail)
    assert [bool(check(text)) for text in (secret, near, far)] == [True, False, False]
    inputs: list[Callable[[], object]] = [partial(check, text) for text in (near, far, far)]
    inputs += [partial(naive, tail, text.removeprefix(fixed)) for text in (near, far)]
    nearly, wrong, again, slow, quick = times(inputs, 3000)
    noise = difference(wrong, again)
    assert difference(nearly, wrong) < noise + 0.1, noise
    assert difference(slow, quick) > noise + 0.1, noise


def test_a_login_takes_as_long_for_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_HASHER", PasswordHasher(time_cost=1, memory_cost=4096))  # more rounds in less time
    known = AccountsInMemory(
        new_account("jane", Role.ADMIN, SECRET), new_account("proxied", Role.ADMIN, None), secret=SECRET
    )
    limiter = RateLimiter(None, Metrics(CollectorRegistry()))
    passwords = Passwords(known, Accounts(Database("sqlite:////nowhere/catalog.sqlite")), limiter, "")

    async def attempt(name: str) -> None:
        assert await passwords.verify(name, "wrong", address="192.0.2.1") is None

    async def naive(name: str) -> None:
        if known.find(name) is not None:
            await attempt(name)

    with start_blocking_portal() as portal:
        calls = [(attempt, name) for name in ("jane", "jane", "nobody", "proxied")]
        inputs = [partial(portal.call, call, name) for call, name in [*calls, (naive, "nobody")]]
        wrong, again, unknown, without_password, skipped = times(inputs, 100)
    noise = difference(wrong, again)
    assert difference(wrong, unknown) < noise + 0.25, noise
    assert difference(wrong, without_password) < noise + 0.25, noise
    assert difference(wrong, skipped) > noise + 0.25, noise
