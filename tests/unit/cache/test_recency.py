"""Collected uses."""

from imgserve.cache.ledger import Recency


def test_uses_are_handed_over_once() -> None:
    recency = Recency()
    recency.touch("a")
    recency.touch("b")
    recency.touch("a")
    used = recency.take()
    assert sorted(used, key=lambda path: used[path]) == ["b", "a"]
    assert recency.take() == {}


def test_many_uses_are_due_at_once_and_few_are_not() -> None:
    recency = Recency()
    recency.touch("a")
    assert not recency.due
    for number in range(600):
        recency.touch(str(number))
    assert recency.due
    recency.take()
    assert not recency.due


def test_the_time_never_stands_still() -> None:
    recency = Recency()
    times = [recency.now() for _ in range(1000)]
    assert times == sorted(set(times))
