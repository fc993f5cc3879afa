"""What is answered while a picture takes long: a kept one that shows the same, and that says what it is."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.fault_server import Answer, FaultServer, Stage, staged
from tests.pictures import opened
from tests.servers import until

CHROME = "image/avif,image/webp,image/apng,image/*,*/*;q=0.8"
AVIF_ONLY = "image/avif,*/*;q=0.5"
SOON, LATE = "50ms", "60s"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as stage:
        yield stage


def stands_in(answer: Answer) -> bool:
    return "stand-in" in answer.headers.get("x-image-adjusted", "")


def itself(server: FaultServer, name: str, query: str, **headers: str) -> Answer:
    """Request until the answer is the picture that was asked for."""

    def found() -> Answer | None:
        answer = server.image(name, query, **headers)
        return None if stands_in(answer) else answer

    answer = until(found)
    assert answer is not None
    return answer


def waits(server: FaultServer, name: str, query: str, **headers: str) -> bool:
    """Return whether the picture itself is waited for, which is known when half a second was not enough."""
    with server.frozen():
        asked = server.begin(name, query, **headers)
        time.sleep(0.5)
        waited = not asked.done()
    answer = asked.result()
    assert answer.status in {200, 206}
    assert not stands_in(answer)
    return waited


def test_a_smaller_picture_is_served_while_the_requested_one_is_made(stage: Stage) -> None:
    server = stage.serve(RENDERING__STAND_IN=SOON)
    small = server.image("b.jpg", "w=200")
    with server.frozen():
        answer = server.image("b.jpg", "w=400")
        assert (answer.status, answer.body) == (200, small.body)
        assert answer.headers["x-image-adjusted"].startswith("stand-in: 200x150 jpeg")
        assert answer.headers["cache-control"] == "max-age=5"
        assert answer.headers["etag"] == small.headers["etag"]
        assert answer.outcome == "imgserve; fwd=miss; detail=stand-in"
        assert not {"last-modified", "vary"} & answer.headers.keys()
        assert server.figure("requests_total", outcome="stand_in") == 1
    wanted = itself(server, "b.jpg", "w=400")
    assert opened(wanted.body).width == 400
    assert wanted.headers["cache-control"] == small.headers["cache-control"]
    assert "last-modified" in wanted.headers
    assert wanted.headers["etag"] != small.headers["etag"]
    assert server.renders() == 2


def test_a_stand_in_has_the_tags_by_which_caches_purge_it(stage: Stage) -> None:
    server = stage.serve(RENDERING__STAND_IN=SOON, CDN__TAG_HEADERS="Cache-Tag")
    small = server.image("b.jpg", "w=200&qualty=5")
    with server.frozen():
        answer = server.image("b.jpg", "w=400&qualty=5")
    assert stands_in(answer)
    assert answer.headers["cache-tag"] == small.headers["cache-tag"]
    assert answer.headers["x-image-ignored"] == small.headers["x-image-ignored"]


def test_the_picture_is_finished_though_nobody_waits_for_it(stage: Stage) -> None:
    server = stage.serve(RENDERING__STAND_IN=SOON)
    server.image("b.jpg", "w=200")
    with server.frozen():
        blocking = server.begin("a.png", "w=20")
        until(lambda: server.figure("rendering") == 1)
        assert stands_in(server.image("b.jpg", "w=400"))
        assert server.figure("render_queue") == 1
    assert blocking.result().status == 200
    until(lambda: server.renders() == 3)
    until(lambda: "hit" in server.image("b.jpg", "w=400").outcome)
    assert server.renders() == 3


def test_whoever_leaves_before_the_stand_in_frees_the_place(stage: Stage) -> None:
    server = stage.serve(RENDERING__STAND_IN=LATE)
    server.image("b.jpg", "w=200")
    with server.frozen():
        server.begin("a.png", "w=20")
        until(lambda: server.figure("rendering") == 1)
        leaver = server.leave("b.jpg", "w=400")
        until(lambda: server.figure("render_queue") == 1)
        leaver.close()
        until(lambda: server.figure("render_queue") == 0)
    until(lambda: server.renders() == 2)


def test_stand_ins_are_found_after_a_restart(stage: Stage) -> None:
    first = stage.serve()
    first.image("b.jpg", "w=200")
    assert first.stop() == 0
    server = stage.serve(RENDERING__STAND_IN=SOON)
    with server.frozen():
        assert stands_in(server.image("b.jpg", "w=400"))


def test_without_a_disk_tier_memory_has_them(stage: Stage) -> None:
    server = stage.serve(CACHE__DISK_BYTES=0, RENDERING__STAND_IN=SOON)
    server.image("b.jpg", "w=200")
    with server.frozen():
        assert stands_in(server.image("b.jpg", "w=400"))


def test_a_full_queue_is_answered_with_a_stand_in_where_there_is_one(stage: Stage) -> None:
    server = stage.serve(RENDERING__WAITING=0, RENDERING__STAND_IN=SOON)
    server.image("b.jpg", "w=200")
    with server.frozen():
        blocking = server.begin("a.png", "w=20")
        until(lambda: server.figure("rendering") == 1)
        assert stands_in(server.image("b.jpg", "w=400"))
        assert server.image("b.jpg", "w=100").status == 503
    assert blocking.result().status == 200


def test_webp_is_served_while_avif_is_made(stage: Stage) -> None:
    server = stage.serve(RENDERING__STAND_IN=SOON)
    webp = server.image("b.jpg", "w=200&format=webp")
    with server.frozen():
        answer = server.image("b.jpg", "w=200&auto=format", accept=CHROME)
        assert stands_in(answer)
        assert answer.body == webp.body
        assert answer.headers["content-type"] == "image/webp"
        assert answer.headers["vary"] == "Accept"
        assert answer.headers["content-disposition"] == 'inline; filename="b.webp"'
    wanted = itself(server, "b.jpg", "w=200&auto=format", accept=CHROME)
    assert wanted.headers["content-type"] == "image/avif"


def test_under_load_avif_is_not_even_waited_for(stage: Stage) -> None:
    server = stage.serve(RENDERING__STAND_IN=LATE)
    server.image("b.jpg", "w=200&format=webp")
    with server.frozen():
        others = server.begin_many("a.png", ["w=20", "w=21"])
        until(lambda: server.figure("render_queue") == 1)
        answer = server.image("b.jpg", "w=200&auto=format", accept=CHROME)
        assert (stands_in(answer), answer.headers["content-type"]) == (True, "image/webp")
    assert {other.result().status for other in others} == {200}
    until(lambda: "hit" in server.image("b.jpg", "w=200&auto=format", accept=CHROME).outcome)


def test_nobody_waits_for_a_large_avif_where_a_faster_format_is_acceptable(stage: Stage) -> None:
    server = stage.serve(RENDERING__SLOW_PIXELS="30000")  # 200x150
    small = server.image("b.jpg", "w=200&auto=format", accept=CHROME)
    assert (small.headers["content-type"], stands_in(small)) == ("image/avif", False)
    first = server.image("b.jpg", "w=240&auto=format", accept=CHROME)
    assert (first.headers["content-type"], opened(first.body).width) == ("image/jpeg", 240)
    assert (stands_in(first), first.headers["cache-control"], first.headers["vary"]) == (True, "max-age=5", "Accept")
    assert itself(server, "b.jpg", "w=240&auto=format", accept=CHROME).headers["content-type"] == "image/avif"
    assert server.renders() == 3
    assert server.image("b.jpg", "w=250&format=avif", accept=CHROME).headers["content-type"] == "image/avif"
    part = server.image("b.jpg", "w=260&auto=format", accept=CHROME, range="bytes=0-9")
    assert (part.status, part.headers["content-type"]) == (206, "image/avif")


def test_a_named_format_and_a_client_that_takes_no_other_wait(stage: Stage) -> None:
    server = stage.serve(RENDERING__STAND_IN=SOON)
    server.image("b.jpg", "w=200&format=webp")
    assert waits(server, "b.jpg", "w=210&auto=format", accept=AVIF_ONLY)
    assert waits(server, "b.jpg", "w=200&format=avif", accept=CHROME)


OTHERS = (
    "w=400&h=200", "w=400&h=300&crop=left", "w=400&rotate=180", "w=400&flip=h", "rect=0,0,400,300",
    "w=400&h=300&fit=fill&bg=red", "w=400&format=png", "w=900&enlarge=1", "w=100",
)  # fmt: skip


def test_nothing_else_stands_in(stage: Stage) -> None:
    server = stage.serve(RENDERING__STAND_IN=SOON)
    for kept in ("w=200", "w=200&h=100&crop=top", "w=200&h=150&fit=fill&bg=blue", "w=200&rotate=90"):
        assert server.image("b.jpg", kept).status == 200
    with server.frozen():
        asked = {query: server.begin("b.jpg", query) for query in OTHERS}
        time.sleep(0.5)
        assert [query for query, answer in asked.items() if answer.done()] == []
    answers = {query: answer.result() for query, answer in asked.items()}
    assert {query: answer.status for query, answer in answers.items()} == dict.fromkeys(OTHERS, 200)
    assert [query for query, answer in answers.items() if stands_in(answer)] == []


def test_who_requests_the_bytes_themselves_waits_for_them(stage: Stage) -> None:
    server = stage.serve(RENDERING__STAND_IN=SOON)
    server.image("b.jpg", "w=200")
    assert waits(server, "b.jpg", "w=300", range="bytes=0-9")
    assert waits(server, "b.jpg", "w=301", if_match="*")
    assert waits(server, "b.jpg", "w=302&download=b.jpg")


def test_head_is_answered_as_get_is(stage: Stage) -> None:
    server = stage.serve(RENDERING__STAND_IN=SOON)
    small = server.image("b.jpg", "w=200")
    with server.frozen():
        head, get = (server.image("b.jpg", "w=400", method=method) for method in ("HEAD", "GET"))
    assert (stands_in(head), head.body, head.headers["content-length"]) == (True, b"", str(len(small.body)))
    changing = {"date", "x-request-id", "server-timing"}
    assert head.headers.keys() == get.headers.keys()
    assert all(head.headers[name] == get.headers[name] for name in head.headers.keys() - changing)


def test_who_has_the_stand_in_and_requests_again_gets_the_picture(stage: Stage) -> None:
    server = stage.serve(RENDERING__STAND_IN=SOON)
    server.image("b.jpg", "w=200")
    with server.frozen():
        tag = server.image("b.jpg", "w=400").headers["etag"]
        assert server.image("b.jpg", "w=400", if_none_match=tag).status == 200
    until(lambda: server.renders() == 2)
    wanted = itself(server, "b.jpg", "w=400")
    again = server.image("b.jpg", "w=400", if_none_match=tag)
    assert (again.status, again.body) == (200, wanted.body)
    assert server.image("b.jpg", "w=400", if_none_match=wanted.headers["etag"]).status == 304


def test_by_default_everyone_waits(stage: Stage) -> None:
    server = stage.serve()
    server.image("b.jpg", "w=200")
    assert waits(server, "b.jpg", "w=400")
