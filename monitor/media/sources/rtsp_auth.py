"""How Vigil proves to a camera who it is: Digest (RFC 7616, RFC 2617, RFC 2069) and Basic (RFC 7617).

Pure: challenges in, header values out. Must never show the password: it has no repr, and no error names it. Digest is
always preferred, SHA-256 to MD5; Basic only where the camera offers nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_TOKENS = re.compile(r'([A-Za-z][\w-]*)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,]+)|([A-Za-z][\w-]*)')
_HASHES: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
}
_STRENGTH = {"MD5": 1, "SHA-256": 2}
_BASIC, _NOTHING = 0, -1


@dataclass(frozen=True)
class Challenge:
    """One way that the camera offers (RFC 7235 section 4.1)."""

    scheme: str
    params: dict[str, str]

    @property
    def algorithm(self) -> str:
        """Digest's hash, without `-sess`."""
        return self.params.get("algorithm", "MD5").upper().removesuffix("-SESS")

    @property
    def strength(self) -> int:
        """What to prefer; below 0 where it cannot be answered."""
        if self.scheme == "basic":
            return _BASIC
        if self.scheme != "digest" or "nonce" not in self.params or "realm" not in self.params:
            return _NOTHING
        offered = self.params.get("qop")
        if offered is not None and "auth" not in _words(offered):
            return _NOTHING  # auth-int alone, which no camera was seen to want
        return _STRENGTH.get(self.algorithm, _NOTHING)


def challenges(headers: Sequence[str]) -> list[Challenge]:
    """The challenges in WWW-Authenticate headers; one header may hold several."""
    found: list[Challenge] = []
    for header in headers:
        for name, value, scheme in _TOKENS.findall(header):
            if scheme:
                found.append(Challenge(scheme.lower(), {}))
            elif found:
                found[-1].params.setdefault(name.lower(), _unquoted(value))
    return found


class Authorizer:
    """The credentials for one connection. `new_cnonce` gives a fresh client nonce (RFC 7616 section 3.4)."""

    def __init__(self, username: str, password: str, new_cnonce: Callable[[], str]) -> None:
        self._username = username
        self._password = password
        self._new_cnonce = new_cnonce
        self._challenge: Challenge | None = None
        self._nonce_count = 0
        self._refusals = 0

    def challenged(self, www_authenticate: Sequence[str]) -> bool:
        """The camera answered 401. Returns whether the same request is worth another try.

        Once with the first challenge, and once more where the camera says that only its nonce was too old
        (`stale=true`, RFC 7616 section 3.3): a wrong password is not tried again and again, for cameras lock out.
        """
        best = max(challenges(www_authenticate), key=lambda one: one.strength, default=None)
        if best is None or best.strength == _NOTHING or not (self._username or self._password):
            return False
        first = self._challenge is None
        stale = best.params.get("stale", "").lower() == "true"
        self._refusals += 1
        if not first and not (stale and self._refusals <= 2):
            return False
        self._challenge, self._nonce_count = best, 0
        return True

    def accepted(self, authentication_info: str | None) -> None:
        """The camera answered otherwise than 401. It may name the nonce to use next (RFC 7616 section 3.5)."""
        self._refusals = 0
        if authentication_info and self._challenge:
            following = dict(_parameters(authentication_info)).get("nextnonce")
            if following:
                self._challenge = Challenge(self._challenge.scheme, {**self._challenge.params, "nonce": following})
                self._nonce_count = 0

    def header(self, method: str, url: str) -> str | None:
        """The Authorization header's value for a request, None before the camera has asked."""
        if self._challenge is None:
            return None
        if self._challenge.scheme == "basic":
            return "Basic " + base64.b64encode(f"{self._username}:{self._password}".encode()).decode()
        return self._digest(self._challenge, method, url)

    def _digest(self, challenge: Challenge, method: str, url: str) -> str:
        params = challenge.params
        hashed = _HASHES[challenge.algorithm]
        realm, nonce = params["realm"], params["nonce"]
        cnonce = self._new_cnonce()
        secret = hashed(f"{self._username}:{realm}:{self._password}".encode())
        if params.get("algorithm", "").upper().endswith("-SESS"):
            secret = hashed(f"{secret}:{nonce}:{cnonce}".encode())
        request = hashed(f"{method}:{url}".encode())
        fields = [f"username={_quoted(self._username)}", f"realm={_quoted(realm)}", f"nonce={_quoted(nonce)}"]
        fields.append(f"uri={_quoted(url)}")
        if "qop" in params:
            self._nonce_count += 1
            count = f"{self._nonce_count:08x}"
            response = hashed(f"{secret}:{nonce}:{count}:{cnonce}:auth:{request}".encode())
            fields += ["qop=auth", f"nc={count}", f"cnonce={_quoted(cnonce)}"]
        else:  # RFC 2069, as most cameras want it
            response = hashed(f"{secret}:{nonce}:{request}".encode())
        fields.append(f'response="{response}"')
        if "algorithm" in params:
            fields.append(f"algorithm={params['algorithm']}")
        if "opaque" in params:
            fields.append(f"opaque={_quoted(params['opaque'])}")
        return "Digest " + ", ".join(fields)


def _words(text: str) -> set[str]:
    return {word.strip().lower() for word in text.split(",")}


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    for name, value, _ in _TOKENS.findall(text):
        if name:
            yield name.lower(), _unquoted(value)


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
