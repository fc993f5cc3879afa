"""What caches are told: for each kind of cache, the requests of a purge."""

import json
import re

import pytest

from imgserve.http.headers import EVERYTHING, image_tag, preset_tag, tags_of
from imgserve.library.cdn import Cloudflare, Drop, Fastly, Hook, PlainPurge, Varnish

SHOE = image_tag("products/shoe.jpg")


def told(hook: Hook, drop: Drop) -> list[tuple[str, str, str]]:
    return [(call.method, call.url, call.body.decode()) for call in hook.calls(drop)]


def test_a_picture_has_the_tags_by_which_it_can_be_dropped() -> None:
    assert tags_of("products/shoe.jpg") == (EVERYTHING, SHOE)
    assert tags_of("products/shoe.jpg", "logo.png") == (EVERYTHING, SHOE, image_tag("logo.png"))
    assert tags_of("products/shoe.jpg", presets=["Card"]) == (EVERYTHING, SHOE, "p-card")


@pytest.mark.parametrize("image_id", ["a b,c", "\udcff", "ü" * 500])
def test_a_tag_is_short_and_safe_whatever_the_id(image_id: str) -> None:
    assert re.fullmatch(r"i-[0-9a-f]{16}", image_tag(image_id))


def test_cloudflare_is_reported_tags_thirty_at_a_time() -> None:
    hook = Cloudflare("zone/1", "secret")
    calls = list(hook.calls(Drop(tuple(map(str, range(61))))))
    assert [len(json.loads(call.body)["tags"]) for call in calls] == [30, 30, 1]
    assert {call.url for call in calls} == {"https://api.cloudflare.com/client/v4/zones/zone%2F1/purge_cache"}
    assert ("authorization", "Bearer secret") in calls[0].headers
    assert "secret" not in repr((hook, calls))


@pytest.mark.parametrize("soft", [True, False])
def test_fastly_is_reported_keys(soft: bool) -> None:
    [call] = Fastly("svc", "secret", soft).calls(Drop(("products/shoe.jpg",), ("p-card",)))
    assert (call.method, call.url) == ("POST", "https://api.fastly.com/service/svc/purge")
    assert json.loads(call.body) == {"surrogate_keys": [SHOE, "p-card"]}
    assert (("fastly-soft-purge", "1") in call.headers) == soft


def test_varnish_is_reported_a_pattern_that_matches_whole_tags() -> None:
    [call] = Varnish("http://varnish").calls(Drop(("products/shoe.jpg",), (preset_tag("card"),)))
    [(name, pattern)] = call.headers
    assert (call.method, name) == ("BAN", "x-cache-tag")
    assert " " not in pattern  # where Varnish would cut it off
    assert re.search(pattern, f"{EVERYTHING}, {SHOE}")
    assert re.search(pattern, f"{EVERYTHING} {SHOE}")
    assert re.search(pattern, f"{EVERYTHING}, i-0, p-card")
    assert not re.search(pattern, f"{EVERYTHING}, {SHOE}0, p-cards")


def test_a_plain_cache_is_reported_paths() -> None:
    hook = PlainPurge("http://cache", "/img")
    assert told(hook, Drop(("a b/ü.jpg",))) == [
        ("PURGE", "http://cache/img/a%20b/%C3%BC.jpg", ""),
        ("PURGE", "http://cache/img/a%20b/%C3%BC.*", ""),
    ]


@pytest.mark.parametrize(
    ("image_id", "beginning"),
    [("a.b/c", "a.b/c*"), ("a.b.jpg", "a.b.*"), ("c", "c*"), ("\udcff.jpg", "%FF.*"), (".c", ".c*")],
)
def test_a_plain_cache_is_reported_all_formats_of_a_picture(image_id: str, beginning: str) -> None:
    assert told(PlainPurge("http://cache", ""), Drop((image_id,)))[1][1] == f"http://cache/{beginning}"


def test_what_no_address_can_name_blocks_nothing_else() -> None:
    drop = Drop(("\ud800", "a"))
    assert len(told(PlainPurge("http://cache", ""), drop)) == 2
    for hook in (Cloudflare("z", "t"), Fastly("s", "t"), Varnish("http://v")):
        assert len(told(hook, drop)) == 1


@pytest.mark.parametrize("drop", [Drop(everything=True), Drop(tags=("p-card",))])
def test_a_plain_cache_drops_everything_where_it_cannot_report(drop: Drop) -> None:
    assert told(PlainPurge("http://cache", ""), drop) == [("PURGE", "http://cache/*", "")]


@pytest.mark.parametrize("hook", [Cloudflare("z", "t"), Fastly("s", "t"), Varnish("http://v")])
def test_everything_is_one_call(hook: Hook) -> None:
    [call] = hook.calls(Drop(everything=True))
    assert EVERYTHING in call.body.decode() + str(call.headers)
