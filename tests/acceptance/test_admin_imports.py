"""The pages of imports in a real Chromium: from pasted cells to stored images."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests import image_host
from tests.admin import Late, Open, confirm
from tests.browser import People, staffed
from tests.library_rig import picture
from tests.management import Api

GATE = threading.Event()
RELOAD = "() => htmx.ajax('GET', location.href, {target: '#content', select: '#content', swap: 'outerHTML'})"
FILES = {f"/{number}.jpg": picture(9 * number, "jpg") for number in range(4)}


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with image_host.serving(FILES, gate=GATE) as found:
        yield found


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, host: str) -> Iterator[Api]:
    hooks = {"WEBHOOK_NETWORKS": "127.0.0.1", "WEBHOOK_PORTS": host.rpartition(":")[2], "RETRY_DELAY": "0.1"}
    env = {f"IMGSERVE_IMPORTS__{name}": value for name, value in hooks.items()}
    with staffed(tmp_path_factory.mktemp("originals"), env=image_host.settings(host) | env) as found:
        yield found


def analyzed(page: Page, *rows: tuple[str, str]) -> None:
    """Paste rows, and wait for their analysis."""
    page.get_by_label("Paste cells").fill("\n".join("\t".join(row) for row in (("SKU", "Image URL"), *rows)))
    expect(page.locator("#analysis")).to_be_visible()


def test_pasted_cells_become_images_and_failures_are_tried_again(host: str, opened: Open) -> None:
    page = opened("imports")
    expect(page.get_by_role("heading", name="No imports yet")).to_be_visible()
    rows = [("A-1", f"{host}/0.jpg"), ("A-1", f"{host}/1.jpg"), ("B_2", f"{host}/again.jpg"), ("b c", f"{host}/2.jpg")]
    analyzed(page, *rows, ("A-1", f"{host}/0.jpg"))
    facts = dict(
        zip(page.locator("#totals dt").all_inner_texts(), page.locator("#totals dd").all_inner_texts(), strict=True)
    )
    assert facts == {"rows": "5", "products": "2", "images": "3", "repeated URLs": "1", "invalid rows": "1"}
    expect(page.locator("#rows td.invalid").last).to_contain_text("b c")
    expect(page.locator("#invalid tbody tr")).to_contain_text(["expected letters, digits, dash and underscore"])
    with page.expect_download() as report:
        page.get_by_role("button", name="Download the report").click()
    assert Path(report.value.path()).read_text("utf-8-sig").splitlines()[1].startswith("5,SKU,b c,")
    page.get_by_label("Output of each image").select_option("*")
    page.get_by_role("textbox", name="Parameters").fill("width=20&format=png")
    page.get_by_role("textbox", name="Webhook").fill(f"{host}/hook")
    page.get_by_role("textbox", name="Name").fill("shoes <b>.csv")
    page.get_by_role("button", name="Import 3 images").press("Enter")
    page.wait_for_url("**/admin/imports/*")
    expect(page.get_by_role("heading", name="shoes <b>.csv")).to_be_visible()
    expect(page.locator("#import")).to_have_attribute("data-state", "finished")  # by events
    expect(page.locator("[data-count=stored]")).to_have_text("2")
    failed = page.get_by_role("row").filter(has_text="The server responded with status 404.")
    expect(failed).to_contain_text("B_2")
    picture_in_card = page.locator("#product-A-1 img").first
    picture_in_card.scroll_into_view_if_needed()
    page.wait_for_function("one => one.complete && one.naturalWidth > 0", arg=picture_in_card.element_handle())
    expect(page.get_by_role("row").filter(has_text="the whole import")).to_contain_text("waiting")  # answered with 501
    FILES["/again.jpg"] = picture(77, "jpg")
    failed.get_by_role("button").click()
    expect(page.locator("[data-count=stored]")).to_have_text("3")
    expect(page.locator("#product-B_2 img")).to_have_count(1)
    page.get_by_label("Images in the ZIP").select_option("")
    with page.expect_download() as archive:
        page.get_by_role("button", name="ZIP", exact=True).click()
    assert Path(archive.value.path()).read_bytes()[:2] == b"PK"
    with page.expect_download() as table:
        page.get_by_role("button", name="CSV").click()
    assert "Output Image Urls" in Path(table.value.path()).read_text("utf-8-sig")


def test_an_import_of_a_file_is_deleted_with_its_images(api: Api, host: str, opened: Open) -> None:
    page = opened("imports", "admin")
    file = f"SKU;Image URL\nC;{host}/3.jpg\n".encode("utf-16")
    page.locator("#file").set_input_files({"name": "table.txt", "mimeType": "application/vnd.ms-excel", "buffer": file})
    expect(page.get_by_role("heading", name="Analysis of table.txt")).to_be_visible()
    page.get_by_role("button", name="Import 1 image").click()
    page.wait_for_url("**/admin/imports/*")
    expect(page.locator("#import")).to_have_attribute("data-state", "finished")
    page.get_by_role("link", name="All imports").click()
    row = page.get_by_role("row").filter(has_text="table.txt")
    expect(row).to_contain_text("1 of 1 image")
    row.get_by_role("button", name="Delete").click()
    page.get_by_label("Also delete the images").check()
    page.locator("#deleting").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("The import and 1 image were deleted")).to_be_visible()
    expect(row).to_have_count(0)
    assert api.found("products/C/3.jpg") is None


def test_an_import_is_paused_resumed_and_cancelled(host: str, opened: Open) -> None:
    page = opened("imports")
    analyzed(page, *[("D", f"{host}/late/{number}.jpg") for number in range(9)])
    page.get_by_role("button", name="Import 9 images").click()
    page.wait_for_url("**/admin/imports/*")
    state = page.locator(".lead [data-state]")
    expect(page.locator("[data-count=fetching]")).to_have_text("4")
    page.get_by_role("button", name="Pause").click()
    expect(state).to_have_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(state).to_have_text("running")
    page.get_by_role("button", name="Cancel").click()
    confirm(page, "Cancel the import")
    expect(state).to_have_text("cancelled")
    late = Late(page, "**/retry")
    page.get_by_role("button", name="Retry 5").click()  # four were being fetched
    late.wait()
    page.evaluate(RELOAD)  # the button is replaced while its request runs
    late.arrive()
    GATE.set()
    expect(page.locator("[data-count=failed]")).to_have_text("9")


def started(page: Page, host: str, product: str, *names: str) -> str:
    """Import images from the page of imports, and return the path of the page that follows."""
    analyzed(page, *[(product, f"{host}/{name}") for name in names])
    page.locator("#start > button").click()
    page.wait_for_url(re.compile(r"/admin/imports/\w+$"))
    return urlsplit(page.url).path


def test_the_table_that_is_shown_is_imported(host: str, opened: Open) -> None:
    page = opened("imports")
    analyzed(page, ("shown", f"{host}/none.jpg"))
    late = Late(page, "**/api/imports/analyze")
    page.get_by_label("Paste cells").fill(f"SKU\tImage URL\nlater\t{host}/none.jpg")
    late.wait()
    page.locator("#start > button").click()
    page.wait_for_url("**/admin/imports/*")
    expect(page.locator("#product-shown")).to_be_visible()


def test_a_table_that_was_discarded_is_not_analyzed(host: str, opened: Open) -> None:
    page, sent = opened("imports"), list[str]()
    page.clock.install()
    analyzed(page, ("shown", f"{host}/none.jpg"))
    page.on("request", lambda request: sent.append(request.url))
    page.get_by_label("Paste cells").fill(f"SKU\tImage URL\nlater\t{host}/none.jpg")
    page.get_by_role("button", name="Discard").click()
    page.clock.run_for(2000)
    assert not [url for url in sent if url.endswith("/analyze")]
    expect(page.locator("#analysis")).to_be_hidden()


def test_an_import_is_followed_after_errors_of_a_proxy(host: str, opened: Open, people: People) -> None:
    people.announce("502", "503")
    page = opened("imports")
    page.route("**/events", lambda route: route.fulfill(status=502), times=1)
    reloads = [503]
    page.route(
        re.compile(r"/admin/imports/\w+$"),
        lambda route: (
            route.fulfill(status=reloads.pop())
            if reloads and "hx-request" in route.request.headers
            else route.continue_()
        ),
    )
    started(page, host, "proxy", "none.jpg")
    expect(page.locator("#import")).to_have_attribute("data-state", "finished")
    expect(page.locator("[data-count=failed]")).to_have_text("1")


def test_a_table_stays_while_another_import_is_deleted(host: str, opened: Open) -> None:
    page = opened("imports")
    path = started(page, host, "deleted", "none.jpg")
    page.get_by_role("link", name="All imports").click()
    analyzed(page, ("next", f"{host}/none.jpg"))
    row = page.get_by_role("row").filter(has=page.locator(f"a[href='{path}']"))
    row.get_by_role("button", name="Delete").click()
    page.locator("#deleting").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    expect(page.locator("#analysis")).to_be_visible()
    expect(page.get_by_label("Paste cells")).to_have_value(re.compile("next"))


def test_a_table_that_cannot_be_read_is_reported(opened: Open, people: People) -> None:
    people.announce("400")
    page = opened("imports")
    page.get_by_label("Paste cells").fill("no headers here")
    expect(page.locator(".toast.bad")).to_be_visible()
    expect(page.locator("#analysis")).to_be_hidden()


def test_people_who_may_not_import_do_not_see_the_page(opened: Open, people: People) -> None:
    people.announce("403")
    page = opened("imports", "viewer")
    expect(page.get_by_role("link", name="Imports")).to_have_count(0)
    expect(page.get_by_text(re.compile("scope import"))).to_be_visible()
