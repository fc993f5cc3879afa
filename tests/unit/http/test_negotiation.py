import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.formats import FORMATS
from imgserve.http.headers import accept_class
from imgserve.images.resolve import choose_format

CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
FIREFOX = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
OLD_SAFARI = "image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, ()),
        ("", ()),
        ("*/*", ()),
        ("image/*", ()),
        (CHROME, ("avif", "webp")),
        (FIREFOX, ("avif", "webp")),
        (OLD_SAFARI, ()),
        ("image/webp,*/*", ("webp",)),
        ("image/webp", ("webp",)),
        ("image/avif", ("avif",)),
        ("IMAGE/WEBP ; Q=0.9 , Image/Avif", ("avif", "webp")),
        ("image/webp;q=0.9,image/avif;q=0.8", ("webp", "avif")),
        ("image/webp,image/avif", ("avif", "webp")),
        ("image/webp;q=0, image/*", ()),
        ("image/avif;q=0.0,image/webp", ("webp",)),
        ("image/webp;q=0.5,image/jpeg;q=0.8", ()),
        ("image/webp;q=0.5,image/png;q=0.8", ()),
        ("image/webp;q=0.5,image/*;q=0.8", ()),
        ("image/webp;q=0.5,*/*;q=0.8", ()),
        ("image/webp;q=0.5,image/*;q=0.3,*/*;q=0.9", ("webp",)),
        ("image/webp;q=0.5,image/jpeg;q=0.1,image/png;q=0.1,image/gif;q=0.1,*/*", ("webp",)),
        ("image/webp;q=0.8,image/jpeg;q=0.8", ("webp",)),
        ("image/webp;q=.8,*;q=.2", ("webp",)),
        ("image/webp;level=1", ()),
        ('image/webp;x="a,image/avif"', ()),
        ('text/html;x="a,b", image/webp', ("webp",)),
        ("image/webp;q=high,image/avif;q=1.5,image/avif;q=-1", ()),
        (",,image/webp,;q=1,/,image/", ("webp",)),
        ("image/webp;;", ("webp",)),
        ("image/webp;q=1,image/webp;q=0", ()),
        ('"unclosed, image/webp', ()),
    ],
)
def test_accept_is_reduced_to_a_class(accept: str | None, expected: tuple[str, ...]) -> None:
    assert accept_class(accept) == expected


def test_only_the_first_ranges_of_a_hostile_header_are_read() -> None:
    assert accept_class("a/b," * 2000 + "image/webp") == ()


@given(st.text(st.sampled_from('image/webpavif*,;q=0.15" \\\t\x00é'), max_size=300))
def test_any_accept_header_gives_a_class(accept: str) -> None:
    assert set(accept_class(accept)) <= {"avif", "webp"}


@pytest.mark.parametrize(
    ("accepted", "original", "pixels", "expected"),
    [
        (("avif", "webp"), "jpg", 100, "avif"),
        (("avif", "webp"), "jpg", 101, "webp"),
        (("avif", "webp"), "jpg", 0, "webp"),
        (("webp", "avif"), "jpg", 100, "webp"),
        (("avif",), "jpg", 101, "jpg"),
        (("avif", "webp"), "gif", 100, "webp"),
        (("avif",), "gif", 100, "gif"),
        ((), "jpg", 100, "jpg"),
        ((), "png", 100, "png"),
        ((), "gif", 100, "gif"),
        ((), "webp", 100, "png"),
        ((), "avif", 100, "jpg"),
        ((), "heic", 100, "jpg"),
        ((), "svg", 100, "png"),
        ((), "tiff", 100, "jpg"),
    ],
)
def test_the_first_accepted_format_that_fits_is_chosen(
    accepted: tuple[str, ...], original: str, pixels: int, expected: str
) -> None:
    assert choose_format(accepted, FORMATS[original], pixels, 100).name == expected  # type: ignore[arg-type]
