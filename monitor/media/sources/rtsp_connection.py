"""One RTSP connection to a camera (RFC 2326): requests and answers, and what is interleaved between them.

A thin adapter on aiortsp's `RTSPConnection`, which matches answers to requests and repeats a request after a 401. What
is done here instead, and why:
- reading: aiortsp's parser copies every packet several times and is quadratic for large reads, and on an error it logs
  the bytes that it read. Here the kernel reads into one buffer (`asyncio.BufferedProtocol`), packets are handed on as
  views into it, it is zeroed behind them, and only whole RTSP messages go to aiortsp's parser;
- its logger is one that drops everything, for it would be given addresses, headers with credentials, and packets;
- authentication is `rtsp_auth`'s: Digest first, with qop, SHA-256 and stale nonces.

Must never log or show a byte that came from the camera, nor leave a future whose exception nobody takes.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import socket
from collections.abc import Callable

from aiortsp.rtsp.connection import RTSPConnection
from aiortsp.rtsp.errors import RTSPConnectionError, RTSPError, RTSPResponseError, RTSPTimeoutError
from aiortsp.rtsp.parser import RTSPRequest, RTSPResponse

from monitor.core.camera_state import CameraReason
from monitor.media.sources.base import SourceEnded
from monitor.media.sources.rtsp_address import RtspAddress
from monitor.media.sources.rtsp_auth import Authorizer

CONNECT_SECONDS = 3.0
REQUEST_SECONDS = 5.0
_BUFFER = 1 << 18
_LONGEST_HEAD = 16384
_LONGEST_BODY = 65536
_DOLLAR, _CR, _LF, _LETTER_A, _LETTER_Z = 0x24, 0x0D, 0x0A, 0x41, 0x5A
_ZEROS = bytes(_BUFFER)
_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*(\d{1,6})[ \t]*\r\n", re.IGNORECASE)
_BARE_STATUS = re.compile(rb"(RTSP/1\.0 \d{3}) ?(?=\r\n)")

_SILENT = logging.Logger("silent", level=logging.CRITICAL + 1)  # noqa: LOG001  (of no hierarchy, on purpose)
"""Lets nothing through, whatever the configuration of logging says."""

_STATUS_REASONS: dict[int, CameraReason] = {
    401: "wrong-password",
    403: "wrong-password",
    404: "no-such-path",
    453: "closed-by-camera",  # not enough bandwidth: too many are watching
    454: "closed-by-camera",  # the session is gone
    461: "transport-refused",
    503: "closed-by-camera",
}

OnBinary = Callable[[int, memoryview, float], None]


class _MalformedError(Exception):
    """What came is neither an interleaved packet nor an RTSP message."""


def as_ended(error: RTSPError) -> SourceEnded:
    """aiortsp's errors as the reason that staff see."""
    if isinstance(error, RTSPTimeoutError):
        return SourceEnded("timeout")
    if isinstance(error, RTSPResponseError):
        return SourceEnded(_STATUS_REASONS.get(getattr(error.response, "status", 0), "protocol-error"))
    return SourceEnded("closed-by-camera" if isinstance(error, RTSPConnectionError) else "protocol-error")


