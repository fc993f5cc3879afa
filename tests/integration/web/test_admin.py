"""Signing in: pages, cookies, forged requests, limits, and what the API allows people who are signed in."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx2
import pytest
from argon2 import PasswordHasher
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import Receive, Scope, Send

from imgserve.access.accounts import AccountList, Passwords, Role, SetupLinks, new_account
from imgserve.access.keys import Scope as Permission
from imgserve.access.limiter import RateLimiter
from imgserve.access.sessions import Sessions
from imgserve.metrics import Metrics
from imgserve.records import AuditEntry
from imgserve.web.access_log import AccessLog
from imgserve.web.admin.filters import PictureUrls
from imgserve.web.admin.pages import AdminPages
from imgserve.web.admin.shell import AdminPage, Shell
from imgserve.web.admin.signin import SignInPages
from imgserve.web.api.accounts import Accounts
from imgserve.web.api.router import Api, Auditor
from imgserve.web.middleware import FROM_PROXY, RequestLog, RequestMetrics, RequestMiddleware, as_our_error
from imgserve.web.pages import static_folder
from imgserve.web.visitors import Visitors
from tests.access_rig import KEY, access_of
from tests.catalogs import Catalog, opened

pytestmark = pytest.mark.anyio

PASSWORD, NEW = "correct horse battery", "staples and paper clips"
ORIGIN = {"sec-fetch-site": "same-origin"}
ADMIN = {"x-api-key": KEY}


@dataclass
class Browser:
    """A browser on one address: it stores cookies, and sends the forms of pages."""

    app: Starlette
    base_url: str = "https://images.example.com"
    peer: str = "192.0.2.1"
    proxied: bool = False
    headers: Mapping[str, str] = field(default_factory=lambda: ORIGIN)
    cookies: dict[str, str] = field(default_factory=dict)

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **rest: Any
    ) -> httpx2.Response:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self.app({**scope, "state": {FROM_PROXY: self.proxied}}, receive, send)

        transport = httpx2.ASGITransport(app=app, client=(self.peer, 1234))
        sent = {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}
        sent |= self.headers if headers is None else headers
        async with httpx2.AsyncClient(transport=transport, base_url=self.base_url) as client:
            answer = await client.request(method, path, headers=sent, **rest)
        for line in answer.headers.get_list("set-cookie"):
            self.cookies |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
        return answer

    async def login(self, name: str = "jane", password: str = PASSWORD) -> httpx2.Response:
        return await self.ask("POST", "/admin/login", data={"name": name, "password": password})

    async def token(self) -> str:
        found = re.search(r'name="token" value="([^"]+)"', (await self.ask("GET", "/admin/")).text)
        assert found
        return found[1]

    async def signed_in(self) -> bool:
        return "Signed in as" in (await self.ask("GET", "/admin/")).text


@dataclass
class Rig:
    """Accounts over a catalog, as one server process has them."""

    catalog: Catalog
    accounts: AccountList
    links: SetupLinks
    app: Starlette

    async def add(self, name: str, role: Role, password: str | None = PASSWORD) -> None:
        assert await self.catalog.accounts.add(new_account(name, role, password))
        await self.accounts.refresh()

    async def audited(self) -> list[AuditEntry]:
        return list((await self.catalog.audit.page()).items)[::-1]


@asynccontextmanager
async def rig_of(folder: Path, *, logins: str = "", allowed: Any = "everyone", **proxy: str) -> AsyncIterator[Rig]:
    async with opened(f"sqlite:///{folder / 'catalog.sqlite'}") as catalog:
        metrics = Metrics(CollectorRegistry())
        accounts, links = AccountList(catalog.accounts, catalog.secrets), SetupLinks(catalog.secrets)
        visitors = Visitors(Sessions(accounts, idle=3600, longest=86_400), allowed, **proxy)
        limiter = RateLimiter(None, metrics)
        passwords = Passwords(accounts, catalog.accounts, limiter, logins)
        shell = Shell(static_folder(), "1.2.3", least=12)
        auditor = Auditor(catalog.audit, catalog.images)
        signing_in = SignInPages(visitors, passwords, catalog.accounts, links, auditor, shell=shell)
        access = access_of(metrics=metrics)
        api = Api(
            [Accounts(catalog.accounts)],
            access=access,
            keys=catalog.idempotency,
            audit=auditor,
            visitors=visitors,
        )
        home = AdminPage("", "Account", Permission.READ, template="account")
        pages = AdminPages((home,), shell, visitors, api, PictureUrls(access.sites, "/img"))
        recording = Middleware(
            RequestMiddleware,
            requests=RequestLog(RequestMetrics(metrics), AccessLog("off")),
            allowed_hosts=("*",),
            not_found_max_age=10,
        )
        app = Starlette(
            routes=[api, *signing_in.routes(access, allowed), *pages.routes(access, allowed, {})],
            middleware=[recording],
            exception_handlers={HTTPException: as_our_error},
        )
        app.router.redirect_slashes = False
        await accounts.refresh()
        yield Rig(catalog, accounts, links, app)
        await limiter.close()


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr("imgserve.access.accounts._HASHER", quick)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_of(tmp_path) as found:
        await found.add("jane", Role.ADMIN)
        yield found


def attributes(answer: httpx2.Response, name: str) -> set[str]:
    (line,) = [line for line in answer.headers.get_list("set-cookie") if line.startswith(f"{name}=")]
    return set(line.split("; ")[1:])


async def test_a_person_signs_in_and_out(rig: Rig) -> None:
    browser = Browser(rig.app)
    first = await browser.ask("GET", "/admin/")
    assert (first.status_code, first.headers["location"]) == (303, "/admin/login")
    done = await browser.login(" Jane ")
    assert (done.status_code, done.headers["location"]) == (303, "/admin/")
    page = await browser.ask("GET", "/admin/")
    assert "Signed in as <b>jane</b>, admin" in page.text
    assert (await browser.ask("GET", "/admin/login")).headers["location"] == "/admin/"
    out = await browser.ask("POST", "/admin/logout", data={"token": await browser.token()})
    assert out.headers["location"] == "/admin/login"
    assert not await browser.signed_in()


async def test_pages_run_only_scripts_of_the_server_are_not_stored_and_not_framed(rig: Rig) -> None:
    browser = Browser(rig.app)
    await browser.login()
    for path in ("/admin/", "/admin/login", "/admin/setup?token=x"):
        page = await browser.ask("GET", path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["cache-control"] == "no-store"
        assert not re.search(r"<script(?! src=./static/)|<style|\sstyle=|\son\w+=|https?://(?!localhost|\s)", page.text)


@pytest.mark.parametrize(
    ("base_url", "peer", "name", "secure"),
    [
        ("https://images.example.com", "192.0.2.1", "__Host-imgserve", True),
        ("https://localhost", "127.0.0.1", "__Host-imgserve", True),
        ("http://localhost:8000", "127.0.0.1", "imgserve", False),
    ],
)
async def test_the_cookie_of_a_session(rig: Rig, base_url: str, peer: str, name: str, secure: bool) -> None:
    browser = Browser(rig.app, base_url, peer)
    answer = await browser.login()
    expected = {"Path=/", "HttpOnly", "SameSite=Lax", *(["Secure"] if secure else [])}
    for cookie, age in ((name, 86_400), (f"{name}-device", 400 * 86_400)):
        assert attributes(answer, cookie) == {*expected, f"Max-Age={age}"}
    assert await browser.signed_in()


@pytest.mark.parametrize(
    ("base_url", "peer"), [("http://images.example.com", "192.0.2.1"), ("http://images.example.com", "127.0.0.1")]
)
async def test_nobody_signs_in_over_a_network_without_tls(rig: Rig, base_url: str, peer: str) -> None:
    browser = Browser(rig.app, base_url, peer)
    assert "<form" not in (await browser.ask("GET", "/admin/login")).text
    answer = await browser.login()
    assert (answer.status_code, browser.cookies) == (403, {})
    assert "Signing in needs HTTPS" in answer.text
    secure = Browser(rig.app)
    await secure.login()
    browser.cookies = {**secure.cookies, "imgserve": secure.cookies["__Host-imgserve"]}
    assert not await browser.signed_in()


async def test_the_session_of_before_a_login_is_not_the_one_after_it(rig: Rig) -> None:
    planted, browser = "chosen-by-somebody-else", Browser(rig.app)
    browser.cookies["__Host-imgserve"] = planted
    await browser.login()
    assert browser.cookies["__Host-imgserve"] != planted
    first = browser.cookies["__Host-imgserve"], await browser.token()
    await browser.login()
    assert first[0] != browser.cookies["__Host-imgserve"]
    assert first[1] != await browser.token()


async def test_unknown_accounts_and_wrong_passwords_cannot_be_told_apart(rig: Rig) -> None:
    await rig.add("proxied", Role.ADMIN, None)
    answers = [
        await Browser(rig.app).login(name, password)
        for name, password in (("jane", "wrong"), ("jack", PASSWORD), ("proxied", ""), ("proxied", PASSWORD))
    ]
    assert {answer.status_code for answer in answers} == {403}
    texts = {re.sub('value="[^"]*"', "", answer.text) for answer in answers}
    assert len(texts) == 1
    assert "The name or the password is wrong." in texts.pop()


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"origin": "https://images.example.com"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "https://images.example.com"}, False),
        ({"origin": "https://evil.example.com"}, False),
        ({"origin": "null"}, False),
        ({}, False),
    ],
)
async def test_only_pages_of_the_server_send_forms(rig: Rig, headers: dict[str, str], accepted: bool) -> None:
    browser = Browser(rig.app, headers=headers)
    assert (await browser.login()).status_code == (303 if accepted else 403)
    await (signed_in := Browser(rig.app)).login()
    token = await signed_in.token()
    for path, fields in (("/admin/logout", {}), ("/admin/password", {"password": PASSWORD, "new": NEW})):
        if not accepted:
            answer = await signed_in.ask("POST", path, headers, data={"token": token, **fields})
            assert answer.status_code == 403
    assert await signed_in.signed_in()


async def test_forms_need_the_token_of_the_session(rig: Rig) -> None:
    browser, other = Browser(rig.app), Browser(rig.app)
    await browser.login()
    await other.login()
    foreign = await other.token()
    for token in ("", "x", foreign):
        for path in ("/admin/logout", "/admin/password"):
            fields = {"token": token, "password": PASSWORD, "new": NEW}
            assert (await browser.ask("POST", path, data=fields)).status_code == 403
    assert await browser.signed_in()
    assert (await Browser(rig.app).login()).status_code == 303


async def test_a_changed_password_ends_all_other_sessions(rig: Rig) -> None:
    browser, other = Browser(rig.app), Browser(rig.app)
    await browser.login()
    await other.login()
    fields = {"token": await browser.token(), "password": PASSWORD}
    for wrong, words in (({"password": "x", "new": NEW}, "is wrong"), ({"new": "short"}, "at least 12")):
        answer = await browser.ask("POST", "/admin/password", data={**fields, **wrong})
        assert (answer.status_code, words in answer.text) == (422, True)
    assert await other.signed_in()
    assert (await browser.ask("POST", "/admin/password", data={**fields, "new": NEW})).status_code == 303
    assert await browser.signed_in()
    assert not await other.signed_in()
    assert (await other.login()).status_code == 403
    assert (await other.login(password=NEW)).status_code == 303


async def test_signing_out_everywhere_ends_all_sessions(rig: Rig) -> None:
    browser, other = Browser(rig.app), Browser(rig.app)
    await browser.login()
    await other.login()
    await browser.ask("POST", "/admin/logout", data={"token": await browser.token(), "everywhere": "1"})
    await rig.accounts.refresh()
    assert not await other.signed_in()


async def test_what_happens_is_recorded(rig: Rig) -> None:
    browser = Browser(rig.app)
    await browser.login("jane", "wrong")
    await browser.login("a password in the wrong field")
    await browser.login()
    await browser.ask(
        "POST", "/admin/password", data={"token": await browser.token(), "password": PASSWORD, "new": NEW}
    )
    await browser.ask("POST", "/admin/logout", data={"token": await browser.token()})
    entries = await rig.audited()
    assert [(entry.action, entry.actor, entry.target) for entry in entries] == [
        ("login_failed", "", "jane"),
        ("login_failed", "", ""),
        ("login", "account:jane", "jane"),
        ("password_change", "account:jane", "jane"),
        ("logout", "account:jane", "jane"),
    ]
    assert {entry.address for entry in entries} == {"192.0.2.1"}
    assert not any(PASSWORD in str(entry) or NEW in str(entry) for entry in entries)


async def test_attempts_from_an_address_are_limited(tmp_path: Path) -> None:
    async with rig_of(tmp_path, logins="3/hour") as rig:
        await rig.add("jane", Role.ADMIN)
        browser = Browser(rig.app)
        statuses = [(await browser.login(name)).status_code for name in ("jane", "jane", "jack", "jane")]
        assert statuses == [303, 303, 403, 429]
        limited = await browser.login()
        assert int(limited.headers["retry-after"]) > 0
        assert "Try again later" in limited.text
        assert (await Browser(rig.app, peer="192.0.2.2").login()).status_code == 303


async def test_failures_of_strangers_do_not_lock_out_a_person_who_has_signed_in_before(tmp_path: Path) -> None:
    async with rig_of(tmp_path, logins="3/hour") as rig:
        await rig.add("jane", Role.ADMIN)
        jane = Browser(rig.app, peer="192.0.2.9")
        assert (await jane.login()).status_code == 303
        strangers = [Browser(rig.app, peer=f"198.51.100.{number}") for number in range(5)]
        statuses = [(await stranger.login("jane", "guess")).status_code for stranger in strangers]
        assert statuses == [403, 403, 403, 429, 429]
        assert (await Browser(rig.app, peer="203.0.113.1").login()).status_code == 429
        assert (await jane.login()).status_code == 303


async def test_the_first_account_is_created_by_a_link_that_works_once(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        token, browser = await rig.links.create(), Browser(rig.app)
        assert (await browser.ask("GET", "/admin/setup?token=wrong")).status_code == 404
        assert f'value="{token}"' in (await browser.ask("GET", f"/admin/setup?token={token}")).text
        fields = {"token": token, "name": "Jane", "password": PASSWORD}
        for wrong, words in (({"name": "a b"}, "The name needs"), ({"password": "jane"}, "at least 12")):
            answer = await browser.ask("POST", "/admin/setup", data={**fields, **wrong})
            assert (answer.status_code, words in answer.text) == (422, True)
        forged = await browser.ask("POST", "/admin/setup", {"sec-fetch-site": "cross-site"}, data=fields)
        assert forged.status_code == 403
        assert (await browser.ask("POST", "/admin/setup", data=fields)).status_code == 303
        assert "Signed in as <b>jane</b>, admin" in (await browser.ask("GET", "/admin/")).text
        again = await browser.ask("POST", "/admin/setup", data={**fields, "name": "jack"})
        assert (again.status_code, "no longer valid" in again.text) == (404, True)
        assert [account.name for account in await rig.catalog.accounts.all()] == ["jane"]
        assert [entry.action for entry in await rig.audited()] == ["accounts_create"]


async def test_the_api_accepts_a_session_with_its_token(rig: Rig) -> None:
    browser = Browser(rig.app)
    assert (await browser.ask("GET", "/api/accounts")).status_code == 401
    await browser.login()
    listed = (await browser.ask("GET", "/api/accounts")).json()["accounts"]
    assert [(account["name"], account["role"], account["has_password"]) for account in listed] == [
        ("jane", "admin", True)
    ]
    assert PASSWORD not in str(listed)
    assert "argon2" not in str(listed)
    jack = {"name": "jack", "role": "viewer", "password": PASSWORD}
    token = {"x-csrf-token": await browser.token()}
    for headers in (ORIGIN, token, {**token, "sec-fetch-site": "cross-site"}, {**ORIGIN, "x-csrf-token": "x"}):
        assert (await browser.ask("POST", "/api/accounts", headers, json=jack)).status_code == 403
    created = await browser.ask("POST", "/api/accounts", {**ORIGIN, **token}, json=jack)
    assert created.status_code == 201
    await rig.accounts.refresh()
    other = Browser(rig.app)
    await other.login("jack")
    refused = await other.ask("GET", "/api/accounts")
    assert (refused.status_code, refused.json()["detail"]) == (403, "This account lacks the scope admin.")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin", "sec-fetch-dest": "empty"}, 200),
        ({"sec-fetch-site": "none", "sec-fetch-dest": "document"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}, 403),
        ({"sec-fetch-site": "same-site", "sec-fetch-dest": "image"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
async def test_the_api_returns_nothing_to_a_session_for_pages_of_others(
    rig: Rig, headers: dict[str, str], status: int
) -> None:
    await (browser := Browser(rig.app)).login()
    assert (await browser.ask("GET", "/api/accounts", headers)).status_code == status
    assert (await browser.ask("GET", "/api/accounts", {**headers, **ADMIN})).status_code == 200


async def test_accounts_are_managed_by_the_api(rig: Rig) -> None:
    browser, jack = Browser(rig.app), {"name": "jack", "role": "editor", "password": PASSWORD}
    assert (await browser.ask("POST", "/api/accounts", ADMIN, json=jack)).json()["name"] == "jack"
    for new, status in (
        (jack, 409),
        ({**jack, "name": "a b"}, 400),
        ({**jack, "password": "short"}, 400),
        ({**jack, "name": "jack@example.com", "password": "Jack@example.com"}, 400),
        ({**jack, "role": "king"}, 400),
        ({**jack, "name": "joe", "password": None}, 201),
    ):
        answer = await browser.ask("POST", "/api/accounts", ADMIN, json=new)
        assert (answer.status_code, PASSWORD in answer.text) == (status, False), answer.text
    await rig.accounts.refresh()
    person = Browser(rig.app)
    await person.login("jack")
    changed = await browser.ask("PATCH", "/api/accounts/jack", ADMIN, json={"role": "viewer"})
    assert changed.json()["role"] == "viewer"
    await rig.accounts.refresh()
    assert not await person.signed_in()
    assert (await browser.ask("PATCH", "/api/accounts/jack", ADMIN, json={"password": NEW})).status_code == 200
    await rig.accounts.refresh()
    assert (await person.login("jack", NEW)).status_code == 303
    assert (await browser.ask("PATCH", "/api/accounts/jack", ADMIN, json={})).status_code == 200
    assert (await browser.ask("DELETE", "/api/accounts/jack", ADMIN)).json() == {"name": "jack"}
    for method in ("DELETE", "PATCH"):
        body: dict[str, Any] = {"json": {"role": "viewer"}} if method == "PATCH" else {}
        assert (await browser.ask(method, "/api/accounts/jack", ADMIN, **body)).status_code == 404
    await rig.accounts.refresh()
    assert not await person.signed_in()
    entries = await rig.audited()
    calls = ["create", "create", "change", "change", "change", "remove"]
    assert [entry.action for entry in entries if entry.actor == "admin"] == [f"accounts_{one}" for one in calls]
    assert not any(PASSWORD in str(entry) or NEW in str(entry) for entry in entries)


@pytest.mark.parametrize(
    ("settings", "proxied", "headers", "role"),
    [
        ({"proxy_header": "Remote-User"}, True, {"remote-user": "Jane"}, "admin"),
        ({"proxy_header": "Remote-User"}, True, {"remote-user": "jack"}, None),
        ({"proxy_header": "Remote-User", "proxy_role": "viewer"}, True, {"remote-user": "jack"}, "viewer"),
        ({"proxy_header": "Remote-User", "proxy_role": "viewer"}, True, {"remote-user": "Jane"}, "admin"),
        ({"proxy_header": "Remote-User", "proxy_role": "admin"}, True, {"remote-user": "a b"}, None),
        ({"proxy_header": "Remote-User", "proxy_role": "admin"}, True, {"remote-user": ""}, None),
        ({"proxy_header": "Remote-User", "proxy_role": "admin"}, True, {}, None),
        ({"proxy_header": "Remote-User", "proxy_role": "admin"}, False, {"remote-user": "Jane"}, None),
        ({"proxy_role": "admin"}, True, {"remote-user": "Jane"}, None),
    ],
)
async def test_a_trusted_proxy_names_the_person_if_that_is_set(
    tmp_path: Path, settings: dict[str, str], proxied: bool, headers: dict[str, str], role: str | None
) -> None:
    async with rig_of(tmp_path, **settings) as rig:
        await rig.add("jane", Role.ADMIN, None)
        page = await Browser(rig.app, proxied=proxied, headers=headers).ask("GET", "/admin/")
        found = re.search(r"Signed in as <b>\w+</b>, (\w+)", page.text)
        assert (found and found[1]) == role


async def test_two_names_of_a_person_are_none(tmp_path: Path) -> None:
    async with rig_of(tmp_path, proxy_header="Remote-User", proxy_role="admin") as rig:
        twice: Any = [("remote-user", "jane"), ("remote-user", "jack")]
        transport = httpx2.ASGITransport(app=rig.app)
        async with httpx2.AsyncClient(transport=transport, base_url="https://images.example.com") as client:
            assert (await client.get("/admin/", headers=twice)).headers["location"] == "/admin/login"


async def test_a_person_whom_a_proxy_signs_in_needs_a_token_too(tmp_path: Path) -> None:
    async with rig_of(tmp_path, proxy_header="Remote-User", proxy_role="admin") as rig:
        browser = Browser(rig.app, proxied=True, headers={**ORIGIN, "remote-user": "jane"})
        assert (await browser.ask("GET", "/api/accounts")).status_code == 200
        assert (await browser.ask("DELETE", "/api/accounts/jack")).status_code == 403


@pytest.mark.parametrize(
    ("allowed", "base_url", "peer", "status"),
    [
        ("off", "http://localhost", "127.0.0.1", 404),
        ("loopback", "https://images.example.com", "192.0.2.1", 404),
        ("loopback", "http://localhost", "127.0.0.1", 200),
    ],
)
async def test_from_where_people_may_sign_in(
    tmp_path: Path, allowed: str, base_url: str, peer: str, status: int
) -> None:
    async with rig_of(tmp_path, allowed=allowed) as rig:
        await rig.add("jane", Role.ADMIN)
        browser = Browser(rig.app, base_url, peer)
        answer = await browser.ask("GET", "/admin/login")
        assert (answer.status_code, answer.headers["cache-control"]) == (status, "no-store")
        await browser.login()
        assert await browser.signed_in() is (status == 200)
        assert (await browser.ask("GET", "/api/accounts")).status_code == (200 if status == 200 else 401)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"json": {"name": "jane"}}, 415),
        ({"data": {"name": "a" * 20_001}}, 413),
        ({"data": {str(number): "" for number in range(11)}}, 400),
        ({"data": {}}, 415),
        ({"data": {"name": "\udcff\0", "password": "\udcff"}}, 403),
    ],
)
async def test_strange_forms_are_rejected(rig: Rig, sent: dict[str, Any], status: int) -> None:
    if "data" in sent:
        body = "&".join(f"{name}={value}" for name, value in sent["data"].items()).encode("utf-8", "surrogateescape")
        form = {"content-type": "application/x-www-form-urlencoded"} if body else {}
        sent = {"content": body, "headers": {**ORIGIN, **form}}
    assert (await Browser(rig.app).ask("POST", "/admin/login", **sent)).status_code == status
