"""Marks and texts on pictures, looked at pixel by pixel."""

from urllib.parse import quote

import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.errors import MarkNotFound, UnreadableMark
from imgserve.model import Limits, Rendition
from imgserve.pipeline.load import recognize
from imgserve.pipeline.mezzanine import Decoded, draft_reduced
from imgserve.pipeline.order import Order, between
from imgserve.pipeline.probe import read_header
from imgserve.pipeline.render import draft, finished, render, render_chain
from imgserve.transform import parse_query
from tests.pictures import animation, color_at, encoded, near, noise, opened, quarters

WHITE, BLACK, GRAY, RED = (255, 255, 255), (0, 0, 0), (128, 128, 128), (255, 0, 0)
SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4">
<rect width="2" height="4" fill="red"/><rect x="2" width="2" height="4"/></svg>"""


def flat(*color: int, width: int = 100, height: int = 80) -> pyvips.Image:
    space = "srgb" if len(color) > 2 else "b-w"
    return (pyvips.Image.black(width, height, bands=len(color)) + list(color)).cast("uchar").copy(interpretation=space)


def rendition(image: pyvips.Image | bytes, query: str, mark: pyvips.Image | bytes = b"") -> Rendition:
    data, logo = (each if isinstance(each, bytes) else encoded(each, "png") for each in (image, mark))
    marks = {"logo": logo} if logo else {}
    return render(data, parse_query(f"format=png&{query}", strict=True).transform, marks=marks)


def made(image: pyvips.Image | bytes, query: str, mark: pyvips.Image | bytes = b"") -> pyvips.Image:
    return opened(rendition(image, query, mark).data)


def ink(image: pyvips.Image, background: tuple[int, ...] = WHITE) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what is not background."""
    left, top, width, height = image.find_trim(threshold=20, background=list(background))
    return left, top, left + width, top + height


LOGO = flat(*RED, 255, width=20, height=10)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", (75, 65, 95, 75)),
        ("mark-align=top,left", (5, 5, 25, 15)),
        ("mark-align=center&mark-w=0.5", (25, 27, 75, 52)),
        ("mark-w=40&width=50&enlarge=0", (5, 15, 45, 35)),
        ("mark-w=20&mark-pad=5&width=50&height=40&dpr=2", (50, 50, 90, 70)),
        ("mark-w=20&mark-pad=5&width=0.5&dpr=2", (50, 50, 90, 70)),
        ("mark-rot=90&mark-align=top,left", (5, 5, 15, 25)),
        ("mark-x=3&mark-y=4&fit=fill&width=60&height=60", (3, 4, 23, 14)),
        ("rotate=90", (55, 85, 75, 95)),
    ],
)
def test_a_mark_is_where_it_belongs(query: str, expected: tuple[int, int, int, int]) -> None:
    assert ink(made(flat(*WHITE), f"mark=logo&{query}", LOGO)) == expected


@pytest.mark.parametrize(
    ("below", "mark", "query", "expected"),
    [
        (GRAY, (255, 0, 0, 255), "", RED),
        (GRAY, (255, 0, 0, 128), "", (192, 64, 64)),
        (GRAY, RED, "mark-alpha=50", (192, 64, 64)),
        (GRAY, (255, 0, 0, 128), "mark-alpha=50", (160, 96, 96)),
        (GRAY, RED, "mark-alpha=0", GRAY),
        (GRAY, (255, 128, 0), "mark-blend=multiply", (128, 64, 0)),
        (GRAY, (255, 128, 0), "mark-blend=screen", (255, 192, 128)),
        ((64, 192, 128), (255, 128, 0), "mark-blend=overlay", (128, 192, 1)),
        (GRAY, (255, 128, 0, 128), "mark-blend=multiply", (128, 96, 64)),
        ((128,), (64,), "", (64,)),
        ((128,), RED, "", RED),
        (GRAY, (64, 255), "", (64, 64, 64)),
        ((0, 0, 0, 0), (255, 0, 0, 128), "", (255, 0, 0, 128)),
        ((0, 0, 255, 255), (255, 0, 0, 128), "", (128, 0, 127, 255)),
        ((0, 0, 0, 0), RED, "format=jpg", RED),
    ],
)
def test_the_colors_of_mark_and_picture_mix(
    below: tuple[int, ...], mark: tuple[int, ...], query: str, expected: tuple[int, ...]
) -> None:
    query = f"mark=logo&mark-pad=0&mark-w=1.0&{query}"
    result = made(flat(*below), query.replace("format=jpg", "bg=white"), flat(*mark, width=10, height=8))
    assert near(color_at(result, 0.5, 0.5), expected, 2)
    assert result.bands == len(expected)


