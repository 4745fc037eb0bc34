"""A camera that misbehaves on purpose, for the faults that GStreamer's server cannot be made to have.

`ScriptedCamera` speaks just enough RTSP to be set up and played; any answer can be replaced, and what it streams is
given to it as bytes. It keeps every request that it got.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

SDP = """v=0
o=- 1 1 IN IP4 127.0.0.1
s=camera
t=0 0
a=control:*
m=audio 0 RTP/AVP 8
a=control:sound
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1
a=control:picture
"""


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    headers: dict[str, str]


Answer = bytes | Callable[[Request], "bytes | None"]
"""Bytes are sent as they are; a function may return None for no answer at all."""


def rtp(seq: int, payload: bytes, *, timestamp: int = 0, marker: bool = True, pt: int = 96, ssrc: int = 7) -> bytes:
    return struct.pack("!BBHII", 0x80, pt | (0x80 if marker else 0), seq, timestamp, ssrc) + payload


def interleaved(channel: int, data: bytes) -> bytes:
    return struct.pack("!BBH", 0x24, channel, len(data)) + data


def reply(request: Request, status: str = "200 OK", body: str = "", **headers: str) -> bytes:
    lines = [f"RTSP/1.0 {status}", f"CSeq: {request.headers.get('cseq', '0')}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body:
        lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class ScriptedCamera:
    """`async with ScriptedCamera(...) as camera: camera.url()`.

    `greeting` is sent at once on each connection; `answers` replaces the answer to a method; `stream` is sent behind
    the answer to PLAY in pieces of `chunk` bytes; `hang_up` closes the connection: "at-once", "after-play".
    """

    def __init__(
        self,
        *,
        sdp: str = SDP,
        greeting: bytes = b"",
        answers: dict[str, Answer] | None = None,
        stream: bytes = b"",
        chunk: int = 65536,
        hang_up: str = "",
    ) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.from_client = bytearray()
        self._sdp = sdp
        self._greeting = greeting
        self._answers = answers or {}
        self._stream = stream
        self._chunk = chunk
        self._hang_up = hang_up
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> ScriptedCamera:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    def url(self, credentials: str = "") -> str:
        return f"rtsp://{credentials}127.0.0.1:{self.port}/cam?channel=1"

    def methods(self) -> list[str]:
        return [request.method for request in self.requests]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            writer.write(self._greeting)
            while self._hang_up != "at-once":
                request = await self._read(reader)
                self.requests.append(request)
                answer = self._answers.get(request.method, self._answer)
                data = answer if isinstance(answer, bytes) else answer(request)
                writer.write(data or b"")
                if request.method == "PLAY":
                    for at in range(0, len(self._stream), self._chunk):
                        writer.write(self._stream[at : at + self._chunk])
                        await writer.drain()
                        await asyncio.sleep(0)
                    if self._hang_up == "after-play":
                        break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Request:
        while (first := await reader.readexactly(1)) == b"$":  # the client's receiver reports
            head = await reader.readexactly(3)
            self.from_client += await reader.readexactly(int.from_bytes(head[1:], "big"))
        head_text = (first + await reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head_text.strip().split("\r\n")
        method, url, _ = line.split(" ")
        return Request(
            method, url, {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)}
        )

    def _answer(self, request: Request) -> bytes:
        if request.method == "OPTIONS":
            return reply(request, Public="OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER")
        if request.method == "DESCRIBE":
            return reply(request, body=self._sdp)
        if request.method == "SETUP":
            return reply(request, Session="abc;timeout=60", Transport=request.headers["transport"])
        return reply(request, Session="abc")
