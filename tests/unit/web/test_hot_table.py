"""The hot table: stored targets, their number, and the tags and bytes that an entry matches."""

from typing import Any

import pytest

from imgserve.cache import RenditionKey
from imgserve.formats import FORMATS
from imgserve.http.headers import CachePolicy
from imgserve.images.locate import CachedStat
from imgserve.images.resolve import RenditionRequest
from imgserve.metrics import PictureTally
from imgserve.model import Original, Rendition
from imgserve.transform import ParsedQuery, Transform
from imgserve.web import hot_table
from imgserve.web.hot_table import TARGET, HotEntry, HotTable, Place
from imgserve.web.respond import Delivery, ImageResponse, Validators, stable_headers

ORIGINAL = Original("a.jpg", "1_2", 2, 1, FORMATS["jpg"], 4, 3, "/o/a.jpg")
PICTURE = Rendition(b"pixels", "image/jpeg", 4, 3)
STAT = CachedStat(ORIGINAL, 100.0)
MODIFIED, NOW = 1_420_070_400, 1_800_000_000
KEY = "0123456789abcdef0123456789abcdef"


def response() -> ImageResponse:
    validators = Validators(KEY, "Thu, 01 Jan 2015 00:00:00 GMT", MODIFIED)
    key = RenditionKey("a.jpg", "1_2", "", "r", "jpg")
    stable = stable_headers(validators, CachePolicy(max_age=60), ())
    request = RenditionRequest(ORIGINAL, Transform(), key, ParsedQuery(Transform()))
    return ImageResponse(request, Delivery(CachePolicy(max_age=60)), validators, stable, "inline", (), [], [])


def scope(target: bytes = b"/img/a.jpg?w=1", *, told: bytes | None = None, **others: object) -> dict[str, Any]:
    path, _, query = target.partition(b"?")
    return {"raw_path": path, "query_string": query, "state": {TARGET: told or target}, **others}


def place(request_scope: dict[str, Any], accept: str = "") -> Place:
    return Place(request_scope, accept, "", [], None)


def entry_of(picture: Rendition | None = PICTURE) -> HotEntry:
    table = HotTable(lambda _: PictureTally())
    table.remember(place(scope(), ""), response(), (STAT,), picture)
    entry = table.find(b"/img/a.jpg?w=1", None)
    assert entry is not None
    return entry


@pytest.mark.parametrize(
    ("request_scope", "target"),
    [
        (scope(), b"/img/a.jpg?w=1"),
        (scope(b"/img/a.jpg"), b"/img/a.jpg"),
        ({**scope(b"/base/img/a.jpg", told=b"/img/a.jpg"), "root_path": "/base"}, b"/img/a.jpg"),
    ],
)
def test_a_response_is_stored_for_the_target_as_sent(request_scope: dict[str, Any], target: bytes) -> None:
    table = HotTable(lambda _: PictureTally())
    table.remember(place(request_scope, ""), response(), (STAT,), PICTURE)
    assert table.find(target, None) is not None


@pytest.mark.parametrize(
    "request_scope",
    [
        {"raw_path": b"/img/a.jpg", "query_string": b""},
        {"raw_path": b"/img/a.jpg", "query_string": b"", "state": {}},
        scope(told=b"http://a/img/a.jpg?w=1"),
        scope(b"/img/a.jpg", told=b"/img/a.jpg?"),
        scope(b"/img/a.jpg", told=b"/img/a.jpg#top"),
        scope(b"/img/" + b"a" * 1020),
    ],
)
def test_nothing_is_stored_without_a_target_or_for_an_unusual_one(request_scope: dict[str, Any]) -> None:
    table = HotTable(lambda _: PictureTally())
    table.remember(place(request_scope, ""), response(), (STAT,), PICTURE)
    assert not table._entries


def test_each_class_of_clients_has_its_own_answer() -> None:
    table = HotTable(lambda _: PictureTally())
    table.remember(place(scope(), "image/webp"), response(), (STAT,), PICTURE)
    found = [table.find(b"/img/a.jpg?w=1", accept) for accept in (None, b"*/*", b"image/webp", b"*/*, image/webp")]
    assert [entry is not None for entry in found] == [False, False, True, True]


def test_the_same_picture_is_stored_once_with_the_latest_stats() -> None:
    table, same, later = HotTable(lambda _: PictureTally()), response(), CachedStat(ORIGINAL, 200.0)
    for stat in (STAT, later):
        table.remember(place(scope(), ""), same, (stat,), PICTURE)
    [entry] = table._entries.values()
    assert entry.is_valid_for(150.0, NOW, {})