def test_a_mark_changes_nothing_around_it() -> None:
    photograph = noise(300, 200)
    result = made(photograph, "mark=logo&mark-x=30&mark-y=40&mark-alpha=70", LOGO)
    changed = (result.cast("short") - photograph.cast("short")).abs()
    assert changed.draw_rect([0] * 3, 30, 40, 20, 10, fill=True).max() == 0
    assert changed.crop(30, 40, 20, 10)[0].min() > 0
    expected = photograph.crop(30, 40, 20, 10) * 0.3 + [255 * 0.7, 0, 0]
    assert (result.crop(30, 40, 20, 10) - expected).abs().max() < 2


def test_a_grid_covers_the_whole_picture() -> None:
    result = made(flat(*WHITE), "mark=logo&mark-tile=grid&mark-pad=10", LOGO)
    covered = result[1] < 128
    assert 0.25 < covered.avg() / 255 < 0.42
    for left, top in ((0, 0), (50, 0), (0, 40), (70, 60)):
        assert covered.crop(left, top, 30, 20).max() == 255
    turned = made(flat(*WHITE), "mark=logo&mark-tile=grid&mark-pad=10&mark-rot=30", LOGO)
    assert 0.1 < (turned[1] < 128).avg() / 255 < 0.42


def test_a_vector_is_drawn_at_the_size_of_the_mark() -> None:
    row = made(flat(*WHITE, width=400, height=100), "mark=logo&mark-w=80&mark-pad=0&mark-align=left", SVG)[0]
    values = [row(x, 50)[0] for x in range(80)]
    assert values == [255] * 40 + [0] * 40


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (animation([(255, 0, 0), (0, 0, 255)]), RED),
        (encoded(flat(*RED).colourspace("cmyk"), "jpg"), RED),
        (encoded((flat(*RED).cast("ushort") * 257).copy(interpretation="rgb16"), "png"), RED),
        (encoded(flat(0), "png", palette=True, bitdepth=1), BLACK),
    ],
    ids=["animation", "cmyk", "deep", "bilevel"],
)
def test_every_kind_of_original_can_be_a_mark(data: bytes, expected: tuple[int, ...]) -> None:
    result = made(flat(*WHITE), "mark=logo&mark-w=0.9&mark-align=center", data)
    assert near(color_at(result, 0.5, 0.5), expected, 40)


def test_a_mark_is_upright() -> None:
    sideways = quarters(60, 40).copy()
    sideways.set_type(pyvips.GValue.gint_type, "orientation", 6)
    result = made(flat(*WHITE), "mark=logo&mark-pad=0&mark-align=top,left", encoded(sideways, "jpg", Q=95))
    assert near(color_at(result.crop(0, 0, 40, 60), 0.25, 0.25), (30, 30, 220), 40)


def test_every_frame_of_an_animation_has_the_mark() -> None:
    moving, marks = animation([(0, 255, 0), (0, 0, 255)]), {"logo": encoded(LOGO, "png")}
    data = render(moving, parse_query("mark=logo&text=x").transform, marks=marks).data
    frames = opened(data, n=-1)
    assert frames.get("n-pages") == 2
    assert all(near(frames(40, 54 + 64 * number)[:3], RED, 12) for number in range(2))


def test_an_indexed_original_has_room_for_the_colors_of_the_mark() -> None:
    result = made(encoded(flat(255), "png", palette=True, bitdepth=1), "mark=logo", LOGO)
    assert near(color_at(result, 0.85, 0.88), RED, 2)


def test_a_mark_has_the_colors_of_the_profile_that_a_picture_keeps() -> None:
    wide = flat(*GRAY).icc_transform("p3", input_profile="srgb")
    result = made(encoded(wide, "png", keep="icc"), "mark=logo&profile=origin", LOGO)
    assert result.get("icc-profile-data")
    assert near(color_at(result, 0.85, 0.88), (234, 51, 35), 3)
    shown = result.icc_transform("srgb", embedded=True)
    assert near(color_at(shown, 0.85, 0.88), RED, 4)


@pytest.mark.parametrize("query", ["mark=logo", "text=Hi", "mark=logo&text=Hi&mark-w=0.9"])
def test_a_picture_with_something_on_it_is_not_the_original(query: str) -> None:
    plain = encoded(flat(*WHITE), "png")
    assert rendition(plain, query, LOGO).data != rendition(plain, "").data


