"""The pages of images and of the trash in a real Chromium: browsing, uploads, many images at once, and who may what."""

import re
from collections.abc import Callable, Iterator

import pytest
import pyvips
from playwright.sync_api import FilePayload, expect

from tests.admin import Open, confirm, ids_below, picture, put
from tests.browser import People, staffed
from tests.management import Api
from tests.pictures import encoded
from tests.prefork import PATIENCE
from tests.servers import elsewhere

DROP = """([type, files]) => {
    const given = new DataTransfer();
    for (const [name, bytes] of files) given.items.add(new File([new Uint8Array(bytes)], name, {type: 'image/png'}));
    const event = type === 'paste' ? new ClipboardEvent(type, {clipboardData: given, bubbles: true, cancelable: true})
        : new DragEvent(type, {dataTransfer: given, bubbles: true, cancelable: true});
    document.body.dispatchEvent(event);
}"""

WATCH = """() => {
    [window.atOnce, window.shown] = [0, new Set()];
    new MutationObserver(() => {
        const rows = [...document.querySelectorAll('#uploads [data-state=busy]')];
        const texts = rows.map((row) => row.querySelector('small').textContent);
        window.atOnce = Math.max(window.atOnce, texts.filter((text) => text !== 'waiting').length);
        rows.forEach((row, index) => {
            const part = row.querySelector('progress').position.toFixed(3).slice(0, 3);
            window.shown.add(`${row.querySelector('span').textContent} ${texts[index]} ${part}`);
        });
    }).observe(document.body, {childList: true, subtree: true});
}"""
"""Records what the list of uploads has shown: how many at once, and the progress of each in words and in its bar."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Serve a picture elsewhere, for uploads by URL."""
    with elsewhere(picture(900), "image/png") as found:
        yield found


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Api]:
    """Serve an empty folder, with an account of each role."""
    env = {"IMGSERVE_UPLOADS__FETCH_NETWORKS": "127.0.0.1/32", "IMGSERVE_UPLOADS__FETCH_PORTS": str(port)}
    with staffed(tmp_path_factory.mktemp("originals"), env=env) as found:
        yield found


def test_a_long_id_is_shown_to_its_end(api: Api, opened: Open) -> None:
    put(api, "long/products/A-1234/front-view.png")
    name = opened("images?q=front-view").locator(".picture b").first
    assert name.evaluate("one => [one.scrollWidth - one.clientWidth, one.scrollHeight - one.clientHeight]") == [0, 0]


def test_images_are_found_by_folder_words_and_filters(api: Api, opened: Open) -> None:
    put(api, "browse/a/red.png", "browse/a/blue.jpg", "browse/b/c/green.png", "browse/top.png")
    page = opened("images?prefix=browse/&sort=id")
    expect(page.locator("#totals")).to_contain_text("4 images")
    expect(page.locator(".folders a")).to_have_text(["a", "b"])
    page.get_by_role("link", name="a", exact=True).click()
    expect(page.locator(".crumbs")).to_contain_text("browse")
    expect(page.locator(".picture b")).to_have_count(2)
    assert set(page.locator(".picture b").all_text_contents()) == {"blue.jpg", "red.png"}
    page.get_by_label("Search", exact=True).press_sequentially("blu")
    expect(page.locator(".picture b")).to_have_text(["blue.jpg"])
    page.wait_for_url("**q=blu*")
    page.get_by_label("Format").select_option("png")
    expect(page.get_by_role("heading", name="No image matches")).to_be_visible()
    expect(page.locator("#totals")).to_contain_text("0 images")
    page.locator(".crumbs").get_by_role("link", name="browse").click()
    expect(page.locator(".picture")).to_have_count(4)


def test_more_images_are_loaded_when_the_end_is_in_view_and_without_scripts_by_a_link(api: Api, opened: Open) -> None:
    put(api, *(f"many/{number:02}.png" for number in range(25)))
    page = opened("images?prefix=many/&sort=id&limit=10")
    for number in (20, 25):
        page.locator(".more").scroll_into_view_if_needed()
        expect(page.locator(".picture")).to_have_count(number)
    expect(page.locator(".picture b")).to_have_text([f"{number:02}.png" for number in range(25)])
    expect(page.locator(".more")).to_have_count(0)
    plain = opened("images?prefix=many/&sort=id&limit=20", java_script_enabled=False)
    plain.get_by_role("button", name="Load more").click()
    expect(plain.locator(".picture b")).to_have_text([f"{number:02}.png" for number in range(20, 25)])


