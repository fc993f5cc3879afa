"""The tree of errors: what a client is told, and that nothing is lost between processes."""

from collections.abc import Iterator

import pytest

from imgserve.errors import (
    BadCursor,
    BadTransform,
    Busy,
    CatalogUnavailable,
    ConfigError,
    ImageExists,
    ImageNotFound,
    ImgserveError,
    LimitExceeded,
    OriginalChanged,
    RenderCrashed,
    RenderTimeout,
    rebuilt,
)


def _tree(root: type[ImgserveError]) -> Iterator[type[ImgserveError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == root.__module__:
            yield from _tree(child)


ERRORS = sorted(_tree(ImgserveError), key=lambda kind: kind.__name__)
PLAIN = [kind for kind in ERRORS if kind not in {BadTransform, ConfigError}]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_and_a_code_of_its_own(kind: type[ImgserveError]) -> None:
    assert 400 <= kind.status <= 599
    assert kind.code.isidentifier()
    assert kind.code.islower()
    assert [other for other in ERRORS if other.code == kind.code] == [kind]


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.__name__)
def test_an_error_says_its_own_sentence_unless_it_is_given_another(kind: type[ImgserveError]) -> None:
    assert kind().detail == kind.__doc__
    assert kind().detail.endswith(".")
    assert str(kind("Something else.")) == kind("Something else.").detail == "Something else."


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.__name__)
def test_an_error_comes_back_from_another_process_whole(kind: type[ImgserveError]) -> None:
    error = kind("Told.", retry_after=3, members={"limit": 5})
    back = rebuilt(kind, error.detail, error.retry_after, error.members)
    assert type(back) is kind
    assert (back.detail, back.retry_after, back.members, str(back)) == ("Told.", 3, {"limit": 5}, "Told.")


def test_mistakes_come_back_from_another_process_one_by_one() -> None:
    back = rebuilt(BadTransform, "", None, BadTransform(["a: wrong", "b: wrong"]).members)
    assert back.members == {"mistakes": ["a: wrong", "b: wrong"]}
    assert (back.detail, back.status) == ("a: wrong; b: wrong", 400)


def test_mistakes_of_a_configuration_are_a_line_each() -> None:
    error = ConfigError(["a: wrong", "b: wrong"])
    assert (str(error), error.mistakes) == ("a: wrong\nb: wrong", ["a: wrong", "b: wrong"])


def test_members_are_a_copy() -> None:
    members: dict[str, object] = {"size": 1}
    error = ImgserveError(members=members)
    members["size"] = 2
    assert error.members == {"size": 1}


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (ImageNotFound, 404),
        (LimitExceeded, 422),
        (RenderTimeout, 422),
        (RenderCrashed, 422),
        (OriginalChanged, 503),
        (Busy, 503),
        (BadCursor, 400),
        (ImageExists, 409),
        (CatalogUnavailable, 503),
    ],
)
def test_an_error_has_the_status_that_is_written_down(kind: type[ImgserveError], status: int) -> None:
    assert kind.status == status


RELEASED = """
    address_refused bad_cursor bad_host bad_image_id bad_request bad_signature bad_transform body_too_large busy
    catalog_unavailable duplicate_image fetch_failed fetch_too_slow forbidden idempotency_conflict image_exists
    image_not_found internal_error limit_exceeded link_expired method_not_allowed not_found original_changed
    original_denied original_too_large original_unsettled originals_not_served precondition_failed
    range_not_satisfiable read_only_originals render_crashed render_timeout storage_full trash_item_not_found
    unauthorized unavailable unreadable_image unsupported_content unsupported_image
"""


def test_a_code_that_clients_know_stays() -> None:
    assert set(RELEASED.split()) <= {kind.code for kind in ERRORS}
