"""Pages in a real Chromium while responses are late, arrive in another order, or are missing."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import FilePayload, expect

from tests.admin import Late, Open, confirm, ids_below, picture, put
from tests.browser import PASSWORD, People, create_account, sign_in, staffed
from tests.management import Api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Serve an empty folder, with an account of each role."""
    with staffed(tmp_path_factory.mktemp("originals")) as found:
        yield found


def file(name: str, number: int) -> FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": picture(number)}


def preset(api: Api, name: str) -> None:
    body = {"name": name, "parameters": "width=5"}
    assert api.ask("POST", "/api/presets", json=body).is_success


def test_changes_are_shown_that_were_made_while_the_page_was_loaded_again(api: Api, opened: Open) -> None:
    put(api, "trash/a.png", "trash/b.png")
    for name in "ab":
        assert api.ask("DELETE", f"/api/images/trash/{name}.png").is_success
    page = opened("trash")
    late = Late(page, "**/admin/trash", times=1)
    page.get_by_role("button", name="Restore trash/a.png").click()
    late.wait()
    with page.expect_response("**/restore"):
        page.get_by_role("button", name="Restore trash/b.png").click()
    late.arrive()  # it still has the other image
    expect(page.get_by_role("row").filter(has_text="trash/")).to_have_count(0)
    assert ids_below(api, "trash/") == ["trash/a.png", "trash/b.png"]


def test_a_dialog_that_was_opened_meanwhile_stays_until_it_is_closed(api: Api, opened: Open) -> None:
    preset(api, "removed")
    page = opened("presets", "admin")
    late = Late(page, "**/admin/presets", times=1)
    page.get_by_role("button", name="Remove removed").click()
    confirm(page, "Remove")
    late.wait()
    page.get_by_role("button", name="Create a preset").click()
    name = page.locator("#new-preset").get_by_label("Name")
    name.fill("written meanwhile")
    late.arrive()
    expect(name).to_have_value("written meanwhile")
    expect(page.locator("#new-preset")).to_be_visible()
    page.locator("#new-preset").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("row").filter(has_text="removed")).to_have_count(0)


def test_a_form_is_sent_once_however_often_enter_is_pressed(opened: Open) -> None:
    page, sent = opened("presets", "admin"), list[str]()
    page.on("request", lambda request: sent.append(request.method))
    late = Late(page, "**/api/presets")
    page.get_by_role("button", name="Create a preset").click()
    form = page.locator("#new-preset")
    form.get_by_label("Name").fill("once")
    for _ in range(2):
        form.get_by_label("Name").press("Enter")
    late.arrive()
    expect(page.get_by_role("row").filter(has_text="once")).to_be_visible()
    assert sent.count("POST") == 1


def test_a_password_is_changed_once_although_the_form_is_sent_twice(api: Api, people: People) -> None:
    create_account(api, "twice", "viewer")
    page, sent = people.open(), list[str]()
    sign_in(page, api.served.base_url, "twice")
    page.goto(f"{api.served.base_url}/admin/account")
    page.get_by_label("Present password").fill(PASSWORD)
    page.get_by_label("New password").fill(f"{PASSWORD} again")
    page.on("request", lambda request: sent.append(request.method))
    again = "form => { form.requestSubmit(); setTimeout(() => form.requestSubmit(), 20); }"
    page.locator("form[action$=password]").evaluate(again)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert sent.count("POST") == 1


def test_the_last_filter_is_shown_and_counted(api: Api, opened: Open) -> None:
    put(api, "last/a.png", "last/b.jpg", "last/c.webp", "last/d.webp")
    page = opened("images")
    count = Late(page, "**/api/totals?*", times=1)
    page.goto(f"{api.served.base_url}/admin/images?prefix=last/")
    count.wait()
    late = Late(page, "**/admin/images?*", times=1)
    page.get_by_label("Format").select_option("png")
    late.wait()
    for name in ("jpg", "webp"):
        page.get_by_label("Format").select_option(name)
    expect(page.locator(".picture")).to_have_count(2)
    page.wait_for_url("**format=webp*")
    page.get_by_role("button", name="Select all").click()
    expect(page.locator("#totals")).to_contain_text("2 images")
    count.arrive()
    expect(page.locator("#totals")).to_contain_text("2 images")
    expect(page.locator("#chosen")).to_contain_text("2 selected")


def test_uploads_leave_filters_and_dialogs_as_they_are(api: Api, opened: Open) -> None:
    put(api, "keep/red.jpg", "keep/blue.png")
    page = opened("images?prefix=keep/")
    late = Late(page, "**/admin/images?*format=jpg*")
    page.get_by_label("Format").select_option("jpg")
    late.wait()
    page.set_input_files("#files", file("green.png", 31))
    expect(page.locator(".picture")).to_have_count(3)
    page.get_by_role("button", name="Select all").click()
    page.locator("#chosen").get_by_role("button", name="Tag").click()
    page.locator("#tagging").get_by_label("Add").fill("written meanwhile")
    late.arrive()
    expect(page.locator(".picture b")).to_have_text(["red.jpg"])
    expect(page.get_by_label("Format")).to_have_value("jpg")
    expect(page.locator("#tagging").get_by_label("Add")).to_have_value("written meanwhile")


