"""The welcome page in a real Chromium: live pictures, their URLs, and what to do next."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, expect

from tests.browser import People
from tests.pictures import encoded, noise, opened
from tests.servers import Server, server, settled

CONFIG = """
access: {admin: "off"}
signing: {secrets: [0123456789abcdef0123456789abcdef]}
sites: {press: {folder: press, rules: {require: signature}}}
"""


@pytest.fixture(scope="module")
def welcoming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("originals")
    for name in ("a b.jpg", "b.png", "c.webp", "d.jpg"):
        settled(folder / name, encoded(noise(900, 700), name.rpartition(".")[2]))
    with server(folder) as served:
        yield served


@pytest.fixture
def page(welcoming: Server, people: People) -> Page:
    page = people.open(permissions=["clipboard-read", "clipboard-write"])
    page.goto(welcoming.base_url)
    return page


def test_a_slider_changes_the_url_and_the_picture_follows(page: Page) -> None:
    figures = page.locator("figure")
    names = figures.locator("img").evaluate_all("all => all.map(image => image.alt)")
    assert names == ["a b.jpg", "c.webp", "d.jpg"]
    for number, (label, key, size) in enumerate(
        [("width", "Home", (80, 60)), ("height", "End", (640, 480)), ("quality", "Home", (640, 480))]
    ):
        figure = figures.nth(number)
        facts = figure.get_by_role("status")
        expect(facts).to_contain_text("kB")
        before = facts.inner_text()
        slider = figure.get_by_label(label)
        slider.press(key)
        expect(figure.locator("img")).to_have_js_property("naturalWidth", size[0])
        expect(figure.locator("img")).to_have_js_property("naturalHeight", size[1])
        expect(facts).not_to_have_text(before)
        address = figure.locator("code").inner_text()
        assert f"{label}={slider.input_value()}" in address
        assert figure.locator("img").get_attribute("src") == address


def test_the_url_and_the_code_are_copied(welcoming: Server, page: Page) -> None:
    figure = page.locator("figure").first
    figure.get_by_label("width").press("End")
    figure.get_by_role("button").press("Enter")
    expect(figure.get_by_role("button")).to_have_text("Copied")
    url = f"{welcoming.base_url}/img/a%20b.jpg?width=640&aspect=4:3&auto=format"
    assert page.evaluate("navigator.clipboard.readText()") == url
    page.locator(".copied button").click()
    expect(page.locator(".copied button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith(f'<img src="{welcoming.base_url}/img/shoe.jpg')


def test_without_scripts_the_pictures_and_their_urls_are_there(welcoming: Server, people: People) -> None:
    page = people.open(java_script_enabled=False)
    page.goto(welcoming.base_url)
    assert page.locator("figure img").count() == 3
    assert page.get_by_role("slider").count() == page.get_by_role("button").count() == 0


def test_pictures_that_need_a_signature_are_not_shown_and_no_link_leads_nowhere(tmp_path: Path, people: People) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    config.chmod(0o600)
    settled(tmp_path / "originals/press/cup.jpg", encoded(noise(90, 70), "jpg"))
    with server(tmp_path / "originals", "--config", config) as served:
        page = people.open()
        page.goto(served.base_url)
        expect(page.get_by_text("no public picture yet")).to_be_visible()
        assert page.locator("a[href^='/admin']").count() == 0


def test_an_example_follows_its_query_and_lists_mistakes(welcoming: Server, people: People) -> None:
    page = people.open()
    page.goto(f"{welcoming.base_url}/docs")
    zoom = page.locator("#focus-zoom")
    zoom.locator("input").fill("focus-zoom=4&focus-x=0.66&focus-y=0.33&width=90&height=60")
    expect(zoom.locator(".facts")).to_contain_text("JPEG")
    assert zoom.locator("img").evaluate("image => [image.naturalWidth, image.naturalHeight]") == [90, 60]
    zoom.locator("input").fill("format=json")
    expect(zoom.locator("pre")).to_contain_text('"format": "jpg"')


def test_an_example_is_rendered_by_the_server(welcoming: Server) -> None:
    examples = f"{welcoming.base_url}/docs/parameters"
    made = httpx2.get(f"{examples}/travel/aurora.png?width=40&format=auto", headers={"accept": "image/webp"})
    assert (made.status_code, made.headers["content-type"]) == (200, "image/webp")
    assert httpx2.get(f"{examples}/b.png?width=40").status_code == 404  # an original, and no sample picture
    turned = httpx2.get(f"{examples}/mountains.jpg?width=60&then&rotate=90&format=png")
    assert opened(turned.content).height == 60
    mistaken = httpx2.get(f"{examples}/mountains.jpg?width=0")
    assert (mistaken.status_code, mistaken.json()["mistakes"][0].partition(":")[0]) == (400, "width")
