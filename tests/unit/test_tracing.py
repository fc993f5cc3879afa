"""The spans of one request: bounded in number, and none after its end."""

import contextvars
import time

from imgserve.tracing import Trace, current_trace


def test_spans_have_their_times_parents_and_attributes() -> None:
    trace, started = Trace("ab"), time.perf_counter()
    whole = trace.add("whole", started, attributes={"a": 1})
    trace.add("part", started + 1, started + 2, parent=whole, attributes={})
    first, second = trace.spans
    assert (first.name, first.started, first.parent, first.attributes) == ("whole", started, None, {"a": 1})
    assert started <= first.ended <= time.perf_counter()
    assert (second.started, second.ended, second.parent) == (started + 1, started + 2, 0)


def test_a_request_that_renders_many_pictures_has_a_bounded_number_of_spans() -> None:
    trace = Trace("ab")
    added = [trace.add("one", 0.0, attributes={}) for _ in range(300)]
    assert added == [*range(128), *[None] * 172]


def test_nothing_is_added_after_the_end_of_the_request() -> None:
    trace = Trace("ab", closed=True)
    assert trace.add("late", 0.0, attributes={}) is None
    assert trace.spans == []


def test_a_trace_belongs_to_the_context_of_its_request() -> None:
    contextvars.copy_context().run(current_trace.set, Trace("ab"))
    assert current_trace.get() is None
