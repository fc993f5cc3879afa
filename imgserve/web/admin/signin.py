"""The pages on which people sign in and out, and change their password."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from imgserve.access.abuse import LOGIN_FAILED
from imgserve.access.access import Access
from imgserve.access.accounts import (
    Passwords,
    Role,
    SetupLinks,
    account_name,
    name_mistake,
    password_mistake,
)
from imgserve.catalog import Account, Accounts
from imgserve.errors import RateLimited
from imgserve.records import AuditEntry
from imgserve.web.admin.shell import Shell, form_fields, private, redirect
from imgserve.web.api.router import Auditor
from imgserve.web.documents import Page, restricted
from imgserve.web.middleware import KEY, RequestRecord
from imgserve.web.visitors import From, Visitor, Visitors, cookie_name

_WRONG = "The name or the password is wrong."
_USED_UP = "This link is no longer valid. The command imgserve accounts link prints a new one."


@dataclass(frozen=True, slots=True)
class SignInPages:
    """The pages of sessions and passwords."""

    visitors: Visitors
    passwords: Passwords
    accounts: Accounts
    links: SetupLinks
    audit: Auditor
    shell: Shell

    def routes(self, access: Access, allowed: From) -> list[BaseRoute]:
        """Return the routes."""
        pages: Mapping[str, tuple[Page, list[str]]] = {
            "/admin/account": (self.account, ["GET"]),
            "/admin/login": (self.login, ["GET", "POST"]),
            "/admin/setup": (self.setup, ["GET", "POST"]),
            "/admin/password": (self.password, ["POST"]),
            "/admin/logout": (self.logout, ["POST"]),
        }
        return [
            Route(path, private(restricted(page, allowed, access)), methods=methods)
            for path, (page, methods) in pages.items()
        ]

    async def account(self, request: Request) -> Response:
        """Show who is signed in, with the form that changes the password."""
        visitor = self.visitors.find(request)
        return redirect(request, "login") if visitor is None else self._account(request, visitor)

    async def login(self, request: Request) -> Response:
        """Show the login, or sign in; a new session begins, whatever the browser has sent."""
        if request.method != "POST":
            signed_in = self.visitors.find(request) is not None
            return redirect(request, "") if signed_in else self.shell.page(request, "login.html")
        self.visitors.check_origin(request)
        if cookie_name(request) is None:
            return self.shell.page(request, "login.html", HTTPStatus.FORBIDDEN)
        form = await form_fields(request)
        name = account_name(form.get("name", ""))
        try:
            account = await self._verify(request, name, form.get("password", ""))
        except RateLimited as error:
            return self._limited(request, "login.html", error, name=name)
        if account is None:
            return self.shell.page(request, "login.html", HTTPStatus.FORBIDDEN, mistake=_WRONG, name=name)
        await self._note(request, "login", name)
        return self._signed_in(request, account)

    async def setup(self, request: Request) -> Response:
        """Show the form that creates an account by a link of the command line, or create it and sign in."""
        if request.method != "POST":
            token = request.query_params.get("token", "")
            if not await self.links.valid(token):
                return self.shell.page(request, "setup.html", HTTPStatus.NOT_FOUND, mistake=_USED_UP)
            return self.shell.page(request, "setup.html", token=token)
        self.visitors.check_origin(request)
        form = await form_fields(request)
        name, password, token = account_name(form.get("name", "")), form.get("password", ""), form.get("token", "")
        if not await self.links.valid(token):
            return self.shell.page(request, "setup.html", HTTPStatus.NOT_FOUND, mistake=_USED_UP)
        mistake = name_mistake(name) or password_mistake(name, password)
        if not mistake and self.visitors.sessions.accounts.find(name) is not None:
            mistake = "An account with this name exists already."
        if mistake or cookie_name(request) is None:
            status = HTTPStatus.UNPROCESSABLE_ENTITY if mistake else HTTPStatus.FORBIDDEN
            return self.shell.page(request, "setup.html", status, mistake=mistake, name=name, token=token)
        digest, now = await self.passwords.hash(password), datetime.now(UTC)
        account = Account(name, Role.ADMIN.value, digest, now, now)
        if not (await self.links.use(token) and await self.accounts.add(account)):
            return self.shell.page(request, "setup.html", HTTPStatus.NOT_FOUND, mistake=_USED_UP)
        await self._note(request, "accounts_create", name, {"role": account.role})
        return await self._changed(request, name)

    async def password(self, request: Request) -> Response:
        """Change the password, which ends all other sessions of the account."""
        visitor, form = await self._submitted(request)
        if visitor is None or visitor.session is None:
            return redirect(request, "login")
        new, mistake = form.get("new", ""), _WRONG
        try:
            if await self._verify(request, visitor.name, form.get("password", "")):
                mistake = password_mistake(visitor.name, new)
        except RateLimited as error:
            return self._limited(request, "account.html", error, visitor=visitor)
        if mistake:
            return self._account(request, visitor, HTTPStatus.UNPROCESSABLE_ENTITY, mistake=mistake)
        await self.accounts.change(visitor.name, password=await self.passwords.hash(new))
        await self._note(request, "password_change", visitor.name)
        return await self._changed(request, visitor.name)

    async def logout(self, request: Request) -> Response:
        """End the session, or all sessions of the account."""
        visitor, form = await self._submitted(request)
        response = redirect(request, "login", self.visitors.no_cookies(request))
        if visitor is not None:
            everywhere = "everywhere" in form
            if everywhere:
                await self.accounts.change(visitor.name)
            if visitor.session is not None:
                await self.visitors.sessions.end(visitor.session)
            await self._note(request, "logout", visitor.name, {"everywhere": everywhere})
        return response

    async def _submitted(self, request: Request) -> tuple[Visitor | None, dict[str, str]]:
        """Return who has submitted a form of the page, and its fields; raise Forbidden if another page may have."""
        self.visitors.check_origin(request)
        visitor, form = self.visitors.find(request), await form_fields(request)
        if visitor is not None:
            self.visitors.check_token(visitor, form.get("token", ""))
        return visitor, form

    async def _verify(self, request: Request, name: str, password: str) -> Account | None:
        """Return the account that a name and a password open, or None, which is recorded.

        A name that is no account's is not recorded: people type passwords into the wrong field.
        """
        device = self.visitors.device(request, name)
        account = await self.passwords.verify(name, password, address=_address(request), device=device)
        if account is None:
            request.scope[KEY].outcome = LOGIN_FAILED
            known = self.visitors.sessions.accounts.find(name) is not None
            await self._note(request, "login_failed", name if known else "", actor="")
        return account

    async def _changed(self, request: Request, name: str) -> Response:
        """Return the response with a new session of an account that was just changed."""
        accounts = self.visitors.sessions.accounts
        await accounts.refresh()
        account = accounts.find(name)
        return redirect(request, "login") if account is None else self._signed_in(request, account)

    def _signed_in(self, request: Request, account: Account) -> Response:
        session = self.visitors.sessions.begin(account)
        headers = [*self.visitors.cookies(request, session), *self.visitors.device_cookie(request, account)]
        return redirect(request, "", headers)

    def _account(self, request: Request, visitor: Visitor, status: int = 200, *, mistake: str = "") -> Response:
        return self.shell.page(request, "account.html", status, visitor=visitor, mistake=mistake)

    def _limited(self, request: Request, template: str, error: RateLimited, **values: Any) -> Response:
        request.scope[KEY].outcome = error.code
        response = self.shell.page(
            request, template, error.status, mistake=f"{error.detail} Try again later.", **values
        )
        if error.retry_after is not None:
            response.headers["retry-after"] = str(error.retry_after)
        return response

    async def _note(
        self,
        request: Request,
        action: str,
        name: str,
        after: Mapping[str, object] | None = None,
        *,
        actor: str | None = None,
    ) -> None:
        """Record what a person did."""
        record: RequestRecord = request.scope[KEY]
        entry = AuditEntry(
            at=datetime.now(UTC),
            actor=f"account:{name}" if actor is None else actor,
            address=_address(request),
            action=action,
            target=name,
            after=after or {},
            request_id=record.request_id,
        )
        await self.audit.finish(entry)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
