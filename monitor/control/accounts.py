"""Tokens, sign-in codes and sessions: who is asking.

A token is 256 random bits, shown once. Only SHA-256 hashes are kept: a slow password hash protects secrets that people
choose and that can be guessed; nobody searches 2²⁵⁶. A one-time code signs a browser in without the token ever
standing in an address; a session is what the browser's cookie holds. All end with their token. Must never log, return
or store a secret beyond the one time it is handed out.

The command line uses the plain methods, from its own process; the server the async ones. Both meet in the journal.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass

from monitor.control.clock import wall_ms
from monitor.control.journal import Journal
from monitor.core.access import ROLES, Role
from monitor.core.errors import InputError, NotFound, NotSignedIn

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SESSION_MS: dict[Role, int] = {
    "nurse": 16 * HOUR_MS,  # a long shift
    "display": 400 * DAY_MS,  # a wall screen has no keyboard to sign in again; browsers keep cookies no longer
    "button": 400 * DAY_MS,
    "it": 8 * HOUR_MS,
    "admin": 8 * HOUR_MS,
}
"""How long a sign-in lasts at most. It ends before that with its token."""

_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,64}")


@dataclass(frozen=True)
class TokenInfo:
    """A token as it may be shown: everything but the secret. Moments in Unix milliseconds."""

    id: str
    role: Role
    name: str
    button: str | None
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None

    def usable(self, now_ms: int) -> bool:
        """Whether it opens anything at this moment."""
        return self.revoked_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)


@dataclass(frozen=True)
class Identity:
    """Who is asking. `session_id` is None for one who shows the token itself."""

    role: Role
    name: str
    token_id: str
    button: str | None
    session_id: str | None

    @property
    def screen(self) -> str:
        """What tells this screen or device from others of the same account."""
        return self.session_id or self.token_id


@dataclass(frozen=True)
class Session:
    """A new session: `secret` goes into the cookie and nowhere else."""

    secret: str
    identity: Identity
    lasts_ms: int


class Accounts:
    """The accounts in a journal."""

    def __init__(self, journal: Journal, now_ms: Callable[[], int] = wall_ms) -> None:
        self._journal = journal
        self._now_ms = now_ms

    def create_token(
        self, role: str, name: str, button: str | None = None, expires_days: float | None = None
    ) -> tuple[str, str]:
        """A new token: (its id, the secret). Raises InputError on what makes no sense."""
        if role not in ROLES:
            raise InputError(f"there is no role '{role}'", "roles: " + ", ".join(ROLES))
        if not _NAME.fullmatch(name) or name != name.strip():
            raise InputError("a token's name has 1 to 64 characters, without blanks at its ends", "")
        if (role == "button") != (button is not None):
            raise InputError("a token of the role button, and no other, belongs to a button", "name it with --button")
        if expires_days is not None and not 0 < expires_days <= 3660:
            raise InputError("a token lasts more than 0 and at most 3660 days", "")
        token_id, secret, now_ms = _id("t"), _secret("token"), self._now_ms()
        expires_ms = None if expires_days is None else now_ms + round(expires_days * DAY_MS)

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                (token_id, _hash(secret), role, name, button, now_ms, expires_ms),
            )
            log_security(db, now_ms, "token-created", name, token_id)

        self._journal.write_now(work)
        return token_id, secret

    def list_tokens(self) -> list[TokenInfo]:
        """All tokens, the oldest first, with those that are revoked or over."""

        def work(db: sqlite3.Connection) -> list[TokenInfo]:
            rows = db.execute(
                "SELECT id, role, name, button, created_ms, expires_ms, revoked_ms FROM tokens ORDER BY created_ms, id"
            )
            return [TokenInfo(*row) for row in rows]

        return self._journal.read_now(work)

    def revoke(self, name_or_id: str) -> int:
        """End the token of this id, or every token of this name; the number that ended. Sessions end with them, and a
        running server sees it within a second. Raises NotFound where there is none left to end."""
        now_ms = self._now_ms()

        def work(db: sqlite3.Connection) -> int:
            found = db.execute(
                "SELECT id, name FROM tokens WHERE (id = ?1 OR name = ?1) AND revoked_ms IS NULL", (name_or_id,)
            ).fetchall()
            for token_id, name in found:
                db.execute("UPDATE tokens SET revoked_ms = ? WHERE id = ?", (now_ms, token_id))
                db.execute("DELETE FROM sessions WHERE token = ?", (token_id,))
                db.execute("DELETE FROM sign_in_codes WHERE token = ?", (token_id,))
                log_security(db, now_ms, "token-revoked", name, token_id)
            return len(found)

        count = self._journal.write_now(work)
        if not count:
            raise NotFound("there is no such token, or it is revoked already", "see `vigil token list`")
        return count

    def create_sign_in_code(self, token_id: str, minutes: float = 10) -> str:
        """A code that signs one browser in as this token, once, within `minutes`. Raises NotFound."""
        code, now_ms = _secret("code"), self._now_ms()

        def work(db: sqlite3.Connection) -> bool:
            if _token(db, token_id, now_ms) is None:
                return False
            db.execute(
                "INSERT INTO sign_in_codes VALUES (?, ?, ?)", (_hash(code), token_id, now_ms + round(minutes * 60_000))
            )
            return True

        if not self._journal.write_now(work):
            raise NotFound("there is no such token", "see `vigil token list`")
        return code

    async def sign_in(self, code_or_token: str, address: str = "") -> Session:
        """A session for a one-time code, which is used up, or for a token. Raises NotSignedIn."""
        hashed, secret, session_id, now_ms = _hash(code_or_token), _secret("session"), _id("s"), self._now_ms()

        def work(db: sqlite3.Connection) -> Session | None:
            used = db.execute(
                "DELETE FROM sign_in_codes WHERE hash = ? RETURNING token, expires_ms", (hashed,)
            ).fetchone()
            if used is not None:
                token = _token(db, used[0], now_ms) if now_ms < used[1] else None
            else:
                token = _token(db, hashed, now_ms)
            if token is None:
                return None
            lasts_ms = SESSION_MS[token.role]
            if token.expires_ms is not None:
                lasts_ms = min(lasts_ms, token.expires_ms - now_ms)
            db.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?)",
                (session_id, _hash(secret), token.id, now_ms, now_ms + lasts_ms),
            )
            log_security(db, now_ms, "sign-in", token.name, token.id, address)
            return Session(secret, _identity(token, session_id), lasts_ms)

        session = await self._journal.write(work)
        if session is None:
            raise NotSignedIn("this code or token is not valid", "ask for a new one; a code works once, for 10 minutes")
        return session

    async def sign_in_failed(self, address: str) -> None:
        """Write down that somebody tried."""
        now_ms = self._now_ms()
        await self._journal.write(lambda db: log_security(db, now_ms, "sign-in-failed", "", "", address))

    async def who(self, *, token: str | None = None, session: str | None = None) -> Identity:
        """Who shows this token or this session's secret. Looked up each time, so a revocation holds at once.

        Raises NotSignedIn.
        """
        hashed, now_ms = _hash(token or session or ""), self._now_ms()

        def work(db: sqlite3.Connection) -> Identity | None:
            if token:
                found = _token(db, hashed, now_ms)
                return None if found is None else _identity(found, None)
            row = db.execute("SELECT id, token, expires_ms FROM sessions WHERE hash = ?", (hashed,)).fetchone()
            if row is None or now_ms >= row[2]:
                return None
            found = _token(db, row[1], now_ms)
            return None if found is None else _identity(found, row[0])

        identity = await self._journal.read(work)
        if identity is None:
            raise NotSignedIn("this sign-in is over or not valid", "sign in again")
        return identity

    async def sign_out(self, identity: Identity) -> None:
        """End the session. The token stays."""
        now_ms = self._now_ms()

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM sessions WHERE id = ?", (identity.session_id,))
            log_security(db, now_ms, "sign-out", identity.name, identity.token_id)

        if identity.session_id is not None:
            await self._journal.write(work)

    async def still_valid(self, identities: Collection[Identity]) -> set[Identity]:
        """Those of the given that may go on: for what stands longer than a request."""
        now_ms = self._now_ms()

        def work(db: sqlite3.Connection) -> set[Identity]:
            tokens = {one for one in {identity.token_id for identity in identities} if _token(db, one, now_ms)}
            sessions = {row[0] for row in db.execute("SELECT id FROM sessions WHERE expires_ms > ?", (now_ms,))}
            return {
                one
                for one in identities
                if one.token_id in tokens and (one.session_id is None or one.session_id in sessions)
            }

        return await self._journal.read(work)


def log_security(db: sqlite3.Connection, at_ms: int, event: str, who: str, token: str, address: str = "") -> None:
    """One line of the security log, within the caller's transaction."""
    db.execute(
        "INSERT INTO security_log (at_ms, event, who, token, address) VALUES (?, ?, ?, ?, ?)",
        (at_ms, event, who, token, address),
    )


def _token(db: sqlite3.Connection, value: str | bytes, now_ms: int) -> TokenInfo | None:
    """The usable token of this id, or of this hash."""
    row = db.execute(
        "SELECT id, role, name, button, created_ms, expires_ms, revoked_ms FROM tokens WHERE id = ?1 OR hash = ?1",
        (value,),
    ).fetchone()
    token = None if row is None else TokenInfo(*row)
    return token if token is not None and token.usable(now_ms) else None


def _identity(token: TokenInfo, session_id: str | None) -> Identity:
    return Identity(token.role, token.name, token.id, token.button, session_id)


def _secret(kind: str) -> str:
    """256 random bits. The prefix lets a secret scanner know what it found."""
    return f"vigil_{kind}_{secrets.token_urlsafe(32)}"


def _id(prefix: str) -> str:
    """A name for logs: opens nothing."""
    return f"{prefix}-{secrets.token_hex(6)}"


def _hash(secret: str) -> bytes:
    # A lookup by hash takes no time that depends on the secret's own characters.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
