"""A real Chromium for tests, in which a page that reports a mistake fails the test."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Response,
    StorageState,
    StorageStateCookie,
    expect,
    sync_playwright,
)

from tests.management import Api, managed
from tests.prefork import PATIENCE, ROOT
from tests.servers import imgserve, until

_PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first takes a third of the processor time of the others."""
CHROMIUM = next(filter(None, map(shutil.which, _PROGRAMS)), None)
ROLES = ("viewer", "editor", "admin")
SCREENSHOTS = ROOT / "var/screenshots"
PASSWORD = "correct horse battery"  # noqa: S105  of a test


expect.set_options(timeout=PATIENCE * 1000)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium; without one, skip the tests, or fail in CI. Both take half a second.

    It runs for one test file: an event loop belongs to it, which tests of other files could not have beside theirs.
    """
    if CHROMIUM is None:
        report = pytest.fail if "CI" in os.environ else pytest.skip
        report("Chromium is not installed; on Debian and Ubuntu: apt-get install chromium-headless-shell")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class People:
    """People with a browser each, and what went wrong in any of them."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._opened = list[BrowserContext]()
        self._announced = list[str]()
        self._reports = list[str]()

    def open(self, **options: Any) -> Page:
        """Return a page of another person, whose browser has no cookies yet."""
        person = self._browser.new_context(**options)
        person.set_default_timeout(PATIENCE * 1000)
        person.on("console", self._read)
        person.on("weberror", lambda error: self._reports.append(str(error.error)))
        self._opened.append(person)
        return person.new_page()

    def announce(self, *texts: str) -> None:
        """Expect messages that contain these texts: errors of the console and of scripts, and violations of the CSP."""
        self._announced += texts

    def mistakes(self) -> str:
        """Return which messages were not announced, or announced and missing; empty if there are none."""
        for page in self._pages():
            page.evaluate("0")  # what came before its answer was reported
        unexpected = [line for line in self._reports if not any(text in line for text in self._announced)]
        missing = [text for text in self._announced if not any(text in line for line in self._reports)]
        kinds = {"not announced": unexpected, "announced, but missing": missing}
        return "\n".join(f"message {kind}: {line}" for kind, lines in kinds.items() for line in lines)

    def photograph(self, name: str) -> list[Path]:
        """Store what each page shows."""
        files = [SCREENSHOTS / f"{name}-{number}.png" for number, _ in enumerate(self._pages())]
        for file, page in zip(files, self._pages(), strict=True):
            page.screenshot(path=file)
        return files

    def close(self) -> None:
        """Close all pages."""
        for person in self._opened:
            person.close()

    def _read(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._reports.append(message.text)

    def _pages(self) -> list[Page]:
        return [page for person in self._opened for page in person.pages]


def sign_in(page: Page, base_url: str, name: str = "admin", password: str = PASSWORD) -> Response | None:
    """Sign in as a person does; return the response with the page that follows."""
    page.goto(f"{base_url}/admin/login")
    return send_login(page, name, password)


def send_login(page: Page, name: str, password: str = PASSWORD) -> Response | None:
    """Fill in the login that a page shows, and send it."""
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    with page.expect_navigation() as followed:
        page.get_by_role("button", name="Sign in").click()
    return followed.value


def is_signed_in(page: Page, base_url: str) -> bool:
    """Return whether the admin page recognizes the person."""
    page.goto(f"{base_url}/admin/")
    return page.get_by_text("Signed in as").count() > 0


def session_state(base_url: str, name: str) -> StorageState:
    """Sign in without a browser, and return what a browser would have stored."""
    form, headers = {"name": name, "password": PASSWORD}, {"sec-fetch-site": "same-origin"}
    response = httpx2.post(f"{base_url}/admin/login", data=form, headers=headers, timeout=PATIENCE)
    assert response.is_redirect, response.text
    cookies: list[StorageStateCookie] = [
        {
            "name": one.name,
            "value": one.value or "",
            "domain": "127.0.0.1",
            "path": one.path,
            "expires": one.expires or -1,
            "httpOnly": True,
            "secure": False,
            "sameSite": "Lax",
        }
        for one in response.cookies.jar
    ]
    return {"cookies": cookies, "origins": []}


@contextlib.contextmanager
def staffed(originals: Path, *options: object, env: Mapping[str, str] | None = None) -> Iterator[Api]:
    """Serve a folder that is managed, with an account of each role, which is also its name."""
    for role in ROLES:
        imgserve(
            "accounts", "create", role, "--role", role, originals, cwd=originals, words=PASSWORD
        ).check_returncode()
    with managed(originals, *options, env={"IMGSERVE_RATES__LOGINS": "1000/minute", **(env or {})}) as api:
        yield api


def setup_path(originals: Path) -> str:
    """Return the path of a page that creates an account."""
    text = imgserve("accounts", "link", originals, cwd=originals).stdout
    return next(f"/admin/setup{word.partition('/admin/setup')[2]}" for word in text.split() if "/admin/setup" in word)


def create_account(api: Api, name: str, role: str) -> None:
    """Create an account, and wait until the server lets it in."""
    account = {"name": name, "role": role, "password": PASSWORD}
    assert api.ask("POST", "/api/accounts", json=account).status_code == httpx2.codes.CREATED
    form, headers = {"name": name, "password": PASSWORD}, {"sec-fetch-site": "same-origin"}
    until(lambda: httpx2.post(f"{api.served.base_url}/admin/login", data=form, headers=headers).is_redirect)
