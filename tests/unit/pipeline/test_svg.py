"""An SVG that is passed on draws, and does nothing else."""

import pytest

from imgserve.errors import UnreadableImage
from imgserve.pipeline.svg import sanitize

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="10" height="10"'


def sanitized(inside: str, attributes: str = "") -> str:
    return sanitize(f"{HEAD} {attributes}>{inside}</svg>".encode()).decode()


@pytest.mark.parametrize(
    "inside",
    [
        '<rect width="4" height="4" fill="#f00" />',
        '<use href="#shape" />',
        '<use xlink:href="#shape" />',
        '<rect fill="url(#paint)" style="stroke:url( \'#line\' );opacity:.5" />',
        '<image href="data:image/png;base64,AAAA" />',
        "<style>.a{fill:red}</style>",
        '<text xml:space="preserve">one &amp; two</text>',
        '<linearGradient id="paint"><stop offset="0" stop-color="red" /></linearGradient>',
    ],
)
def test_what_draws_stays(inside: str) -> None:
    assert inside in sanitized(inside)


@pytest.mark.parametrize(
    ("inside", "secret"),
    [
        ("<script>alert(1)</script>", "alert"),
        ("<SCRIPT>alert(1)</SCRIPT>", "alert"),
        ('<script xmlns="http://www.w3.org/1999/xhtml">alert(1)</script>', "alert"),
        ('<rect onclick="alert(1)" />', "alert"),
        ('<rect ONLOAD="alert(1)" />', "alert"),
        ("<foreignObject><body xmlns='http://www.w3.org/1999/xhtml'>html</body></foreignObject>", "html"),
        ('<a href="javascript:alert(1)"><rect /></a>', "alert"),
        ('<use href="https://evil.example/x.svg#a" />', "evil"),
        ('<use xlink:href="//evil.example/x.svg#a" />', "evil"),
        ('<image href="https://evil.example/x.png" />', "evil"),
        ('<image href="file:///etc/passwd" />', "passwd"),
        ('<image href="data:image/svg+xml;base64,AAAA" />', "data:"),
        ('<image href="data:text/html,hi" />', "data:"),
        ('<rect fill="url(https://evil.example/p)" />', "evil"),
        ('<rect style="fill:url( &quot;//evil.example/p&quot; )" />', "evil"),
        ("<style>@import 'https://evil.example/x.css';</style>", "evil"),
        ("<style>.a{background:url(https://evil.example)}</style>", "evil"),
        ("<style>.a{background:u\\72l(https://evil.example)}</style>", "evil"),
        ("<style>.a{fill:red}<b>@import 'evil'</b></style>", "evil"),
        ('<set attributeName="href" to="javascript:alert(1)" />', "alert"),
        ('<animate attributeName="href" values="javascript:alert(1)" />', "alert"),
        ("<!-- secret comment --><rect />", "secret"),
        ('<?xml-stylesheet href="https://evil.example/x.css"?><rect />', "evil"),
        ("<metadata>camera serial</metadata>", "serial"),
        ('<rect xml:base="https://evil.example/" />', "evil"),
        ('<iframe src="https://evil.example/" />', "evil"),
    ],
)
def test_what_runs_loads_or_leads_elsewhere_goes(inside: str, secret: str) -> None:
    assert secret not in sanitized(inside)


def test_what_runs_goes_from_the_root_too() -> None:
    assert "alert" not in sanitized("<rect />", 'onload="alert(1)"')


@pytest.mark.parametrize(
    "data",
    [
        b"<svg",
        b"<html></html>",
        b'<!DOCTYPE svg [<!ENTITY a "aaaa">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
        b'<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
        b"\xff\xfe\x00",
        b"<?xml version='1.0' encoding='nonsense'?><svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
)
def test_what_cannot_be_read_safely_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableImage):
        sanitize(data)


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="too deep"):
        sanitized("<g>" * 5000 + "<rect />" + "</g>" * 5000)
