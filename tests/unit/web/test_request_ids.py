"""Request ids: unique, of one length."""

from imgserve.web.middleware import RequestIds


def test_ids_differ_within_and_between_processes() -> None:
    one, other = RequestIds(), RequestIds()
    drawn = [ids.draw() for ids in (one, other) for _ in range(100)]
    assert len(set(drawn)) == 200
    assert {len(drawn_id) for drawn_id in drawn} == {16}
