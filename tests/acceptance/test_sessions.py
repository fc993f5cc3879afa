"""Sessions in a real browser: cookies, their end, and what pages show before, during and after them."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page

from tests.browser import (
    PASSWORD,
    People,
    create_account,
    is_signed_in,
    send_login,
    session_state,
    setup_path,
    sign_in,
    staffed,
)
from tests.management import Api
from tests.nginx import free_address, needs_nginx, nginx
from tests.pictures import encoded, quarters
from tests.servers import settled, until

OPENSSL = shutil.which("openssl")
NEW = "staples and paper clips"
HOSTILE = "\"'><script>alert(1)<!--<img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("originals")


@pytest.fixture(scope="module")
def api(originals: Path) -> Iterator[Api]:
    """Serve a picture with a hostile name, and an account of each role."""
    settled(originals / f"{HOSTILE}.png", encoded(quarters(), "png"))
    with staffed(originals, env={"IMGSERVE_ACCESS__SESSION_LENGTH": "1h"}) as found:
        yield found


@pytest.fixture
def base_url(api: Api) -> str:
    return api.served.base_url


@pytest.fixture
def behind_tls(base_url: str, tmp_path: Path) -> Iterator[str]:
    """Serve the same behind an nginx with a certificate of its own."""
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    kind = ["-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    subprocess.run([OPENSSL or "openssl", "req", *kind, *names, *files], check=True, capture_output=True)
    address = free_address()
    http = f"""server {{
        listen {address} ssl; ssl_certificate {tmp_path}/certificate; ssl_certificate_key {tmp_path}/key;
        location / {{
            proxy_pass {base_url};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}"""
    with nginx(tmp_path, address, http):
        yield f"https://{address}"


def session_of(page: Page) -> str:
    """Return the cookie of the session, or nothing."""
    return next(
        (one["value"] for one in page.context.cookies() if one["name"] == "imgserve" and one["path"] == "/"), ""
    )


def leave(page: Page, button: str = "Sign out") -> None:
    """Press a button after which another page follows."""
    with page.expect_navigation():
        page.get_by_role("button", name=button, exact=True).click()


def test_scripts_cannot_read_the_session(base_url: str, people: People) -> None:
    page, urls = people.open(), list[str]()
    page.on("request", lambda request: urls.append(request.url))
    sign_in(page, base_url)
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert set(cookies) == {"imgserve", "imgserve-device"}
    for cookie in cookies.values():
        shown = (cookie["domain"], cookie["path"], cookie["httpOnly"], cookie["sameSite"], cookie["secure"])
        assert shown == ("127.0.0.1", "/", True, "Lax", False)
    assert cookies["imgserve"]["expires"] == pytest.approx(time.time() + 3600, abs=60)
    assert page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
    token = page.locator("[name=token]").first.input_value()
    secrets = [PASSWORD, token, *(cookie["value"] for cookie in cookies.values())]
    assert [url for url in urls for secret in secrets if secret in url] == []


@needs_nginx
@pytest.mark.skipif(OPENSSL is None and "CI" not in os.environ, reason="openssl is not installed")
def test_behind_tls_the_cookies_are_secure_and_cannot_be_planted(behind_tls: str, people: People) -> None:
    page = people.open(ignore_https_errors=True)
    page.goto(f"{behind_tls}/admin/login")
    for attribute in ("Secure; Path=/admin", "Path=/"):
        page.evaluate("text => { document.cookie = text }", f"__Host-imgserve=planted; {attribute}")
    assert page.context.cookies() == []
    sign_in(page, behind_tls)
    assert page.get_by_text("Signed in as").count() == 1
    cookies = [(one["name"], one["secure"], one["httpOnly"], one["sameSite"]) for one in page.context.cookies()]
    assert sorted(cookies) == [(name, True, True, "Lax") for name in ("__Host-imgserve", "__Host-imgserve-device")]
    leave(page)
    assert [one["name"] for one in page.context.cookies()] == ["__Host-imgserve-device"]


@pytest.mark.parametrize(("path", "somebody"), [("/", "viewer"), ("/admin/", "nobody")])
def test_a_planted_cookie_is_not_the_session_after_a_login(
    base_url: str, people: People, path: str, somebody: str
) -> None:
    planted = "chosen-by-somebody-else"
    if somebody == "viewer":
        (planted,) = [one["value"] for one in session_state(base_url, "viewer")["cookies"] if one["name"] == "imgserve"]
    page = people.open()
    page.goto(f"{base_url}/admin/login")
    page.context.add_cookies([{"name": "imgserve", "value": planted, "domain": "127.0.0.1", "path": path}])
    send_login(page, "editor")
    assert "Signed in as editor" in page.inner_text("header")
    assert session_of(page) not in {"", planted}


def test_each_login_begins_a_new_session(base_url: str, people: People) -> None:
    page, sessions = people.open(), set[str]()
    for _ in range(2):
        sign_in(page, base_url)
        sessions |= {session_of(page), page.locator("[name=token]").first.input_value()}
        leave(page)
        assert session_of(page) == ""
    assert len(sessions) == 4


def test_the_back_button_shows_nothing_after_signing_out(base_url: str, people: People) -> None:
    page = people.open()
    sign_in(page, base_url)
    page.goto(f"{base_url}/admin/account")
    leave(page)
    assert urlsplit(page.url).path == "/admin/login"
    for step in (page.go_back, page.go_back, page.go_forward):
        step()
        assert (urlsplit(page.url).path, page.get_by_text("Signed in").count()) == ("/admin/login", 0)


def test_a_copied_cookie_ends_with_the_session_that_it_was_copied_from(base_url: str, people: People) -> None:
    page, other, thief = (people.open() for _ in range(3))
    for person in (page, other):
        sign_in(person, base_url)
    copy = session_of(page)
    thief.context.add_cookies([{"name": "imgserve", "value": copy, "domain": "127.0.0.1", "path": "/"}])
    assert is_signed_in(thief, base_url)
    page.goto(f"{base_url}/admin/account")
    leave(page)
    until(lambda: not is_signed_in(thief, base_url))
    assert is_signed_in(other, base_url)


@pytest.mark.parametrize("everywhere", [False, True])
def test_sessions_end_in_other_browsers(api: Api, people: People, everywhere: bool) -> None:
    name, base_url = f"jane-{everywhere}".lower(), api.served.base_url
    create_account(api, name, "viewer")
    here, there = (people.open(storage_state=session_state(base_url, name)) for _ in range(2))
    assert is_signed_in(there, base_url)
    here.goto(f"{base_url}/admin/account")
    if everywhere:
        leave(here, "Sign out everywhere")
    else:
        here.get_by_label("Present password").fill(PASSWORD)
        here.get_by_label("New password").fill(NEW)
        leave(here, "Change the password")
    until(lambda: not is_signed_in(there, base_url))
    assert is_signed_in(here, base_url) is not everywhere


def test_the_keyboard_is_enough_to_sign_in_and_out(base_url: str, people: People) -> None:
    page = people.open()
    page.goto(f"{base_url}/admin/login")
    page.wait_for_function("document.activeElement.matches('input')")
    page.keyboard.type("admin")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.get_by_text("Signed in as").count() == 1
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == "Sign out":
            break
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert urlsplit(page.url).path == "/admin/login"


def test_hostile_names_are_shown_as_text(base_url: str, people: People) -> None:
    people.announce("status of 403")
    page = people.open()
    page.on("dialog", lambda dialog: pytest.fail(f"a script of a name ran: {dialog.message}"))
    sign_in(page, base_url, HOSTILE, "wrong")
    assert page.get_by_role("alert").inner_text() == "The name or the password is wrong."
    assert page.get_by_label("Name").input_value() == HOSTILE.lower()
    page.goto(f"{base_url}/")
    assert page.locator("img[alt]").last.get_attribute("alt") == f"{HOSTILE}.png"
    assert page.locator("script:has-text('alert'), [onerror]").count() == 0


def test_password_managers_know_the_fields(originals: Path, base_url: str, people: People) -> None:
    page = people.open()
    fields = "[...document.querySelectorAll('main input[autocomplete]')].map(one => `${one.type} ${one.autocomplete}`)"
    page.goto(f"{base_url}/admin/login")
    assert page.evaluate(fields) == ["text username", "password current-password"]
    page.goto(base_url + setup_path(originals))
    assert page.evaluate(fields) == ["text username", "password new-password"]
    sign_in(page, base_url)
    page.goto(f"{base_url}/admin/account")
    assert page.evaluate(fields) == ["hidden username", "password current-password", "password new-password"]


def test_no_other_site_learns_the_address_of_a_page(originals: Path, base_url: str, people: People) -> None:
    page = people.open()
    page.route("http://elsewhere.example/*", lambda route: route.fulfill(body="<title>elsewhere</title>"))
    for path in (setup_path(originals), "/admin/login"):
        page.goto(base_url + path)
        page.evaluate("document.body.innerHTML = '<a href=http://elsewhere.example/>link</a>'")
        with page.expect_request("http://elsewhere.example/") as request:
            page.get_by_text("link").click()
        assert request.value.header_value("referer") is None
        page.wait_for_url("http://elsewhere.example/")


ELSEWHERE = [
    "/admin?next=https://elsewhere.example/",
    "/admin/login?next=//elsewhere.example/",
    "/admin/?returnTo=//elsewhere.example/",
    "/admin//elsewhere.example/..",
    "//elsewhere.example/admin",
    "//elsewhere.example/%2e%2e/admin",
    "/\\elsewhere.example/admin",
    "/admin/%0d%0aLocation:%20http:%2f%2felsewhere.example",
]


@pytest.mark.parametrize("signed_in", [False, True])
def test_no_path_leads_elsewhere(base_url: str, people: People, signed_in: bool) -> None:
    people.announce("status of 404")
    page, hosts = people.open(), set[str]()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    if signed_in:
        sign_in(page, base_url)
    for path in ELSEWHERE:
        page.goto(base_url + path)
    assert hosts == {urlsplit(base_url).netloc}
