"""Pages of other origins that use the session of a person who visits them: none changes or reads anything."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser import PASSWORD, session_state, staffed
from tests.management import Api
from tests.pictures import encoded, quarters
from tests.servers import elsewhere, settled

FORM = "application/x-www-form-urlencoded"
NEW = "staples and paper clips"
MALLORY = json.dumps({"name": "mallory", "role": "admin", "password": NEW})
ORIGINS = "http://127.0.0.1", "http://localhost"
"""Of the foreign page: on the site of the server, with another port, and on another site."""
Outcome = int | str
"""The status of the response, or what the page saw."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Serve a picture, with an account of each role."""
    originals = tmp_path_factory.mktemp("originals")
    settled(originals / "a.png", encoded(quarters(), "png"))
    with staffed(originals) as found:
        yield found


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Serve empty pages, in which attacks run."""
    with elsewhere() as found:
        yield found


@pytest.fixture(scope="module")
def victim(api: Api, chromium: Browser) -> Iterator[BrowserContext]:
    """Sign an administrator in, in a browser in which foreign pages may report what they like."""
    person = chromium.new_context(storage_state=session_state(api.served.base_url, "admin"))
    yield person
    person.close()


@pytest.fixture(scope="module")
def pages(victim: BrowserContext, port: int) -> Mapping[str, Page]:
    """Open a page for each origin of attacks."""
    return {f"{origin}:{port}/": victim.new_page() for origin in ORIGINS}


def sends(script: str, page: Page, url: str) -> Outcome:
    """Run a script that sends a request; return the status of the response."""
    with page.expect_response(url) as response:
        page.evaluate(script, url)
    return response.value.status


def goes(script: str, page: Page, url: str) -> Outcome:
    """Run a script that leaves the page; return the status of the next one."""
    with page.expect_navigation(url=url) as following:
        page.evaluate(script, url)
    return following.value.status


def form(
    fields: dict[str, str], kind: str = "application/x-www-form-urlencoded", **more: str
) -> Callable[..., Outcome]:
    """Submit a form."""
    return partial(
        sends if "target" in more else goes,
        f"""url => {{
            const form = Object.assign(document.createElement("form"),
                {{action: url, method: "post", enctype: "{kind}"}}, {json.dumps(more)});
            for (const [name, value] of Object.entries({json.dumps(fields)}))
                form.append(Object.assign(document.createElement("input"), {{name, value}}));
            document.body.append(Object.assign(document.createElement("iframe"), {{name: "inside"}}), form);
            form.submit();
        }}""",
    )


def fetch(page: Page, url: str, **options: Any) -> Outcome:
    """Request a URL with the cookies; return what the page can read of the response."""
    script = "([url, options]) => fetch(url, options).then(a => `${a.type} ${a.status}`, () => 'refused')"
    return str(page.evaluate(script, [url, {"credentials": "include", **options}]))


def blind(page: Page, url: str, body: str = "", kind: str = "", method: str = "POST") -> Outcome:
    """Send a request whose response no page can read; return its status."""
    options: dict[str, Any] = {"method": method, "mode": "no-cors", "credentials": "include"}
    options |= {"body": body, "headers": {"content-type": kind}} if body else {}
    return sends(f"url => void fetch(url, {json.dumps(options)})", page, url)


_ELEMENT = """([tag, url]) => new Promise(done => document.body.append(Object.assign(document.createElement(tag), {
    [{object: "data", link: "href"}[tag] ?? "src"]: url, rel: "stylesheet",
    onload: () => done("loaded"), onerror: () => done("refused"),
})))"""


def embed(tag: str, page: Page, url: str) -> Outcome:
    """Add an element that loads the URL; return what became of it."""
    return str(page.evaluate(_ELEMENT, [tag, url]))


def fails(script: str, page: Page, url: str, *argument: str) -> Outcome:
    """Run a script that requests a URL; return why the browser keeps the response from the page."""
    with page.expect_event("requestfailed", timeout=10_000) as failed:
        page.evaluate(script, [*argument, url])
    return str(failed.value.failure)


def frame(tag: str, page: Page, url: str) -> Outcome:
    """Add an element that shows the URL as a page; return why it does not."""
    return fails(_ELEMENT, page, url, tag)


def popup(page: Page, url: str) -> Outcome:
    """Open a window; return whether the page can still reach it."""
    with page.expect_popup() as opened:
        page.evaluate("url => { window.opened = open(url) }", url)
    opened.value.wait_for_load_state()
    return "severed" if page.evaluate("opened.closed") else "within reach"


@dataclass(frozen=True)
class Attack:
    """What a page does with a path of the server, and what becomes of it: on the same site, and on another."""

    path: str
    run: Callable[..., Outcome]
    outcomes: tuple[Outcome, Outcome]


LOGOUT, ACCOUNTS = "/admin/logout", "/api/accounts"
BLOCKED = "net::ERR_BLOCKED_BY_RESPONSE"
go = partial(goes, "url => { location = url }")
beacon = partial(sends, f"url => void navigator.sendBeacon(url, {MALLORY!r})")
ATTACKS = {
    "form: sign out": Attack(LOGOUT, form({"token": "x"}), (403, 403)),
    "form: sign out everywhere": Attack(LOGOUT, form({"token": "x", "everywhere": "1"}), (403, 403)),
    "form in a frame: sign out": Attack(LOGOUT, form({"token": "x"}, target="inside"), (403, 403)),
    "form: password": Attack("/admin/password", form({"password": PASSWORD, "new": NEW}), (403, 403)),
    "form: another account": Attack("/admin/login", form({"name": "viewer", "password": PASSWORD}), (403, 403)),
    "form: JSON as text": Attack(ACCOUNTS, form({MALLORY[:-1] + ', "x": "': '"}'}, "text/plain"), (403, 401)),
    "form: upload": Attack("/api/images", form({"file": "x"}, "multipart/form-data"), (403, 401)),
    "form: purge": Attack("/api/purge/a.png", form({}), (403, 401)),
    "form: other method": Attack("/api/images/a.png", form({"_method": "DELETE"}), (405, 405)),
    "fetch: JSON as text": Attack(ACCOUNTS, partial(blind, body=MALLORY, kind="text/plain"), (403, 401)),
    "fetch: form": Attack(LOGOUT, partial(blind, body="everywhere=1", kind=FORM), (403, 403)),
    "fetch: purge": Attack("/api/purge/a.png", blind, (403, 401)),
    "fetch: list, unread": Attack(ACCOUNTS, partial(blind, method="GET"), (403, 401)),
    "fetch: list": Attack(ACCOUNTS, fetch, ("refused", "refused")),
    "fetch: page": Attack("/admin/", fetch, ("refused", "refused")),
    "fetch: page, unread": Attack(
        "/admin/",
        partial(fails, "([url]) => void fetch(url, {mode: 'no-cors', credentials: 'include'}).catch(() => 0)"),
        (f"{BLOCKED}.NotSameOrigin", f"{BLOCKED}.NotSameOrigin"),
    ),
    "fetch: JSON": Attack(
        ACCOUNTS,
        partial(fetch, method="POST", body=MALLORY, headers={"content-type": "application/json"}),
        ("refused", "refused"),
    ),
    "fetch: delete": Attack("/api/images/a.png", partial(fetch, method="DELETE"), ("refused", "refused")),
    "fetch: token": Attack(
        "/api/purge/a.png", partial(fetch, method="POST", headers={"x-csrf-token": "x"}), ("refused", "refused")
    ),
    "beacon: JSON": Attack(ACCOUNTS, beacon, (403, 401)),
    "picture: sign out": Attack(LOGOUT, partial(embed, "img"), ("refused", "refused")),
    "picture: original": Attack("/api/original/a.png", partial(embed, "img"), ("refused", "refused")),
    "script: list": Attack(ACCOUNTS, partial(embed, "script"), ("refused", "refused")),
    "style: page": Attack("/admin/", partial(embed, "link"), ("refused", "refused")),
    "frame: page": Attack("/admin/", partial(frame, "iframe"), (BLOCKED, BLOCKED)),
    "frame: login": Attack("/admin/login", partial(frame, "iframe"), (BLOCKED, BLOCKED)),
    "object: page": Attack("/admin/", partial(frame, "object"), (BLOCKED, BLOCKED)),
    "embed: page": Attack("/admin/", partial(frame, "embed"), (BLOCKED, BLOCKED)),
    "window: page": Attack("/admin/", popup, ("severed", "severed")),
    "link: sign out": Attack(f"{LOGOUT}?everywhere=1", go, (405, 405)),
    "link: page": Attack("/admin/", go, (200, 200)),
    "link: list": Attack(ACCOUNTS, go, (200, 200)),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_foreign_pages_change_and_read_nothing(
    api: Api, pages: Mapping[str, Page], victim: BrowserContext, name: str
) -> None:
    attack, before, outcomes = ATTACKS[name], state(api), list[Outcome]()
    for address, page in pages.items():
        page.goto(address)
        outcomes.append(attack.run(page, api.served.base_url + attack.path))
    assert tuple(outcomes) == attack.outcomes
    assert state(api) == before
    assert "Signed in as" in victim.request.get(f"{api.served.base_url}/admin/").text()


def state(api: Api) -> list[Any]:
    """Return what attacks could change."""
    return [api.get(path) for path in ("/api/accounts", "/api/audit", "/api/images", "/api/keys")]
