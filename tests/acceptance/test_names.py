"""Any file name that a file system allows is served under its own, percent-encoded name."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.pictures import encoded, opened, quarters
from tests.servers import Server, server, settled

PICTURE = encoded(quarters(40, 30), "jpg")

NAMES: list[str | bytes] = [
    "plain.jpg",
    "deeply/nested/folder/a.jpg",
    "two words.jpg",
    "Crème brûlée.jpg",
    "日本/写真 ①.jpg",
    "🏔.jpg",
    "100%.jpg",
    "100%25.jpg",
    "%2e%2e%2fa.jpg",
    "a+b.jpg",
    'it\'s "quoted".jpg',
    "name.svg[scale=20]",
    "{a,b}.jpg",
    "-rf.jpg",
    "--output=x.jpg",
    "a?b#c&d=e.jpg",
    "back\\slash.jpg",
    "semi;colon:and|pipe<tag>.jpg",
    "no extension",
    "UPPER.JPG",
    "dots...in.the.middle.jpg",
    "tab\there.jpg",
    "new\nline.jpg",
    "new line at the end.jpg\n",
    "trailing space ",
    "~tilde~.jpg",
    "$HOME`id`.jpg",
    "picture.txt",
    "x" * 250 + ".jpg",
    b"latin-1 \xe9t\xe9.jpg",
    b"\xff\xfe\x80.jpg",
    b"surrogate \xed\xa0\x80.jpg",
]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("named")
    for name in NAMES:
        settled(folder / os.fsdecode(name), PICTURE)
    with server(folder, "--workers", "1") as served:
        yield served


def _address(name: str | bytes) -> str:
    return "/img/" + quote(name)


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_picture_of_any_name_is_served(named: Server, name: str | bytes) -> None:
    answer = named.get_exactly(_address(name) + "?width=20&format=png")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png"), answer.body
    assert (opened(answer.body).width, opened(answer.body).height) == (20, 15)


def test_a_plus_sign_in_a_path_is_a_plus_sign_and_no_space(named: Server) -> None:
    assert named.get_exactly("/img/a+b.jpg").status == 200
    assert named.get_exactly("/img/two+words.jpg").status == 404


def test_an_escape_is_decoded_once(named: Server) -> None:
    assert named.get_exactly("/img/100%2525.jpg").status == 200
    assert named.get_exactly("/img/100%25.jpg").status == 200
    assert named.get_exactly("/img/100%252525.jpg").status == 404


def test_needless_escapes_name_the_same_picture(named: Server) -> None:
    plain, escaped = named.get_exactly("/img/plain.jpg"), named.get_exactly("/img/%70lain%2Ejpg")
    assert (plain.status, escaped.status) == (200, 200)
    assert plain.headers["etag"] == escaped.headers["etag"]


def test_case_of_a_name_matters(named: Server) -> None:
    assert named.get_exactly("/img/Plain.jpg").status == 404


def test_a_composed_name_is_found_by_its_decomposed_form(named: Server) -> None:
    assert named.get_exactly(_address("Cre\u0300me bru\u0302le\u0301e.jpg")).status == 200


@pytest.mark.parametrize(
    "target",
    [
        b"/img/\xe9.jpg",
        b"/img/%",
        b"/img/%zz.jpg",
        b"/img/%f.jpg",
        b"/img/%ff%fe%fd",
        b"/img/%ed%b3%bf.jpg",
        b"/img/" + b"x" * 256 + b".jpg",
        b"/img/" + b"y/" * 3000 + b"z.jpg",
        b"/img/a.jpg;v=1",
    ],
    ids=lambda target: repr(target[:20]),
)
def test_a_name_that_no_file_has_is_never_a_server_error(named: Server, target: bytes) -> None:
    assert named.get_exactly(target).status in {400, 404}


def test_a_picture_of_a_strange_name_can_be_saved_under_a_name_that_a_header_can_hold(named: Server) -> None:
    answer = named.get_exactly(_address(b"latin-1 \xe9t\xe9.jpg") + "?download")
    assert answer.headers["content-disposition"].startswith('attachment; filename="latin-1 t.jpg"')


def test_the_welcome_page_lists_strange_names_as_text_and_not_as_markup(tmp_path: Path) -> None:
    for name in ("<b>&.jpg", "$version.jpg", os.fsdecode(b"\xff.jpg")):
        settled(tmp_path / name, PICTURE)
    with server(tmp_path) as served:
        answer = served.get("/")
        addresses = [part.partition("?")[0] for part in answer.text.split('<img src="')[1:]]
        shown = [served.get(address) for address in addresses]
    assert answer.status_code == 200
    assert "<b>" not in answer.text
    assert sorted(addresses) == ["/img/%24version.jpg", "/img/%3Cb%3E%26.jpg", "/img/%FF.jpg"]
    assert [picture.status_code for picture in shown] == [200, 200, 200]