def test_the_table_is_bounded_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_table, "_MOST", 16)
    table = HotTable(lambda _: PictureTally())
    for number in range(100):
        table.remember(place(scope(b"/img/%d" % number), ""), response(), (STAT,), PICTURE)
        table.find(b"/", b"image/x-%d" % number)
        assert len(table._entries) <= 16
    assert table.find(b"/img/99", None) is not None
    assert table.find(b"/img/80", None) is None


def test_the_memory_for_accept_headers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_table, "_MOST_ACCEPTS", 16)
    table = HotTable(lambda _: PictureTally())
    for number in range(100):
        table.find(b"/", b"image/x-%d" % number)
        table.find(b"/", b"x" * 2000 + b"%d" % number)
        assert len(table._classes) <= 17
    assert None in table._classes


@pytest.mark.parametrize(("now", "holds"), [(99.9, True), (100.0, False), (101.0, False)])
def test_an_answer_holds_as_long_as_all_it_rests_on(now: float, *, holds: bool) -> None:
    entry = entry_of()
    entry.stats = (CachedStat(ORIGINAL, 500.0), STAT)
    assert entry.is_valid_for(now, NOW, {}) is holds


def test_a_guard_keeps_an_answer_for_those_it_is_for() -> None:
    entry = entry_of()
    entry.admits = lambda fields: b"origin" not in fields
    assert entry.is_valid_for(0.0, NOW, {b"host": b"a"})
    assert not entry.is_valid_for(0.0, NOW, {b"host": b"a", b"origin": b"https://b"})


def test_a_response_waits_while_the_clock_is_before_its_last_modified() -> None:
    entry = entry_of()
    assert entry.is_valid_for(0.0, MODIFIED, {})
    assert not entry.is_valid_for(0.0, MODIFIED - 1, {})


@pytest.mark.parametrize(
    ("tag", "known"),
    [
        (f'"{KEY}-{PICTURE.crc32:08x}"', True),
        (f'"{KEY}-00000000"', True),
        (f'"{KEY}-zzzzzzzz"', True),
        (f'"{KEY}-0000000"', False),
        (f'"{KEY}-000000000"', False),
        (f'"{KEY}-000000 0"', False),
        (f'"{KEY}-a","b"', False),
        (f'"{KEY}-a", "b"', False),
        (f'"{KEY}-0000000é"', False),
        (f'"{KEY}"', False),
        (f'W/"{KEY}-00000000"', False),
        (f'"{KEY[:-1]}0-00000000"', False),
        (f'{KEY}-00000000"', False),
        ("*", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("picture", [PICTURE, None])
def test_one_strong_tag_of_the_picture_is_known_and_of_other_bytes_only_while_its_own_are_unknown(
    picture: Rendition | None, tag: str, *, known: bool
) -> None:
    known = known and (picture is None or tag == f'"{KEY}-{PICTURE.crc32:08x}"')
    assert entry_of(picture).has_tag(tag.encode("latin-1")) is known


def test_a_head_describes_the_bytes_it_was_made_for_alone() -> None:
    head = entry_of().picture
    assert head is not None
    assert head.describes(Rendition(b"pixels", "image/jpeg", 4, 3))
    for other in (
        Rendition(b"others", "image/jpeg", 4, 3),
        Rendition(b"more pixels", "image/jpeg", 4, 3, crc32=PICTURE.crc32),
        Rendition(b"pixels", "image/jpeg", 4, 3, ("first frame only",)),
    ):
        assert not head.describes(other)


def test_other_bytes_get_another_head() -> None:
    table, same = HotTable(lambda _: PictureTally()), response()
    table.remember(place(scope(), ""), same, (STAT,), None)
    [entry] = table._entries.values()
    assert entry.picture is None
    table.remember(place(scope(), ""), same, (STAT,), PICTURE)
    table.remember(place(scope(), ""), same, (STAT,), Rendition(b"others", "image/jpeg", 4, 3))
    assert entry.picture is not None
    assert b"content-length: 6\r\n" in entry.picture.length
    table.remember(place(scope(), ""), same, (STAT,), None)
    assert entry.picture is not None


def test_hits_are_taken_once_by_the_bytes_that_were_sent() -> None:
    table, same = HotTable(lambda _: PictureTally()), response()
    table.remember(place(scope(), ""), same, (STAT,), None)
    assert table.take_hits() == []
    table.remember(place(scope(), ""), same, (STAT,), PICTURE)
    next(iter(table._entries.values())).hits += 2
    assert [(hit.request, hit.crc32, hit.number) for hit in table.take_hits()] == [(same.request, PICTURE.crc32, 3)]
    assert table.take_hits() == []
