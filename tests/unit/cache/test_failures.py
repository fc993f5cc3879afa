"""What is remembered of a failure: for the picture, or for its whole file."""

import itertools
import time
import traceback

import pytest

from imgserve.cache import FailureCache, RenditionKey
from imgserve.errors import (
    BadTransform,
    Busy,
    ImageNotFound,
    ImgserveError,
    LimitExceeded,
    OriginalChanged,
    OriginalUnsettled,
    RenderCrashed,
    RenderTimeout,
    TooLarge,
    UnreadableImage,
    UnsupportedImage,
)


def key(canonical: str = "w=1", *, image_id: str = "a.jpg", version: str = "1-1") -> RenditionKey:
    return RenditionKey(image_id, version, canonical, "r", "jpg")


def refused(failures: FailureCache, asked: RenditionKey) -> bool:
    try:
        failures.check(asked)
    except ImgserveError:
        return True
    return False


@pytest.mark.parametrize("error", [RenderCrashed(), UnsupportedImage()])
def test_what_is_the_fault_of_the_file_holds_for_every_picture_of_it(error: ImgserveError) -> None:
    failures = FailureCache(60)
    failures.remember(key("w=1"), error)
    assert refused(failures, key("w=1"))
    assert refused(failures, key("w=2"))


@pytest.mark.parametrize("error", [UnreadableImage(), LimitExceeded(), TooLarge(), RenderTimeout()])
def test_what_may_be_the_fault_of_the_size_holds_for_that_picture_alone(error: ImgserveError) -> None:
    failures = FailureCache(60)
    failures.remember(key("w=1"), error)
    assert refused(failures, key("w=1"))
    assert not refused(failures, key("w=2"))


@pytest.mark.parametrize(
    "error", [Busy(), OriginalChanged(), OriginalUnsettled(), ImageNotFound(), BadTransform(["page"]), ImgserveError()]
)
def test_what_may_pass_by_itself_is_forgotten_at_once(error: ImgserveError) -> None:
    failures = FailureCache(60)
    failures.remember(key(), error)
    assert not refused(failures, key())


@pytest.mark.parametrize("error", [RenderCrashed(), UnsupportedImage(), UnreadableImage()])
def test_another_file_or_another_state_of_it_is_not_concerned(error: ImgserveError) -> None:
    failures = FailureCache(60)
    failures.remember(key(), error)
    assert not refused(failures, key(image_id="b.jpg"))
    assert not refused(failures, key(version="2-2"))


def test_two_pictures_of_a_file_over_time_condemn_the_file() -> None:
    failures = FailureCache(60)
    failures.remember(key("w=1"), RenderTimeout())
    failures.remember(key("w=2", image_id="b.jpg"), RenderTimeout())
    assert not refused(failures, key("w=3"))
    failures.remember(key("w=2"), RenderTimeout())
    assert refused(failures, key("w=3"))
    assert not refused(failures, key("w=3", image_id="b.jpg"))


def test_the_error_is_the_one_that_was_remembered_without_its_history() -> None:
    failures = FailureCache(60)
    error = LimitExceeded("The limit frames is 5.")
    for _ in range(5):
        failures.remember(key(), error)
        with pytest.raises(LimitExceeded, match="limit frames") as caught:
            failures.check(key())
        assert len(traceback.extract_tb(caught.value.__traceback__)) == 2


@pytest.mark.parametrize("error", [RenderCrashed(), UnreadableImage()])
def test_a_failure_is_forgotten_after_its_time(error: ImgserveError) -> None:
    failures = FailureCache(0.5)
    failures.remember(key(), error)
    assert refused(failures, key())
    time.sleep(0.51)
    assert not refused(failures, key())


def test_with_no_time_nothing_is_remembered() -> None:
    failures = FailureCache(0)
    failures.remember(key(), RenderCrashed())
    assert not refused(failures, key())


def test_timeouts_far_apart_do_not_add_up() -> None:
    failures = FailureCache(0.05)
    failures.remember(key("w=1"), RenderTimeout())
    time.sleep(0.06)
    failures.remember(key("w=2"), RenderTimeout())
    assert not refused(failures, key("w=3"))


def test_a_flood_of_failures_is_bounded() -> None:
    failures = FailureCache(60)
    for number in itertools.islice(itertools.count(), 12_000):
        failures.remember(key(f"w={number}", image_id=f"{number}.jpg"), RenderCrashed())
    assert not refused(failures, key("w=0", image_id="0.jpg"))
    assert refused(failures, key("w=11999", image_id="11999.jpg"))


def test_timeouts_of_pictures_that_ask_for_much_do_not_speak_against_the_file() -> None:
    failures = FailureCache(60)
    for width in "abcde":
        failures.remember(key(width), RenderTimeout(), modest=False)
        with pytest.raises(RenderTimeout):
            failures.check(key(width))
    failures.check(key("f"))
