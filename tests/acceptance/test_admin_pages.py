"""The admin page in a real Chromium: what people do on it by clicking."""

import re
from collections.abc import Iterator, Mapping

import pytest
from playwright.sync_api import Page, StorageState, expect

from tests.browser import PASSWORD, People, sign_in, staffed
from tests.management import Api
from tests.pictures import encoded, quarters
from tests.servers import Server, settled, until


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Serve a folder, with an account of each role."""
    folder = tmp_path_factory.mktemp("originals")
    settled(folder / "shop/shoe.png", encoded(quarters(), "png"))
    settled(folder / "broken.jpg", b"\xff\xd8\xff no picture")
    with staffed(folder) as found:
        yield found


@pytest.fixture
def admin(api: Api) -> Server:
    return api.served


@pytest.fixture
def jane(admin: Server, people: People, sessions: Mapping[str, StorageState]) -> Page:
    page = people.open(storage_state=sessions["admin"])
    page.goto(f"{admin.base_url}/admin/")
    return page


def test_the_overview_shows_live_figures(admin: Server, jane: Page) -> None:
    expect(jane.get_by_role("heading", name="Overview")).to_be_visible()
    assert jane.locator(".u-wrap canvas").count() == 4
    for width in (100, 200, 300):
        assert admin.get(f"/img/none.jpg?width={width}").status_code == 404
    figure = jane.locator("[data-now=requests]")
    expect(figure).to_have_text(re.compile(r"\d"))


def test_the_overview_counts_the_bytes_of_the_first_picture(admin: Server, jane: Page) -> None:
    sent = len(admin.get("/img/shop/shoe.png?width=7&format=gif").content)
    jane.reload()
    saved = jane.get_by_role("region", name="Bytes saved")
    expect(saved.get_by_role("row").filter(has_text="gif")).to_contain_text(f"{sent} bytes")


def test_a_key_is_created_shown_once_and_revoked(admin: Server, jane: Page) -> None:
    jane.get_by_role("link", name="Access").click()
    jane.get_by_role("button", name="Create a key").first.click()
    form = jane.locator("#new-key")
    form.get_by_label("Name").fill("Web shop")
    form.get_by_label("upload").check()
    form.get_by_label("Only images").fill("shop/, press/")
    form.get_by_role("button", name="Create").click()
    shown = jane.locator("#secret .copy code")
    expect(shown).not_to_be_empty()
    key = shown.inner_text()
    until(lambda: admin.get("/api/images?prefix=shop/", x_api_key=key).status_code == 200)
    assert admin.get("/api/images?prefix=other/", x_api_key=key).status_code == 403
    jane.get_by_role("button", name="Done").click()
    row = jane.get_by_role("row").filter(has_text="Web shop")
    expect(row).to_contain_text("press/")
    assert key not in jane.content()
    jane.get_by_role("button", name="Revoke Web shop").click()
    jane.locator("#confirm").get_by_role("button", name="Revoke").click()
    expect(jane.get_by_role("heading", name="No API keys yet")).to_be_visible()


def test_a_preset_is_created_changed_and_removed(admin: Server, people: People, jane: Page) -> None:
    people.announce("400 (Bad Request)")
    jane.goto(f"{admin.base_url}/admin/presets")
    jane.get_by_role("button", name="Create a preset").click()
    form = jane.locator("#new-preset")
    form.get_by_label("Name").fill("poster")
    form.get_by_label("Parameters").fill("widht=5")
    form.get_by_role("button", name="Create").click()
    expect(jane.get_by_text('did you mean "width"?')).to_be_visible()
    form.get_by_label("Parameters").fill("width=50&locked")
    form.get_by_role("button", name="Create").click()
    row = jane.get_by_role("row").filter(has_text="poster")
    expect(row).to_contain_text("locked: all")
    jane.get_by_role("button", name="Change poster").click()
    changed = jane.locator("#preset")
    expect(changed.get_by_label("Parameters")).to_have_value("width=50&locked")
    changed.get_by_label("Parameters").fill("width=60")
    changed.get_by_role("button", name="Change").click()
    expect(row).to_contain_text("width=60")
    jane.get_by_role("button", name="Remove poster").click()
    jane.locator("#confirm").get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)


def test_an_account_is_created_changed_and_removed(admin: Server, people: People, jane: Page) -> None:
    jane.goto(f"{admin.base_url}/admin/access/accounts")
    jane.get_by_role("button", name="Create an account").click()
    form = jane.locator("#new-account")
    form.get_by_label("Name").fill("bob")
    form.get_by_label("Password").press_sequentially("too short")
    form.get_by_role("button", name="Create").click()
    assert form.locator("input:invalid").count() == 1
    form.get_by_label("Password").fill(PASSWORD)
    form.get_by_role("button", name="Create").click()
    jane.get_by_label("Role of bob").select_option("viewer")
    expect(jane.get_by_text("The role was changed")).to_be_visible()
    bob = people.open()
    sign_in(bob, admin.base_url, "bob")
    expect(bob.locator(".person")).to_contain_text("viewer")
    jane.get_by_role("button", name="Remove bob").click()
    jane.locator("#confirm").get_by_role("button", name="Cancel").click()
    expect(jane.get_by_label("Role of bob")).to_be_visible()
    jane.get_by_role("button", name="Remove bob").click()
    jane.locator("#confirm").get_by_role("button", name="Remove").click()
    expect(jane.get_by_label("Role of bob")).to_have_count(0)


def test_times_have_labels_where_a_table_has_no_header(admin: Server, jane: Page) -> None:
    jane.set_viewport_size({"width": 390, "height": 844})
    jane.goto(f"{admin.base_url}/admin/access/accounts")
    labels = jane.locator("td[data-label]").evaluate_all(
        "cells => cells.map(c => getComputedStyle(c, '::before').content)"
    )
    assert labels[:2] == ['"last login "', '"created "']


def test_the_audit_log_can_be_filtered(admin: Server, jane: Page) -> None:
    jane.goto(f"{admin.base_url}/admin/access/audit")
    jane.get_by_label("What").fill("login")
    jane.get_by_label("What").press("Enter")
    expect(jane.locator("#rows")).to_contain_text("account:admin")
    jane.wait_for_url("**action=login*")
    jane.get_by_label("Who").fill("nobody at all")
    jane.get_by_label("Who").press("Enter")
    expect(jane.get_by_role("heading", name="No entry matches")).to_be_visible()


def test_the_audit_log_says_what_was_done_in_words(api: Api, admin: Server, jane: Page) -> None:
    point = {"x": 0.25, "y": 0.75}
    api.ask("PATCH", "/api/images/shop/shoe.png", json={"alt": "A shoe", "focal_point": point, "tags": []})
    jane.goto(f"{admin.base_url}/admin/access/audit?target=shop/shoe.png")
    entry = jane.locator("#rows tr").first
    expect(entry).to_contain_text("Change the record of an image")
    expect(entry.locator("code")).to_have_text("records_change")
    assert entry.locator(".cut").all_inner_texts() == ["alt A shoe", "focal_point x: 0.25, y: 0.75"]


def test_settings_can_be_filtered(jane: Page) -> None:
    jane.get_by_role("link", name="Settings").click()
    row = jane.get_by_role("row").filter(has=jane.get_by_text("cache.disk_bytes", exact=True))
    jane.get_by_placeholder("Filter by name").fill("disk_bytes")
    expect(row).to_contain_text("10GB")
    jane.get_by_label("Changed only").check()
    expect(jane.get_by_text("No setting matches")).to_be_visible()


def test_the_system_check_lists_its_worst_findings_first(jane: Page) -> None:
    jane.get_by_role("link", name="System check").click()
    states = jane.locator(".check .badge").all_inner_texts()
    assert states == sorted(states, key=["problem", "warning", "ok"].index)


@pytest.mark.parametrize(("name", "seen"), [("viewer", False), ("editor", False), ("admin", True)])
def test_pages_for_admins_are_hidden_from_others(
    admin: Server, people: People, sessions: Mapping[str, StorageState], name: str, *, seen: bool
) -> None:
    page = people.open(storage_state=sessions[name])
    page.goto(f"{admin.base_url}/admin/")
    assert (page.get_by_role("link", name="Settings").count() == 1) == seen
    if not seen:
        people.announce("403")
    for path in ("access", "access/audit", "settings", "system"):
        response = page.goto(f"{admin.base_url}/admin/{path}")
        assert response
        assert response.status == (200 if seen else 403)


def test_the_theme_stays(admin: Server, jane: Page) -> None:
    jane.get_by_label("dark").check()
    jane.goto(f"{admin.base_url}/admin/account")
    expect(jane.locator("html")).to_have_attribute("data-theme", "dark")
    dark = jane.evaluate("getComputedStyle(document.body).backgroundColor")
    jane.get_by_label("light").check()
    assert jane.evaluate("getComputedStyle(document.body).backgroundColor") != dark


def test_a_session_that_has_ended_leads_to_the_login(admin: Server, jane: Page) -> None:
    jane.goto(f"{admin.base_url}/admin/access/audit")
    jane.context.clear_cookies()
    jane.get_by_label("What").fill("login")
    jane.get_by_label("What").press("Enter")
    jane.wait_for_url("**/admin/login")


def test_the_navigation_of_a_phone_opens_and_closes(jane: Page) -> None:
    jane.set_viewport_size({"width": 375, "height": 700})
    link = jane.get_by_role("link", name="Settings")
    expect(link).not_to_be_visible()
    jane.get_by_role("button", name="Menu").press("Enter")
    link.click()
    expect(jane.get_by_role("heading", name="Settings")).to_be_visible()
    assert jane.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_cache_is_listed_and_purged(admin: Server, jane: Page) -> None:
    for width in (40, 50):
        assert admin.get(f"/img/shop/shoe.png?width={width}").status_code == 200
    jane.get_by_role("link", name="Cache").click()
    rows = jane.get_by_role("row").filter(has_text="shop/shoe.png")
    until(
        lambda: rows.count() == 2 or jane.reload() is None
    )  # both the picture and its record are stored a moment later
    rows.filter(has_text="width=50").get_by_role("button").click()
    expect(rows).to_have_count(1)
    jane.get_by_label("Image ids that start with").fill("shop/")
    jane.get_by_label("Image ids that start with").press("Enter")
    jane.locator("#confirm").get_by_role("button", name="Purge").click()
    expect(jane.get_by_text("1 renditions of 1 images were purged")).to_be_visible()
    expect(jane.get_by_text("Nothing is stored on disk yet")).to_be_visible()


def test_problems_are_listed_with_their_reasons(admin: Server, jane: Page) -> None:
    assert admin.get("/img/broken.jpg?width=40").status_code == 422
    jane.get_by_role("link", name="Problems").click()
    for section in ("Files that cannot be served", "Renditions that failed"):
        row = jane.get_by_role("region", name=section).get_by_role("row").filter(has_text="broken.jpg")
        until(lambda row=row: row.count() == 1 or jane.reload() is None)  # type: ignore[misc]  # bound now
        expect(row).to_contain_text("unreadable_image")
