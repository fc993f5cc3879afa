"""The browser of the tests: which mistakes of a page it reports, so that other tests fail by them."""

import pytest

from tests.browser import SCREENSHOTS, People
from tests.servers import Server

SCRIPT = "document.head.append(Object.assign(document.createElement('script'), {textContent: '1'}))"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("1", ""),
        ("console.log('fine')", ""),
        ("console.error('lost')", "lost"),
        ("console.warn('odd')", "odd"),
        ("setTimeout(() => { throw new Error('broken') })", "broken"),
        ("void Promise.reject(new Error('rejected'))", "rejected"),
        (SCRIPT, "Content Security Policy"),
        ("fetch('http://127.0.0.1:9/').catch(() => 0)", "Content Security Policy"),
        ("new Promise(done => Object.assign(new Image(), {src: '/img/none.png', onerror: done}))", "404"),
    ],
)
def test_mistakes_of_a_page_are_reported(site: Server, people: People, script: str, message: str) -> None:
    page = people.open()
    page.goto(f"{site.base_url}/admin/login")
    page.evaluate(script)
    page.wait_for_function("new Promise(done => setTimeout(() => done(true)))")  # what the script has left for later
    mistakes = people.mistakes()
    assert message in mistakes
    assert mistakes.startswith("message not announced: ") == bool(message)
    if message:
        people.announce(message)


def test_an_announced_mistake_that_does_not_happen_is_one(people: People) -> None:
    people.open()
    people.announce("lost")
    assert people.mistakes() == "message announced, but missing: lost"
    people.open().evaluate("console.error('lost')")


def test_what_pages_show_is_stored(site: Server, people: People) -> None:
    for path in ("/", "/admin/login"):
        people.open().goto(site.base_url + path)
    files = people.photograph("test_what_pages_show")
    assert [(file.parent, file.read_bytes()[:4]) for file in files] == [(SCREENSHOTS, b"\x89PNG")] * 2
    for file in files:
        file.unlink()