def test_pictures_have_placeholders_until_they_are_loaded(api: Api, opened: Open) -> None:
    put(api, "placeholder/a.png")
    page = opened("images")
    held = list[Callable[[], None]]()
    page.route("**/img/placeholder/a.png*", lambda route: held.append(route.continue_))
    page.goto(f"{api.served.base_url}/admin/images?prefix=placeholder/", wait_until="domcontentloaded")
    frame = page.locator(".frame")
    expect(frame).to_have_css("background-image", re.compile("data:image/png"))
    held[0]()
    expect(frame).to_have_css("background-image", "none")


def test_files_are_uploaded_into_the_folder_with_their_results(api: Api, opened: Open, people: People) -> None:
    put(api, "in/taken.png")
    people.announce("409", "415")
    page = opened("images?prefix=in/")
    files = {"new.png": picture(1), "same.png": picture(1), "taken.png": picture(2), "bad.png": b"no picture"}
    payload: list[FilePayload] = [
        {"name": name, "mimeType": "image/png", "buffer": data} for name, data in files.items()
    ]
    page.set_input_files("#files", payload)
    rows = page.locator("#uploads li")
    expect(rows.filter(has_text="bad.png")).to_have_attribute("data-state", "failed")
    expect(rows.filter(has_text="taken.png").get_by_role("button", name="Retry")).to_be_visible()
    expect(page.locator("#uploads header")).to_contain_text("2 uploaded, 2 failed")
    expect(page.locator(".picture")).to_have_count(len(ids_below(api, "in/")))
    assert {"in/new.png", "in/taken.png"} <= set(ids_below(api, "in/"))
    before = api.record("in/taken.png")["sha256"]
    rows.filter(has_text="taken.png").get_by_role("button", name="Replace").click()
    expect(rows.filter(has_text="taken.png")).to_contain_text("replaced in/taken.png")
    assert api.record("in/taken.png")["sha256"] != before
    page.locator("#uploads").get_by_role("button", name="Close").click()
    expect(page.locator("#uploads")).to_be_hidden()


def test_three_files_are_uploaded_at_once_with_their_progress(api: Api, opened: Open) -> None:
    page = opened("images?prefix=slow/")
    network = page.context.new_cdp_session(page)
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 300_000}
    network.send("Network.emulateNetworkConditions", limits)
    data = [encoded(pyvips.Image.gaussnoise(500, 500, seed=number), "png") for number in range(5)]
    files: list[FilePayload] = [
        {"name": f"{number}.png", "mimeType": "image/png", "buffer": buffer} for number, buffer in enumerate(data)
    ]
    page.evaluate(WATCH)
    page.set_input_files("#files", files)
    expect(page.locator("#uploads header")).to_contain_text("5 uploaded", timeout=1000 * PATIENCE)
    at_once, shown = page.evaluate("[atOnce, [...shown]]")
    assert at_once == 3
    assert [one for one in shown if re.fullmatch(r"0\.png [1-9]\d? % 0\.[1-9]", one)], shown
    assert len(ids_below(api, "slow/")) == 5


@pytest.mark.parametrize(
    ("kind", "name", "stored"),
    [("drop", "a b%.png", "a b%.png"), ("paste", "image.png", "pasted-"), ("paste", "photo.png", "photo.png")],
)
def test_pictures_are_dropped_and_pasted(api: Api, opened: Open, kind: str, name: str, stored: str) -> None:
    folder = f"{kind}-{name[:1]}"
    page = opened(f"images?prefix={folder}/")
    page.evaluate(DROP, [kind, [[name, list(picture(len(folder) * 7 + ord(name[0])))]]])
    expect(page.locator("#uploads li")).to_contain_text(f"uploaded as {folder}/{stored}")
    expect(page.locator(".picture")).to_have_count(1)
    assert ids_below(api, folder)[0].startswith(f"{folder}/{stored}")


def test_pictures_are_uploaded_by_url(opened: Open, people: People, port: int) -> None:
    people.announce("422")
    page = opened("images?prefix=fetched/")
    page.get_by_role("button", name="Upload from URLs").click()
    form = page.locator("#urls")
    form.get_by_label("URLs").fill(f"http://127.0.0.1:{port}/x.png\nhttp://127.0.0.1:1/y.png")
    form.get_by_role("button", name="Upload").click()
    expect(page.locator("#uploads li").first).to_contain_text("uploaded as fetched/x.png")
    expect(page.locator("#uploads li").last).to_have_attribute("data-state", "failed")