def test_the_smallest_picture_has_the_mark() -> None:
    assert near(color_at(made(flat(*WHITE), "width=1&height=1&mark=logo", LOGO), 0, 0), RED, 2)


def test_a_mark_covers_a_text() -> None:
    query = "text=XXXXXX&text-size=60&text-align=center&text-background=blue"
    result = made(flat(*WHITE), f"{query}&mark=logo&mark-w=1.0&mark-pad=0&mark-align=center", LOGO)
    assert near(color_at(result, 0.5, 0.5), RED, 2)


@pytest.mark.parametrize("data", [b"", b"no image", encoded(LOGO, "png")[:60]], ids=["empty", "foreign", "cut"])
def test_a_mark_that_is_no_picture_is_named(data: bytes) -> None:
    transform = parse_query("mark=logo").transform
    with pytest.raises(UnreadableMark) as caught:
        render(encoded(flat(*WHITE), "png"), transform, marks={"logo": data})
    assert caught.value.members == {"mark": "logo"}
    with pytest.raises(MarkNotFound):
        render(encoded(flat(*WHITE), "png"), transform)


def test_a_mark_may_not_be_larger_than_the_limits() -> None:
    transform, marks = parse_query("mark=logo").transform, {"logo": encoded(flat(*RED, width=300), "png")}
    with pytest.raises(UnreadableMark, match="original_pixels"):
        render(encoded(flat(*WHITE), "png"), transform, limits=Limits(original_pixels=10_000), marks=marks)


def test_a_mark_comes_over_what_was_made_of_a_mezzanine() -> None:
    data, limits = encoded(noise(1600, 1200), "jpg"), Limits()
    transform = parse_query("width=400&format=png&mark=logo&mark-w=0.25&text=Hello").transform
    order = Order(transform, limits, marks={"logo": encoded(LOGO, "png")})
    known = recognize(data, limits)
    header = read_header(known, limits)
    drafted = draft_reduced(Decoded(known, header).mezzanine(), order)
    assert drafted is not None
    reduced, direct = (opened(finished(one, order.encoders).data) for one in (drafted, draft(known, header, order)))
    assert ((reduced.cast("short") - direct.cast("short")) ** 2).avg() < 20
    assert near(color_at(reduced, 0.9, 0.93), RED, 2)


def test_each_step_of_a_chain_has_its_mark() -> None:
    marks = {"logo": encoded(LOGO, "png"), "other": encoded(flat(0, 0, 255, width=20, height=10), "png")}
    first, last = (
        parse_query(query).transform
        for query in ("mark=logo&mark-align=top,left", "width=50&format=png&mark=other&mark-w=10")
    )
    order = Order(between(first), marks=marks)
    known = recognize(encoded(flat(*WHITE), "png"), order.limits)
    result = opened(render_chain(draft(known, read_header(known, order.limits), order), [last], order).data)
    assert near(result(6, 5), RED, 40)
    assert near(result(40, 32), (0, 0, 255), 4)


PAGE = flat(*WHITE, width=300, height=200)


def test_a_text_has_its_color_and_size() -> None:
    result = made(PAGE, "text=HHH&text-size=40&text-color=c00000")
    left, top, _, bottom = ink(result)
    assert 25 < bottom - top < 33
    assert near((192, 0, 0), result(left + 2, top + 4), 3)
    faint = made(PAGE, "text=HHH&text-size=40&text-color=80000000")
    assert faint[0].min() == pytest.approx(127, abs=3)


@pytest.mark.parametrize(
    ("query", "edges"),
    [
        ("text-align=top,left", (5, 5, None, None)),
        ("text-align=top,right", (None, 5, 295, None)),
        ("text-align=bottom,right&text-pad=20", (None, None, 280, 180)),
        ("text-x=30&text-y=40", (30, 40, None, None)),
        ("text-x=8000&text-y=8000", (None, None, 300, 200)),
        ("text-size=20&width=150&height=100&dpr=2", (10, None, None, 190)),
        ("text-size=20&width=0.5&dpr=2", (10, None, None, 190)),
    ],
)
def test_a_text_is_where_it_belongs(query: str, edges: tuple[int | None, ...]) -> None:
    found = ink(made(PAGE, f"text=H&{query}"))
    assert all(edge is None or abs(seen - edge) <= 1 for seen, edge in zip(found, edges, strict=True)), found


