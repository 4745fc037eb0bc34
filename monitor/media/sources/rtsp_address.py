"""A camera's RTSP address, taken apart so that its password cannot slip out.

Must never give the user name or password in `url`, `repr` or an error: what is sent in request lines, and what anyone
may see, is made of the other parts only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from monitor.core.errors import InputError

DEFAULT_PORT = 554
"""RFC 2326 section 3.2."""
_HINT = "write rtsp://USER:PASSWORD@HOST/PATH; in USER and PASSWORD write @ as %40, / as %2F and : as %3A"


@dataclass(frozen=True)
class RtspAddress:
    """Where a camera is. `url` has no credentials."""

    host: str
    port: int
    url: str
    username: str = field(repr=False)
    password: str = field(repr=False)


def parse_address(address: str) -> RtspAddress:
    """Take `rtsp://user:password@host:port/path?query` apart.

    User and password are percent-decoded (RFC 3986 section 2.1). Raises InputError, which shows no part of the address.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InputError("a camera's address is not a URL", _HINT) from None
    if parts.scheme.lower() != "rtsp":
        raise InputError("a camera's address does not begin with rtsp://", _HINT)
    if not host:
        raise InputError("a camera's address names no host", _HINT)
    if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in address):
        raise InputError("a camera's address has a blank or a control character in it", _HINT)
    return RtspAddress(
        host=host,
        port=port or DEFAULT_PORT,
        url=without_credentials(address),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


def without_credentials(url: str) -> str:
    """The same URL without `user:password@` and without a fragment. Raises ValueError where it is not a URL."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
