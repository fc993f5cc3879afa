"""Sessions of signed-in people: signed, stored only when they end early, and ended by any change of their account."""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from itsdangerous import BadData, Signer, URLSafeSerializer

from imgserve.access.accounts import AccountList
from imgserve.catalog import Account
from imgserve.errors import CatalogUnavailable

_RENEW_SECONDS = 60
"""A session is renewed at the first use after this time."""
_SIGNING: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}


@dataclass(frozen=True, slots=True)
class Session:
    """A person who is signed in, in one browser."""

    account: Account
    id: str
    """Random; the same after renewals."""
    began: float
    seen: float


class Sessions:
    """Signs and checks sessions."""

    def __init__(
        self, accounts: AccountList, *, idle: float, longest: float, clock: Callable[[], float] = time.time
    ) -> None:
        """Limit sessions to `idle` seconds without use, and `longest` seconds in all."""
        self.accounts = accounts
        self.longest = longest
        self._idle = min(idle, longest)
        self._clock = clock

    def begin(self, account: Account) -> Session:
        """Return a new session."""
        now = self._clock()
        return Session(account, secrets.token_urlsafe(16), now, now)

    def renewed(self, session: Session) -> Session | None:
        """Return the session with the present time of use if it should be sent again, else None."""
        now = self._clock()
        again = now - session.seen >= min(_RENEW_SECONDS, self._idle / 4)
        return Session(session.account, session.id, session.began, now) if again else None

    async def end(self, session: Session) -> None:
        """End a session with all its renewals, so that copies of its cookie are rejected."""
        await self.accounts.end(session.id, session.began + self.longest)

    def text(self, session: Session) -> str:
        """Return a session as signed text; raise CatalogUnavailable if the catalog could not be read yet."""
        account = session.account
        return self._signed(
            "session", [account.name, account.changed.isoformat(), session.id, session.began, session.seen]
        )

    def read(self, text: str) -> Session | None:
        """Return the session of a signed text, or None if it has ended."""
        match self._read("session", text):
            case [str(name), str(changed), str(session_id), int() | float() as began, int() | float() as seen]:
                account, now = self.accounts.find(name), self._clock()
                late = now >= began + self.longest or now >= seen + self._idle
                ended = late or self.accounts.has_ended(session_id)
                if account is not None and account.changed.isoformat() == changed and not ended:
                    return Session(account, session_id, began, seen)
        return None

    def device(self, account: Account) -> str:
        """Return a signed text by which a browser is recognized from which this person has signed in before."""
        return self._signed("device", [account.name, secrets.token_urlsafe(12)])

    def known_device(self, name: str, text: str) -> str:
        """Return what identifies a browser from which an account was used before, or an empty text."""
        match self._read("device", text):
            case [str(owner), str(device)] if owner == name:
                return device
        return ""

    def token(self, subject: str) -> str:
        """Return the token against forged requests of a session, or of a person whom a proxy signs in."""
        return self._signer("forgery").get_signature(subject).decode()

    def is_token(self, subject: str, token: str) -> bool:
        """Return whether a token belongs to a session."""
        return bool(self.accounts.secret) and self._signer("forgery").verify_signature(subject, token)

    def _signed(self, purpose: str, value: Any) -> str:
        return str(self._serializer(purpose).dumps(value))

    def _read(self, purpose: str, text: str) -> Any:
        if not (text and self.accounts.secret):
            return None
        try:
            return self._serializer(purpose).loads(text)
        except BadData:
            return None

    def _serializer(self, purpose: str) -> URLSafeSerializer:
        return URLSafeSerializer(self._secret(), purpose, signer_kwargs=_SIGNING)

    def _signer(self, purpose: str) -> Signer:
        return Signer(self._secret(), purpose, **_SIGNING)

    def _secret(self) -> str:
        if not self.accounts.secret:
            raise CatalogUnavailable
        return self.accounts.secret
