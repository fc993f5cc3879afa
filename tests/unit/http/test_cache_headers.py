from typing import Any

import pytest

from imgserve.http.headers import CachePolicy, cache_control, cache_status, server_timing


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (CachePolicy(0), "max-age=0"),
        (CachePolicy(60, s_maxage=600), "max-age=60, s-maxage=600"),
        (
            CachePolicy(60, stale_while_revalidate=30, stale_if_error=0, immutable=True),
            "max-age=60, stale-while-revalidate=30, stale-if-error=0, immutable",
        ),
    ],
)
def test_a_policy_becomes_cache_control(policy: CachePolicy, expected: str) -> None:
    assert cache_control(policy) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"detail": "memory"}, "imgserve; hit; detail=memory"),
        ({"fwd": "miss", "stored": True, "detail": "mezzanine"}, "imgserve; fwd=miss; stored; detail=mezzanine"),
        ({"fwd": "uri-miss", "collapsed": True}, "imgserve; fwd=uri-miss; collapsed"),
        ({"detail": 'a "b" \\ ü'}, 'imgserve; hit; detail="a \\"b\\" \\\\ ?"'),
    ],
)
def test_cache_status_reports_where_an_answer_came_from(arguments: dict[str, Any], expected: str) -> None:
    assert cache_status(**arguments) == expected


def test_server_timing_is_in_milliseconds() -> None:
    assert server_timing({"render": 0.1234, "queue": 0.0}) == "render;dur=123.4, queue;dur=0.0"