def test_images_that_were_loaded_before_a_filter_was_set_do_not_replace_those_of_the_filter(
    api: Api, opened: Open
) -> None:
    put(api, "old/red.png", "old/blue.png")
    page = opened("images?prefix=old/")
    late = Late(page, "**/admin/images?prefix=old/", times=1)
    page.set_input_files("#files", file("green.png", 32))
    late.wait()
    page.get_by_label("Search", exact=True).fill("red")
    expect(page.locator(".picture b")).to_have_text(["red.png"])
    with page.expect_response("**/admin/images?*q=red*"):  # again
        late.arrive()
    expect(page.locator(".picture b")).to_have_text(["red.png"])
    expect(page.get_by_label("Search", exact=True)).to_have_value("red")


def test_a_filter_that_fails_is_reported(opened: Open, people: People) -> None:
    people.announce("503", "ERR_FAILED", "Failed to fetch")
    page = opened("images")
    page.route("**/admin/images?*png*", lambda route: route.fulfill(status=503))
    page.route("**/admin/images?*jpg*", lambda route: route.abort())
    for name, text in (("png", "Service Unavailable"), ("jpg", "Failed to fetch")):
        page.get_by_label("Format").select_option(name)
        expect(page.locator("#toasts")).to_contain_text(text)


def test_the_frame_works_after_going_back_to_another_filter(api: Api, opened: Open) -> None:
    put(api, "back/a.png", "back/b.jpg")
    page = opened("images?prefix=back/", viewport={"width": 375, "height": 700})
    page.get_by_label("Format").select_option("png")
    expect(page.locator(".picture")).to_have_count(1)
    page.go_back()
    expect(page.locator(".picture")).to_have_count(2)
    expect(page.get_by_label("Format")).to_have_value("")
    page.get_by_role("button", name="Menu").click()
    expect(page.get_by_label("auto")).to_be_checked()


def test_a_page_that_a_browser_has_kept_is_loaded_again(opened: Open) -> None:
    page = opened("images")
    with page.expect_navigation():
        page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")


@pytest.mark.parametrize("signed_in", [True, False])
def test_the_overview_is_followed_again_after_an_error_of_a_proxy(
    opened: Open, people: People, *, signed_in: bool
) -> None:
    people.announce("502")
    page = opened("images", "admin")
    page.route("**/admin/events", lambda route: route.fulfill(status=502), times=1)
    page.get_by_role("link", name="Overview").click()
    expect(page.locator("#stream")).to_contain_text("trying again")
    if signed_in:
        expect(page.locator("[data-now=memory]")).to_contain_text("MB")
        expect(page.locator("#stream")).to_have_text("")
    else:
        page.context.clear_cookies()
        page.wait_for_url("**/admin/login")


def test_texts_that_are_written_while_others_are_saved_stay(api: Api, opened: Open) -> None:
    put(api, "text/a.png")
    page = opened("images/text/a.png")
    late = Late(page, "**/api/images/text/a.png")
    page.get_by_role("button", name="Add an entry").click()
    fields = {name: page.get_by_label(name) for name in ("Title", "Alternative text", "Value")}
    page.locator(".pair").get_by_label("Name").fill("sku")
    for field in fields.values():
        field.fill("first")
    save = page.get_by_role("button", name="Save", exact=True)
    save.click()
    for name in ("Alternative text", "Value"):
        fields[name].fill("second")
    save.click()
    for _ in range(2):
        late.arrive()
    expect(page.get_by_text("Saved", exact=True)).to_have_count(2)
    for name, text in {"Title": "first", "Alternative text": "second", "Value": "second"}.items():
        expect(fields[name]).to_have_value(text)
    record = api.record("text/a.png")
    assert (record["title"], record["alt"], record["metadata"]) == ("first", "second", {"sku": "second"})


def test_a_focal_point_that_is_moved_while_another_one_is_saved_stays(api: Api, opened: Open) -> None:
    put(api, "point/a.png")
    page = opened("images/point/a.png")
    late = Late(page, "**/api/images/point/a.png")
    page.locator("#stage").press("ArrowRight")
    save = page.get_by_role("button", name="Save the focal point")
    save.click()
    page.locator("#stage").press("Shift+ArrowRight")
    late.arrive()
    expect(page.get_by_text("Saved the focal point")).to_be_visible()
    expect(page.locator("#point")).to_contain_text("61 % from the left")
    expect(save).to_be_enabled()


def test_texts_that_are_written_stay_when_the_file_is_replaced(api: Api, opened: Open) -> None:
    put(api, "file/a.png")
    page = opened("images/file/a.png")
    late = Late(page, "**/api/images/file/a.png?*")
    page.set_input_files("#replacement", file("b.png", 33))
    page.get_by_label("Title").fill("written meanwhile")
    late.arrive()
    expect(page.get_by_text("Replaced the file")).to_be_visible()
    expect(page.locator("#facts ~ dl")).to_contain_text(api.record("file/a.png")["sha256"])
    expect(page.get_by_label("Title")).to_have_value("written meanwhile")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    assert api.record("file/a.png")["title"] == "written meanwhile"