class RtspConnection(RTSPConnection, asyncio.BufferedProtocol):  # type: ignore[misc]
    """Open with `open_connection`. `on_binary_frame(channel, data, arrival_ms)` gets each interleaved packet; the view
    is not valid after the call. `ended` is done when the connection is over, with the reason."""

    _transport: asyncio.Transport | None

    def __init__(self, address: RtspAddress, on_binary_frame: OnBinary, clock_ms: Callable[[], float]) -> None:
        super().__init__(address.host, address.port, logger=_SILENT, timeout=REQUEST_SECONDS)
        self._auth: _Authorization | None = None
        self._credentials = Authorizer(address.username, address.password, lambda: secrets.token_hex(8))
        self._on_binary_frame = on_binary_frame
        self._clock_ms = clock_ms
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self.ended: asyncio.Future[CameraReason] = asyncio.get_running_loop().create_future()

    async def request(self, method: str, url: str, headers: dict[str, str] | None = None) -> RTSPResponse:
        """Send a request, authenticated where the camera wants it, and return its 2xx answer. Raises SourceEnded."""
        if not self.running:
            raise SourceEnded(self.ended.result() if self.ended.done() else "closed-by-camera")
        try:
            return await self.send_request(method, url, headers or {})
        except RTSPError as error:
            # from None: the cause's text holds the camera's answer
            raise (SourceEnded(self.ended.result()) if self.ended.done() else as_ended(error)) from None

    def send_message(self, msg: str, cseq: int, headers: dict[str, str], body: bytes | None = None) -> None:
        """aiortsp's, which would let a request on a closed connection wait for its timeout."""
        if not self._transport:
            raise RTSPConnectionError("connection closed")
        super().send_message(msg, cseq, headers, body)

    def abort(self) -> None:
        """Close at once and zero the buffer."""
        self._end("closed-by-camera")
        if self._transport:
            self._transport.abort()
        self._view[:] = _ZEROS
        self._filled = 0

    def local_address(self) -> str:
        """The address of this machine that the camera sees."""
        return str(self._transport.get_extra_info("sockname")[0]) if self._transport else ""

    def peer_address(self) -> str:
        """The camera's address."""
        return str(self._transport.get_extra_info("peername")[0]) if self._transport else ""

    def __repr__(self) -> str:
        return f"<RtspConnection {'open' if self.running else 'closed'}>"

    # ---- asyncio.BufferedProtocol ------------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the kernel reads to."""
        return self._view[self._filled :]

    def buffer_updated(self, count: int) -> None:
        """So many bytes came."""
        self._filled += count
        arrival_ms = self._clock_ms()
        try:
            used = self._consume(arrival_ms)
        except _MalformedError:
            self._end("protocol-error")
            if self._transport:
                self._transport.abort()
            used = self._filled
        rest = self._filled - used
        self._view[:rest] = self._view[used : self._filled]
        self._view[rest : self._filled] = _ZEROS[rest : self._filled]
        self._filled = rest

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits for an answer is told; an exception is never left in a future that nobody reads."""
        self._end("closed-by-camera")
        self._transport = None
        for waiting in self.active_requests.values():
            if not waiting.done():
                waiting.set_exception(RTSPConnectionError("connection closed"))

    def eof_received(self) -> bool:
        """The camera closed its side: close ours."""
        return False

    # ---- messages ----------------------------------------------------------------------------------------------------

    def on_request(self, request: RTSPRequest) -> None:
        """A request from the camera: only that it ends the session means something to us."""
        if request.method == "TEARDOWN":
            self._end("closed-by-camera")
        self.send_response(request, 501, "Not Implemented")

    def handle_401(self, resp: RTSPResponse) -> bool:
        """Whether aiortsp shall send the request again, with what `rtsp_auth` makes of the challenge."""
        if not self._credentials.challenged(_all(resp.headers, "www-authenticate")):
            return False
        self._auth = _Authorization(self._credentials)
        return True

    def _consume(self, arrival_ms: float) -> int:
        """Take all that is whole; returns how many bytes that was. Raises on what is neither a packet nor a message."""
        buffer, at, end = self._buffer, 0, self._filled
        while at < end:
            first = buffer[at]
            if first == _DOLLAR:  # RFC 2326 section 10.12
                if end - at < 4:
                    break
                following = at + 4 + ((buffer[at + 2] << 8) | buffer[at + 3])
                if following > end:
                    break
                self._on_binary_frame(buffer[at + 1], self._view[at + 4 : following], arrival_ms)
                at = following
            elif first in (_CR, _LF):
                at += 1
            else:
                size = self._message_size(at, end)
                if size == 0:
                    break
                self._on_message(bytes(self._view[at : at + size]))
                at += size
        return at

    def _message_size(self, at: int, end: int) -> int:
        """How long the message at `at` is, 0 where it is not whole yet."""
        if not _LETTER_A <= self._buffer[at] <= _LETTER_Z:
            raise _MalformedError
        head = self._buffer.find(b"\r\n\r\n", at, end)
        if head < 0:
            if end - at > _LONGEST_HEAD:
                raise _MalformedError
            return 0
        length = _LENGTH.search(self._buffer, at, head + 2)
        body = int(length.group(1)) if length else 0
        if body > _LONGEST_BODY:
            raise _MalformedError
        size = head + 4 - at + body
        return size if at + size <= end else 0

    def _on_message(self, data: bytes) -> None:
        answer = data.startswith(b"RTSP/1.0 ")
        if not answer and not data.partition(b"\r\n")[0].endswith(b" RTSP/1.0"):
            raise _MalformedError
        message = RTSPResponse() if answer else RTSPRequest()
        try:
            _, done = message.feed(_BARE_STATUS.sub(rb"\1 -", data, count=1) if answer else data)
        except (RTSPError, ValueError, TypeError, AssertionError):
            raise _MalformedError from None  # with either of these, aiortsp's parser says that it makes no sense
        if not done:
            raise _MalformedError
        if not answer:
            self.on_request(message)
            return
        waiting = self.active_requests.get(message.cseq)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def _end(self, reason: CameraReason) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)


class _Authorization:
    """`rtsp_auth.Authorizer` in the form that aiortsp asks for."""

    def __init__(self, credentials: Authorizer) -> None:
        self._credentials = credentials

    def make_auth(self, method: str, url: str, headers: dict[str, str]) -> None:
        """Add the Authorization header."""
        value = self._credentials.header(method, url)
        if value is not None:
            headers["Authorization"] = value

    def handle_ok(self, headers: dict[str, str | list[str]]) -> None:
        """The camera let us in."""
        self._credentials.accepted(next(iter(_all(headers, "authentication-info")), None))


def _all(headers: dict[str, str | list[str]], name: str) -> list[str]:
    value = headers.get(name, [])
    return value if isinstance(value, list) else [value]


def header(response: RTSPResponse, name: str) -> str:
    """An answer's header, empty where it is missing; the first where there are several."""
    return next(iter(_all(response.headers, name)), "")


async def open_connection(
    address: RtspAddress, on_binary_frame: OnBinary, clock_ms: Callable[[], float]
) -> RtspConnection:
    """Connect within CONNECT_SECONDS. Raises SourceEnded: `unreachable` or `name-not-found`."""
    loop = asyncio.get_running_loop()
    connection = RtspConnection(address, on_binary_frame, clock_ms)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await loop.create_connection(lambda: connection, address.host, address.port)
    except TimeoutError:
        raise SourceEnded("unreachable") from None
    except OSError as error:
        raise SourceEnded("name-not-found" if isinstance(error, socket.gaierror) else "unreachable") from None
    return connection
