"""Counts of abuse in bounded memory, and the security log."""

import json
import random
from collections import Counter
from dataclasses import replace

import pytest

from imgserve.access.abuse import Finished, HeavyHitters, SecurityLog

REJECTED = Finished("bad_signature", "192.0.2.1", b"", "a.jpg", "shop", "key:k1", "r1", b"/img/a.jpg", 100)


@pytest.mark.parametrize("capacity", [10, 50, 1000])
def test_frequent_subjects_are_found_and_no_count_is_too_large(capacity: int) -> None:
    chance = random.Random(7)
    stream = [f"rare{number}" for number in range(3000)] + ["a"] * 900 + ["b"] * 700
    chance.shuffle(stream)
    table, true = HeavyHitters(capacity), Counter(stream)
    for subject in stream:
        table.add(subject)
    found = dict(table.certain())
    assert len(found) <= capacity
    assert {"a", "b"} <= found.keys()
    assert all(count <= true[subject] for subject, count in found.items())
    assert found["a"] >= true["a"] - len(stream) / capacity


def test_without_eviction_counts_are_exact() -> None:
    table = HeavyHitters(2)
    table.add("a", 5)
    table.add("b")
    table.add("a", 2)
    assert dict(table.certain()) == {"a": 7, "b": 1}


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [json.loads(one.getMessage()) for one in caplog.records if one.name == "imgserve.security"]


def test_a_rejection_is_one_line_of_json(caplog: pytest.LogCaptureFixture) -> None:
    log = SecurityLog(clock=lambda: 784111777.5)
    log.write(replace(REJECTED, path=b"/img/\xff\n.jpg"))
    assert lines(caplog) == [
        {
            "time": "1994-11-06T08:49:37.500Z",
            "event": "rejected",
            "code": "bad_signature",
            "client": "192.0.2.1",
            "key_id": "k1",
            "site": "shop",
            "request_id": "r1",
            "path": "/img/\\xff\n.jpg",
        }
    ]
    assert "\n" not in caplog.records[0].getMessage()


def test_a_flood_is_summarized_each_second(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    log = SecurityLog(clock=lambda: now[0])
    for _ in range(1000):
        log.write(REJECTED)
    assert [line["event"] for line in lines(caplog)] == ["rejected"] * 20
    now[0] = 101.0
    log.summarize()
    log.summarize()
    assert len(lines(caplog)) == 21
    assert lines(caplog)[-1] | {"time": ""} == {
        "time": "",
        "event": "omitted",
        "number": 980,
        "codes": {"bad_signature": 980},
    }
    log.write(REJECTED)
    assert len(lines(caplog)) == 22