def test_selected_images_are_tagged_deleted_and_restored(api: Api, opened: Open) -> None:
    put(api, *(f"select/{name}.png" for name in "abcde"))
    page = opened("images?prefix=select/&sort=id")
    page.get_by_label("Select select/b.png").click()
    page.get_by_label("Select select/d.png").click(modifiers=["Shift"])
    bar = page.locator("#chosen")
    expect(bar).to_contain_text("3 selected")
    bar.get_by_role("button", name="Tag").click()
    page.locator("#tagging").get_by_label("Add").fill("new, shiny\nred")
    page.locator("#tagging").get_by_role("button", name="Tag").click()
    expect(page.get_by_text("Changed the tags of 3 images")).to_be_visible()
    assert api.record("select/c.png")["tags"] == ["new, shiny", "red"]
    assert api.record("select/a.png")["tags"] == []
    page.get_by_label("Select select/c.png").click()
    bar.get_by_role("button", name="Delete").click()
    confirm(page, "Cancel")
    bar.get_by_role("button", name="Delete").click()
    confirm(page, "Delete")
    expect(page.locator(".picture")).to_have_count(3)
    assert ids_below(api, "select/") == ["select/a.png", "select/c.png", "select/e.png"]
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Restored 2 images")).to_be_visible()
    expect(page.locator(".picture")).to_have_count(5)
    assert api.record("select/b.png")["tags"] == ["new, shiny", "red"]


def test_all_images_of_a_filter_are_warmed_purged_and_moved(api: Api, opened: Open) -> None:
    put(api, *(f"filter/{number}.png" for number in range(7)), "filter/other.jpg")
    page = opened("images?prefix=filter/&format=png&limit=3")
    page.get_by_role("button", name="Select all").click()
    bar = page.locator("#chosen")
    expect(bar).to_contain_text("7 selected")
    bar.get_by_role("button", name="Warm").click()
    page.locator("#warming").get_by_label("Parameters").fill("width=33&format=png")
    page.locator("#warming").get_by_role("button", name="Warm").click()
    expect(page.get_by_text("Rendered 7 pictures")).to_be_visible()
    bar.get_by_role("button", name="Purge").click()
    confirm(page, "Purge")
    expect(page.get_by_text(re.compile(r"Purged \d+ renditions of 7 images"))).to_be_visible()
    bar.get_by_role("button", name="Move").click()
    page.locator("#moving").get_by_label("To the folder").fill("moved here/2026")
    page.locator("#moving").get_by_role("button", name="Move").click()
    expect(page.get_by_text("Moved 7 images to moved here/2026/")).to_be_visible()
    assert len(ids_below(api, "moved here/2026/")) == 7
    assert ids_below(api, "filter/") == ["filter/other.jpg"]


def test_the_trash_restores_and_deletes_permanently(api: Api, opened: Open) -> None:
    put(api, "gone/a.png", "gone/b.png", "gone/c.png")
    for name in "abc":
        assert api.ask("DELETE", f"/api/images/gone/{name}.png").status_code == 200
    page = opened("trash")
    page.get_by_role("button", name="Restore gone/a.png").click()
    expect(page.get_by_text("Restored gone/a.png")).to_be_visible()
    assert ids_below(api, "gone/") == ["gone/a.png"]
    page.get_by_role("button", name="Delete gone/b.png permanently").click()
    confirm(page, "Delete permanently")
    expect(page.get_by_role("row").filter(has_text="gone/b.png")).to_have_count(0)
    viewer = opened("trash", "viewer")
    expect(viewer.get_by_role("row").filter(has_text="gone/c.png")).to_be_visible()
    assert viewer.locator("main").get_by_role("button").count() == 0
    page.get_by_role("button", name="Empty the trash").click()
    confirm(page, "Delete permanently")
    expect(page.get_by_role("heading", name="The trash is empty")).to_be_visible()
    assert api.get("/api/trash")["items"] == []


def test_a_viewer_can_only_look(api: Api, opened: Open) -> None:
    put(api, "seen/a.png")
    page = opened("images?prefix=seen/", "viewer")
    expect(page.locator(".picture b")).to_have_text(["a.png"])
    assert page.locator("#files, #chosen, .pick, [data-select], #urls").count() == 0
    page.evaluate(DROP, ["drop", [["x.png", list(picture(5))]]])
    page.wait_for_function("new Promise(done => setTimeout(() => done(true), 200))")
    assert page.locator("#uploads").count() == 0
    assert ids_below(api, "seen/") == ["seen/a.png"]
