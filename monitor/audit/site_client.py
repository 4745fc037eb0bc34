"""Talks to the running site over HTTP, as IT's own scripts would: with a token, over TLS that is verified.

It must never send a password or keep a token beyond its own life, and never follow a redirection elsewhere. What the
site says is its own word: checks that need the kernel's are made elsewhere.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from monitor.core.errors import Unavailable

MAX_BODY = 8 << 20
"""Bytes of the largest answer that is read."""


@dataclass(frozen=True)
class Answer:
    """What came back. The names of `headers` are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class SiteClient:
    """One site. Each request is a connection of its own, so the client may be used from several threads.

    `base_url`: `https://127.0.0.1:8443`. `cafile`: the site's own certificate (or its issuer's), PEM; None: the
    system's. `name`: the name that the certificate must carry, where it is not the host of `base_url`.
    """

    def __init__(
        self, base_url: str, cafile: str | None = None, token: str = "", *, name: str = "", timeout: float = 15.0
    ) -> None:
        """Raises Unavailable where the certificate cannot be read."""
        parts = urlsplit(base_url)
        self.base_url = base_url
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self._name = name or self.host
        self._token = token
        self._timeout = timeout
        self._context = _context(cafile) if parts.scheme == "https" else None

    # ---- blocking ----------------------------------------------------------------------------------------------------

    def request(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> Answer:
        """One request. Raises Unavailable where no answer comes; an answer that refuses is no error here."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if content_type:
            headers["Content-Type"] = content_type
        connection = _Connection(self.host, self.port, self._timeout, self._context, self._name)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            got = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, got, answer.read(MAX_BODY))
        except ssl.SSLCertVerificationError as error:
            raise Unavailable(
                f"the certificate at {self.base_url} is not the site's own: {error.verify_message}",
                "look at server.tls in the configuration",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise Unavailable(f"{self.base_url} does not answer: {why}", "start the site: vigil serve") from None
        finally:
            connection.close()

    def get_json(self, path: str) -> Any:
        """The JSON at a path. Raises Unavailable where there is none."""
        return self._json("GET", path, self.request("GET", path))

    def post(self, path: str, body: object = None) -> Any:
        """Post JSON; the JSON of the answer. Raises Unavailable where it is refused."""
        data = json.dumps({} if body is None else body).encode()
        return self._json("POST", path, self.request("POST", path, data, "application/json"))

    def delete(self, path: str) -> None:
        """Raises Unavailable where it is refused."""
        self._checked("DELETE", path, self.request("DELETE", path))

    def headers(self, path: str) -> dict[str, str]:
        """The headers with which a path is served, whatever the status; names in lower case. Raises Unavailable."""
        return self.request("GET", path).headers

    # ---- in an event loop --------------------------------------------------------------------------------------------

    async def arequest(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> Answer:
        """As `request`."""
        return await asyncio.to_thread(self.request, method, path, body, content_type)

    async def aget_json(self, path: str) -> Any:
        """As `get_json`."""
        return await asyncio.to_thread(self.get_json, path)

    async def apost(self, path: str, body: object = None) -> Any:
        """As `post`."""
        return await asyncio.to_thread(self.post, path, body)

    async def adelete(self, path: str) -> None:
        """As `delete`."""
        await asyncio.to_thread(self.delete, path)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _json(self, method: str, path: str, answer: Answer) -> Any:
        self._checked(method, path, answer)
        try:
            return json.loads(answer.body)
        except ValueError:
            raise Unavailable(f"{method} {path} was not answered in JSON", "is this Vigil's port?") from None

    def _checked(self, method: str, path: str, answer: Answer) -> None:
        if not 200 <= answer.status < 300:
            title, hint = refusal(answer)
            raise Unavailable(f"{method} {path} was answered {answer.status}: {title}", hint)


def refusal(answer: Answer) -> tuple[str, str]:
    """What a problem body (RFC 9457) says, and its hint; both may be empty."""
    try:
        body = json.loads(answer.body)
        return str(body.get("detail") or body.get("title") or ""), str(body.get("hint") or "")
    except (ValueError, AttributeError):
        return "no reason was given", ""


def _context(cafile: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=cafile)
    except OSError as error:  # ssl.SSLError is one, with words of OpenSSL's
        why = "it is no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise Unavailable(f"the certificate {cafile} cannot be read: {why}", "run this as root") from None
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the site's own certificate is trusted, whoever signed it
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


class _Connection(http.client.HTTPConnection):
    """A connection whose certificate may be for another name than the address that is called."""

    def __init__(self, host: str, port: int, timeout: float, context: ssl.SSLContext | None, name: str) -> None:
        super().__init__(host, port, timeout=timeout)
        self._context = context
        self._name = name

    def connect(self) -> None:
        """Connect, and check the certificate."""
        sock = socket.create_connection((self.host, self.port), self.timeout)
        if self._context is not None:
            try:
                sock = self._context.wrap_socket(sock, server_hostname=self._name)
            except BaseException:
                sock.close()
                raise
        self.sock = sock
