"""The page of one image in a real Chromium: focal point, texts, name, file, renditions, and names of any kind."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.admin import Open, confirm, ids_below, picture, put
from tests.browser import People, staffed
from tests.management import Api
from tests.pictures import encoded, quarters
from tests.servers import until

HOSTILE = (
    "<img src=x onerror=alert(1)>.jpg",
    "a 'quoted' \"name\".png",
    "100% & more?x=1#y;z.png",
    "%2e%2e%2fx.png",
    "{{ 7*7 }}{% raw %}.png",
    "ü 漢字 🦊 é.png",
    "+plus+.png",
    "a/purge",
)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("originals")


@pytest.fixture(scope="module")
def api(originals: Path) -> Iterator[Api]:
    """Serve an empty folder, with an account of each role; renditions of new originals are stored at once."""
    with staffed(originals, env={"IMGSERVE_ORIGINALS__SETTLE": "0"}) as found:
        yield found


def described(api: Api, image_id: str, **fields: object) -> None:
    """Store a picture with a record."""
    put(api, image_id)
    assert api.ask("PATCH", f"/api/images/{quote(image_id)}", json=fields).status_code == 200


def position(page: Page, ratio: str) -> list[float]:
    """Return which part of the picture a crop shows, in percent."""
    text = page.locator(f"[data-ratio='{ratio}'] img").evaluate("one => getComputedStyle(one).objectPosition")
    return [float(one) for one in re.findall(r"[\d.]+", text)]


def test_the_focal_point_is_marked_where_it_is(api: Api, opened: Open) -> None:
    described(api, "marked/a.png", focal_point={"x": 0.75, "y": 0.25})
    stage = opened("images/marked/a.png").locator("#stage")
    marker, picture = stage.locator(".point").bounding_box(), stage.locator("img").bounding_box()
    assert marker
    assert picture
    assert marker["x"] + marker["width"] / 2 == pytest.approx(picture["x"] + 0.75 * picture["width"], abs=1)
    assert marker["y"] + marker["height"] / 2 == pytest.approx(picture["y"] + 0.25 * picture["height"], abs=1)
    assert stage.locator(".point").evaluate("one => getComputedStyle(one).borderRadius") == "50%"


def test_texts_tags_and_metadata_are_saved(api: Api, opened: Open) -> None:
    described(api, "text/a.png", title="Old", tags=["x, y"], metadata={"sku": "R-17", "size": {"eu": 42, "us": 9}})
    page = opened("images/text/a.png")
    form = page.locator("#record")
    form.get_by_label("Title").fill("New <b>title</b>")
    form.get_by_label("Alternative text").fill('A "red" shoe')
    form.get_by_label("Tags").fill("x, y\nred")
    pairs = form.locator(".pair")
    pairs.nth(0).get_by_label("Value").fill('{"eu": 43}')
    pairs.nth(1).get_by_label("Value").fill("R-18")
    form.get_by_role("button", name="Add an entry").click()
    pairs.last.get_by_label("Name").fill("__proto__")
    pairs.last.get_by_label("Value").fill("odd")
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    record = api.record("text/a.png")
    assert (record["title"], record["alt"], record["tags"]) == ("New <b>title</b>", 'A "red" shoe', ["red", "x, y"])
    assert record["metadata"] == {"sku": "R-18", "size": {"eu": 43}, "__proto__": "odd"}
    page.get_by_label("Remove the entry").last.click()
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved", exact=True)).to_have_count(2)
    assert api.record("text/a.png")["metadata"] == {"size": {"eu": 43}, "__proto__": "odd"}
    expect(page.locator("#history")).to_have_count(0)


def test_nobody_overwrites_the_change_of_another_person(api: Api, opened: Open, people: People) -> None:
    people.announce("412")
    put(api, "shared/a.png")
    page = opened("images/shared/a.png")
    assert api.ask("PATCH", "/api/images/shared/a.png", json={"title": "Of another person"}).status_code == 200
    page.get_by_label("Title").fill("Mine")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#toasts")).to_contain_text("Somebody has changed this image meanwhile")
    assert api.record("shared/a.png")["title"] == "Of another person"
    page.get_by_role("button", name="Show their changes").click()
    expect(page.get_by_label("Title")).to_have_value("Of another person")
    page.get_by_label("Title").fill("Ours")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    assert api.record("shared/a.png")["title"] == "Ours"


def test_the_focal_point_is_set_by_clicking_and_by_keys(api: Api, opened: Open) -> None:
    assert api.ask("PUT", "/api/images/focus/a.png", content=encoded(quarters(400, 300), "png")).is_success
    page = opened("images/focus/a.png")
    stage = page.locator("#stage")
    assert position(page, "1:1") == [50, 50]
    box = page.locator("#stage img").bounding_box()
    assert box
    stage.click(position={"x": box["width"] * 0.25, "y": box["height"] * 0.5})
    left, top = position(page, "1:1")
    assert top == pytest.approx(50, abs=1)
    assert left == 0  # the square is 0.75 wide, and its center may not be left of 0.375
    expect(page.locator("#point")).to_contain_text("25 % from the left, 50 % from the top")
    for _ in range(2):
        stage.press("Shift+ArrowRight")
    stage.press("ArrowRight")
    stage.press("ArrowUp")
    expect(page.locator("#point")).to_contain_text("46 % from the left, 49 % from the top")
    assert position(page, "1:1")[0] == pytest.approx(100 * (0.46 - 0.375) / 0.25, abs=2)
    assert api.record("focus/a.png")["focal_point"] is None
    page.get_by_role("button", name="Save the focal point").click()
    expect(page.get_by_text("Saved the focal point")).to_be_visible()
    point = api.record("focus/a.png")["focal_point"]
    assert (point["x"], point["y"]) == (pytest.approx(0.46, abs=0.01), pytest.approx(0.49, abs=0.01))
    page.reload()
    expect(page.locator("#point")).to_contain_text("46 % from the left")
    page.get_by_role("button", name="Clear it").click()
    expect(page.get_by_text("Cleared the focal point")).to_be_visible()
    assert api.record("focus/a.png")["focal_point"] is None


def test_an_image_is_moved_deleted_and_restored(api: Api, opened: Open) -> None:
    put(api, "old/a.png")
    page = opened("images/old/a.png")
    page.get_by_role("button", name="Rename or move").click()
    page.get_by_label("New id").fill("new/ü %.png")
    page.get_by_role("button", name="Move", exact=True).click()
    page.wait_for_url("**/admin/images/new/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("ü %.png")
    page.goto(f"{api.served.base_url}/admin/images/old/a.png")
    expect(page.get_by_role("heading", level=1)).to_have_text("ü %.png")
    page.get_by_role("button", name="Delete", exact=True).click()
    confirm(page, "Delete")
    page.wait_for_url("**/admin/images?prefix=new/")
    assert ids_below(api, "new/") == []
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".picture b")).to_have_text(["ü %.png"])
    assert ids_below(api, "new/") == ["new/ü %.png"]


def test_a_file_is_replaced_and_shown_at_once(api: Api, opened: Open) -> None:
    put(api, "file/a.png")
    page = opened("images/file/a.png", "admin")
    before = api.record("file/a.png")["sha256"]
    file: FilePayload = {"name": "b.png", "mimeType": "image/png", "buffer": picture(77)}
    page.set_input_files("#replacement", file)
    expect(page.get_by_text("Replaced the file")).to_be_visible()
    after = api.record("file/a.png")["sha256"]
    assert after != before
    expect(page.locator("#facts ~ dl")).to_contain_text(after)
    expect(page.locator("#history")).to_contain_text("Uploaded by account:admin")
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="Download original").click()
    assert downloaded.value.path().read_bytes() == picture(77)


def test_single_renditions_are_deleted(api: Api, opened: Open) -> None:
    put(api, "made/a.png")
    for width in (31, 32):
        assert api.picture(f"made/a.png?width={width}&format=png").status_code == 200
    page = opened("images/made/a.png")
    rows = page.locator("#renditions tbody tr")
    expect(rows.filter(has_text="width=31")).to_contain_text(re.compile(r"31 . 23\b"))
    page.get_by_role("button", name=re.compile("Delete the rendition .*width=31")).click()
    expect(rows.filter(has_text="width=31")).to_have_count(0)
    expect(rows.filter(has_text="width=32")).to_have_count(1)
    stored = [one["transform"] for one in api.get("/api/renditions/made/a.png")["renditions"]]
    assert not any("width=31" in one for one in stored)
    assert any("width=32" in one for one in stored)


def test_code_that_embeds_the_image_is_copied(api: Api, opened: Open) -> None:
    described(api, "embed/a (1)].png", alt='Red "shoe" <b>[1]')
    page = opened("images/embed/a%20(1)%5D.png", permissions=["clipboard-read", "clipboard-write"])
    url = f"{api.served.base_url}/img/embed/a%20%281%29%5D.png"
    copied = []
    for name in ("Copy URL", "Copy <img>", "Copy Markdown"):
        page.get_by_role("button", name=name).click()
        copied.append(page.evaluate("navigator.clipboard.readText()"))
    assert copied[0] == url
    page.set_content(copied[1])
    assert page.locator("img").evaluate("one => [one.src, one.alt, one.width]") == [url, 'Red "shoe" <b>[1]', 40]
    assert copied[2] == f'![Red "shoe" <b>\\[1\\]]({url})'


def test_images_of_any_name_are_shown_and_every_link_leads_to_them(api: Api, opened: Open) -> None:
    page = opened("images", "admin")
    for number, name in enumerate(HOSTILE):
        is_shown_and_linked(api, page, f"odd {number}/{name}" if "." in name else f"odd/{name}.png")


def is_shown_and_linked(api: Api, page: Page, image_id: str) -> None:
    """Look for an image in its folder, change it on its page, delete it in its folder and undo that."""
    put(api, image_id)
    page.goto(f"{api.served.base_url}/admin/images?prefix={quote(image_id.rpartition('/')[0])}/")
    card = page.locator(".picture a").first
    expect(card.locator("b")).to_have_text(image_id.rpartition("/")[2], use_inner_text=True)
    expect(card.locator("img")).to_have_js_property("naturalWidth", 40)
    card.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(image_id.rpartition("/")[2], use_inner_text=True)
    page.get_by_label("Title").fill("Found")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#history")).to_contain_text("Changed by account:admin")
    assert api.record(image_id)["title"] == "Found"
    expect(page.locator("#renditions tbody tr").first).to_be_visible()
    page.locator("main .lead a").click()
    page.locator(".pick").check()
    page.locator("#chosen").get_by_role("button", name="Delete").click()
    confirm(page, "Delete")
    expect(page.get_by_text("Deleted 1 image")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".picture")).to_have_count(1)
    assert api.record(image_id)["title"] == "Found"


def test_a_viewer_reads_everything_and_changes_nothing(api: Api, opened: Open) -> None:
    described(
        api, "read/a.png", title="Seen", tags=["one", "two"], focal_point={"x": 0.2, "y": 0.3}, metadata={"a": [1]}
    )
    page = opened("images/read/a.png", "viewer")
    for text in ("Seen", "one, two", "20 % from the left, 30 % from the top", "[\n  1\n]"):
        expect(page.locator("main")).to_contain_text(text)
    inside = page.locator("main")
    assert inside.locator("input, textarea, select, #history, [data-rendition], [data-open]").count() == 0
    assert [one.strip() for one in inside.get_by_role("button").all_inner_texts()] == [
        "Download original",
        "Copy URL",
        "Copy <img>",
        "Copy Markdown",
        "Open in the playground",
    ]
    page.locator("#stage").click()
    expect(page.locator("#point")).to_contain_text("20 % from the left")


def test_a_name_that_is_not_utf8_is_shown_and_works(api: Api, opened: Open, originals: Path) -> None:
    (originals / os.fsdecode(b"raw-\xff.png")).write_bytes(picture(5))
    until(lambda: api.ids("?prefix=raw-"))
    page = opened("images?prefix=raw-")
    page.locator(".picture a").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("raw-?.png")
    page.get_by_label("Title").fill("Found")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    assert api.get("/api/images?prefix=raw-")["images"][0]["title"] == "Found"
    page.goto(f"{api.served.base_url}/admin/images?prefix=raw-")
    page.locator(".pick").check()
    page.locator("#chosen").get_by_role("button", name="Tag").click()
    page.locator("#tagging").get_by_label("Add").fill("odd")
    page.locator("#tagging").get_by_role("button", name="Tag").click()
    expect(page.get_by_text("Changed the tags of 1 image")).to_be_visible()
    page.locator("#chosen").get_by_role("button", name="Delete").click()
    confirm(page, "Delete")
    expect(page.get_by_text("Deleted 1 image")).to_be_visible()
    assert api.ids("?prefix=raw-") == []


def test_an_image_that_does_not_exist_is_an_error_page(opened: Open, people: People) -> None:
    people.announce("404")
    page = opened("images/none/here.png")
    expect(page.locator("main")).to_contain_text("image_not_found")
