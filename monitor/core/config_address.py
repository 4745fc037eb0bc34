"""A camera's address: `rtsp://user:password@host:port/path`, `pattern:` or `file:/path`.

This module must never show a password: `str` and `repr` leave the user part out, and only `secret()` gives the whole
address, for the door to the media process and for nothing else. `usb:`, `http:`, `https:` and `rtsps:` are known and
refused: a later version brings them.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

from pydantic import GetCoreSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from monitor.core.config_problems import LATER

AddressKind = Literal["rtsp", "pattern", "file"]

RTSP_PORT = 554
"""Where an address names none (RFC 2326 section 3.2)."""
MAX_LENGTH = 2048
"""As `messages.Address`."""
MAX_PATH = 1024
"""As `messages.Path`."""
MAX_PORT = 65535
KNOWN = "rtsp://…, pattern: and file:/PATH"

_LATER_SCHEMES = ("usb", "http", "https", "rtsps", "rtspu")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_RTSP = re.compile(
    r"rtsp://(?:(?P<user>[^/?#]*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>[/?][^#]*)?",
    re.IGNORECASE,
)
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")


class AddressError(Exception):
    """An address that is refused. Neither message nor hint shows it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True)
class Login:
    """Where a camera is, and who asks it. `repr` leaves user and password out."""

    host: str
    """A name, an IPv4 address, or an IPv6 address without brackets."""
    user: str = field(repr=False)
    password: str = field(repr=False)


class Address:
    """One camera's address. Immutable; equal where the whole address is equal."""

    __slots__ = ("_secret", "_shown", "has_password", "identity", "kind", "path")

    def __init__(self, text: str) -> None:
        """Raises AddressError."""
        self._secret = text
        self._shown = "address"
        self.kind: AddressKind
        self.identity = ""
        """`host:port/path` in one spelling, to tell whether two addresses are one camera; "" where it is no device."""
        self.path = ""
        """Of `file:`: the file."""
        self.has_password = False
        if len(text) > MAX_LENGTH:
            raise AddressError(f"a camera address has at most {MAX_LENGTH} characters", "")
        if _UNPRINTABLE.search(text):
            raise AddressError("a camera address has no blanks and no control characters", "write a blank in it as %20")
        scheme = _SCHEME.match(text)
        name = scheme.group(1).lower() if scheme else ""
        if name == "rtsp":
            self._rtsp(text)
        elif name == "pattern":
            self._pattern(text)
        elif name == "file":
            self._file(text)
        elif name in _LATER_SCHEMES:
            raise AddressError(f"cameras at {name}: are not supported yet", f"{LATER}{KNOWN}")
        else:
            raise AddressError("not a camera address", f"write {KNOWN}")

    def _rtsp(self, text: str) -> None:
        match = _RTSP.fullmatch(text)
        if not match:
            raise AddressError(
                "an rtsp address that cannot be read",
                "write rtsp://user:${PASSWORD}@host:554/path; in a plain password @ : / ? # are %40 %3A %2F %3F %23",
            )
        port = int(match["port"] or RTSP_PORT)
        if not 1 <= port <= MAX_PORT:
            raise AddressError(f"a port of an rtsp address is from 1 to {MAX_PORT}", "")
        host = match["host"].lower()
        if host.startswith("["):
            try:
                host = f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
            except ValueError:
                raise AddressError("an rtsp address with an IPv6 address that cannot be read", "") from None
        path = match["path"] or "/"
        self.kind = "rtsp"
        self.has_password = ":" in (match["user"] or "") and not match["user"].endswith(":")
        self.identity = f"{host}:{port}{path}"
        # Some cameras take the password as a part of the query: none of it is shown.
        shown_port = f":{port}" if match["port"] else ""
        self._shown = f"rtsp://{host}{shown_port}{path.partition('?')[0]}"

    def _pattern(self, text: str) -> None:
        if text.lower() != "pattern:":
            raise AddressError("pattern: stands alone", "write pattern: and nothing behind it")
        self.kind, self._shown, self._secret = "pattern", "pattern:", "pattern:"

    def _file(self, text: str) -> None:
        path = text[len("file:") :]
        if not path.startswith("/") or path.startswith("//") or path.endswith("/"):
            raise AddressError("a file: address holds the whole path of a file", "write file:/PATH")
        if len(path) > MAX_PATH:
            raise AddressError(f"the path of a file: address has at most {MAX_PATH} characters", "")
        self.kind, self.path, self._shown, self._secret = "file", path, f"file:{path}", f"file:{path}"

    def secret(self) -> str:
        """The whole address with its password: for the door, never for a log, an error or an answer."""
        return self._secret

    def login(self) -> Login | None:
        """Host, user and password of an `rtsp:` address, percent-decoded (RFC 3986 section 2.1); None for any other.

        For asking the camera itself, and under the same rule as `secret`.
        """
        match = _RTSP.fullmatch(self._secret) if self.kind == "rtsp" else None
        if match is None:
            return None
        user, _, password = (match["user"] or "").partition(":")
        return Login(match["host"].lower().strip("[]"), unquote(user), unquote(password))

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"Address({self._shown!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and other._secret == self._secret

    def __hash__(self) -> int:
        return hash(self._secret)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Lets a pydantic model have a field of this type; written out without its password."""
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def _validate(cls, value: object) -> Address:
        if isinstance(value, Address):
            return value
        if not isinstance(value, str):
            raise PydanticCustomError("string_type", "must be a string")
        try:
            return cls(value)
        except AddressError as error:
            refused = PydanticCustomError("vigil", "{message}", {"message": error.message, "hint": error.hint})
        raise refused