@pytest.mark.parametrize("width", ["60", "0.2"])
def test_lines_end_at_a_width(width: str) -> None:
    left, top, right, bottom = ink(made(PAGE, f"text=Some+words+here&text-size=20&text-width={width}"))
    assert right - left <= 60
    assert bottom - top > 40


def test_a_text_that_does_not_fit_is_made_smaller() -> None:
    words = "+".join(["words"] * 80)
    left, top, right, bottom = ink(made(PAGE, f"text={words}&text-size=200"))
    assert 5 <= left < right <= 295
    assert 5 <= top < bottom <= 195
    assert bottom - top > 120


@pytest.mark.parametrize(
    "text",
    ["Größe", "Ελλάδα", "Привет", "שלום", "مرحبا", "नमस्ते", "你好", "😀👩‍🚀", "\U000f0000", "<b>&amp;</b>", "a\nb"],
)
def test_every_script_leaves_ink(text: str) -> None:
    left, top, right, bottom = ink(made(PAGE, f"text-size=40&text={quote(text)}"))
    assert right - left > 10
    assert bottom - top > 20


def test_markup_is_text() -> None:
    plain, marked = (ink(made(PAGE, f"text-size=20&text={text}")) for text in ("xbx", "%3Cb%3Ex%3C/b%3E"))
    assert marked[2] > plain[2] + 40


@pytest.mark.parametrize(("align", "side"), [("left", 0), ("right", 2)])
def test_lines_from_right_to_left_are_aligned_as_requested(align: str, side: int) -> None:
    result = made(PAGE, f"text=%D7%A9%D7%9C%D7%95%D7%9D%0A%D7%A9&text-size=40&text-align=top,{align}")
    _, top, _, bottom = ink(result)
    upper, lower = (
        ink(result.crop(0, start, 300, (bottom - top) // 2)) for start in (top, top + (bottom - top) // 2 + 4)
    )
    assert abs(upper[side] - lower[side]) <= 6


def test_outline_shadow_and_box_surround_a_text() -> None:
    page = flat(*GRAY, width=300, height=200)
    plain = ink(made(page, "text=Hi&text-size=60&text-align=center"), GRAY)
    outlined = made(page, "text=Hi&text-size=60&text-align=center&text-line=4&text-line-color=ffffff")
    around = ink(outlined, GRAY)
    assert all(3 <= abs(one - other) <= 6 for one, other in zip(plain, around, strict=True))
    assert near(color_at(outlined, (plain[0] - 2) / 299, 0.5), WHITE, 8)
    shaded = ink(made(page, "text=Hi&text-size=60&text-align=center&text-color=fff&text-shadow=6"), GRAY)
    assert shaded[2] > plain[2]
    boxed = made(page, "text=Hi&text-size=60&text-align=center&text-background=0000ff&text-color=fff")
    assert near(color_at(boxed, (plain[0] - 10) / 299, 0.5), (0, 0, 255), 2)
    assert ink(boxed, GRAY)[2] - ink(boxed, GRAY)[0] == pytest.approx(plain[2] - plain[0] + 42, abs=2)


def test_an_unknown_font_is_reported() -> None:
    assert rendition(PAGE, "text=Hi&text-font=no+such+font").notes == (
        "text-font: no such font is not installed, the default font is used",
    )
    assert rendition(PAGE, "text=Hi&text-font=DejaVu+Sans,bold").notes == ()
    regular, bold = (ink(made(PAGE, f"text=Hello&text-size=40&text-font=sans-serif{style}")) for style in ("", ",bold"))
    assert bold[2] > regular[2]


@pytest.mark.parametrize("text", ["%20", "%E2%80%8B", "%0A%0A"])
def test_a_text_without_ink_leaves_the_picture(text: str) -> None:
    assert made(PAGE, f"text={text}&text-background=red&text-size=40").min() == 255


@settings(max_examples=20, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.just("\n"), min_size=1, max_size=60),
    st.integers(1, 1000),
    st.sampled_from([(1, 1), (40, 30), (300, 2), (2, 300)]),
    st.sampled_from(["", "&text-line=50&text-shadow=10", "&text-background=80ff0000&text-pad=8192", "&text-width=1"]),
)
def test_no_text_is_too_much(text: str, size: int, canvas: tuple[int, int], more: str) -> None:
    width, height = canvas
    result = rendition(flat(*GRAY, width=width, height=height), f"text={quote(text)}&text-size={size}{more}")
    assert (result.width, result.height) == canvas
