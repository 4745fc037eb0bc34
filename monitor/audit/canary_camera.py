"""The audit's own camera: a small RTSP server (RFC 2326) on loopback that offers the canary's picture, and sound beside
it.

To a media process it is a camera like any other. It notes which tracks are set up: sound must never be asked for
(GUARANTEE.md row 17). It must never listen on anything but loopback, and never send any other picture.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import secrets
import struct
import time
from dataclasses import dataclass, field

from monitor.audit.canary_picture import FPS, CanaryPicture
from monitor.media import h264

PATH = "/canary"
VIDEO, SOUND = "video", "sound"
_TRACKS = {"track1": VIDEO, "track2": SOUND}
_PAYLOAD_TYPE = 96
_SOUND_TYPE = 0
"""PCMU, RFC 3551 table 4."""
_MAX_PAYLOAD = 1200
_LONGEST_HEAD = 8192
_LONGEST_BODY = 65536
_SEND_BUFFER = 1 << 20
"""Bytes that may wait for a client before it is given up: it does not read."""
_SESSION_SECONDS = 60
_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"
_CHANNELS = re.compile(r"interleaved=(\d{1,3})-(\d{1,3})", re.IGNORECASE)
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    461: "Unsupported Transport",
    501: "Not Implemented",
}


@dataclass(eq=False)
class _Client:
    """One connection and its session."""

    writer: asyncio.StreamWriter
    session: str = ""
    channels: dict[str, int] = field(default_factory=dict)
    """By track, the interleaved channel of its RTP."""
    playing: bool = False
    sequence: int = field(default_factory=lambda: secrets.randbelow(1 << 16))
    ssrc: int = field(default_factory=lambda: secrets.randbelow(1 << 32))


class CanaryCamera:
    """Runs from `start` to `stop`, in the event loop. Any number of clients may read it."""

    def __init__(self, picture: CanaryPicture) -> None:
        self.picture = picture
        self.setups: list[str] = []
        """Every track that was set up, in order: `video` or `sound`."""
        self.sent = 0
        """Access units that were sent to at least one client."""
        self._clients: set[_Client] = set()
        self._server: asyncio.Server | None = None
        self._sending: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen on a port of loopback; its number. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_LONGEST_HEAD)
        self._sending = asyncio.create_task(self._send_for_ever())
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close everything."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        for client in tuple(self._clients):
            client.writer.close()
        self._clients.clear()

    @property
    def playing(self) -> int:
        """Clients that are being sent pictures."""
        return sum(client.playing for client in self._clients)

    # ---- pictures ----------------------------------------------------------------------------------------------------

    async def _send_for_ever(self) -> None:
        began, number = time.monotonic(), 0
        while True:
            now_ms = time.time_ns() // 1_000_000
            payloads = h264.packetise(self.picture.access_unit(number, now_ms), _MAX_PAYLOAD)
            clients = [client for client in self._clients if client.playing]
            for client in clients:
                self._send(client, payloads, number * 90_000 // FPS)
            self.sent += bool(clients)
            # Pictures that are late are left out, but the loop is not: the next one must follow on this one.
            number += 1
            due = began + number / FPS
            if due < time.monotonic() - 1:
                began = time.monotonic() - number / FPS
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _send(self, client: _Client, payloads: list[bytes], timestamp: int) -> None:
        if client.writer.transport.get_write_buffer_size() > _SEND_BUFFER:
            self._drop(client)
            return
        for at, payload in enumerate(payloads):
            marker = 0x80 if at == len(payloads) - 1 else 0
            # RFC 3550 section 5.1
            header = struct.pack(
                "!BBHII", 0x80, marker | _PAYLOAD_TYPE, client.sequence, timestamp & 0xFFFFFFFF, client.ssrc
            )
            # RFC 2326 section 10.12
            frame = struct.pack("!BBH", 0x24, client.channels[VIDEO], len(header) + len(payload))
            client.writer.write(frame + header + payload)
            client.sequence = (client.sequence + 1) & 0xFFFF

    def _drop(self, client: _Client) -> None:
        self._clients.discard(client)
        client.playing = False
        client.writer.close()

    # ---- the conversation --------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(writer)
        self._clients.add(client)
        try:
            while await self._converse(reader, client):
                await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # gone, or not speaking RTSP: closing is the answer
        finally:
            self._drop(client)
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, client: _Client) -> bool:
        """Take one request, or one of the client's RTCP packets. Whether to go on."""
        first = await reader.read(1)
        if not first:
            return False
        if first == b"$":  # a receiver report; RFC 2326 section 10.12
            head = await reader.readexactly(3)
            await reader.readexactly(int.from_bytes(head[1:3], "big"))
            return True
        text = (first + await reader.readuntil(b"\r\n\r\n")).decode("ascii", "replace")
        lines = text.strip().split("\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        length = int(headers.get("content-length", "0"))
        if length > _LONGEST_BODY:
            return False
        await reader.readexactly(length)
        method, _, rest = lines[0].partition(" ")
        return self._answer(client, method, rest.partition(" ")[0], headers)

    def _answer(self, client: _Client, method: str, url: str, headers: dict[str, str]) -> bool:
        status, extra, body = self._decide(client, method, url, headers)
        lines = [f"RTSP/1.0 {status} {_REASONS[status]}", f"CSeq: {headers.get('cseq', '0')}", *extra]
        if body:
            lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        client.writer.write("\r\n".join([*lines, "", body]).encode())
        return method != "TEARDOWN"

    def _decide(self, client: _Client, method: str, url: str, headers: dict[str, str]) -> tuple[int, list[str], str]:
        """Status, headers and body of the answer (RFC 2326 section 10)."""
        path = "/" + url.partition("://")[2].partition("/")[2]
        if method == "OPTIONS":
            return 200, [f"Public: {_METHODS}"], ""
        if not path.startswith(PATH):
            return 404, [], ""
        if method == "DESCRIBE":
            return 200, [f"Content-Base: {url.rstrip('/')}/"], self._description()
        if method == "SETUP":
            return self._set_up(client, path, headers)
        if method not in ("PLAY", "TEARDOWN", "GET_PARAMETER"):
            return 501, [], ""
        if not client.session or headers.get("session", "").partition(";")[0].strip() != client.session:
            return 454, [], ""
        if method == "PLAY":
            if VIDEO not in client.channels:
                return 455, [], ""
            client.playing = True
        elif method == "TEARDOWN":
            client.playing = False
        return 200, [f"Session: {client.session}"], ""

    def _set_up(self, client: _Client, path: str, headers: dict[str, str]) -> tuple[int, list[str], str]:
        """RFC 2326 section 10.4. Over the RTSP connection only."""
        track = _TRACKS.get(path.rpartition("/")[2])
        if track is None:
            return 404, [], ""
        self.setups.append(track)
        transport = headers.get("transport", "")
        if "/TCP" not in transport.upper().partition(";")[0]:
            return 461, [], ""
        match = _CHANNELS.search(transport)
        pair = (int(match[1]), int(match[2])) if match else (2 * len(client.channels), 2 * len(client.channels) + 1)
        if max(pair) > 255:
            return 400, [], ""
        client.channels[track] = pair[0]
        client.session = client.session or secrets.token_hex(8)
        return (
            200,
            [
                f"Transport: RTP/AVP/TCP;unicast;interleaved={pair[0]}-{pair[1]};ssrc={client.ssrc:08X}",
                f"Session: {client.session};timeout={_SESSION_SECONDS}",
            ],
            "",
        )

    def _description(self) -> str:
        """RFC 8866, RFC 2326 appendix C, RFC 6184 section 8.2."""
        picture = self.picture
        level = picture.sps[1:4].hex()
        sets = ",".join(base64.b64encode(each).decode() for each in (picture.sps, picture.pps))
        return "\r\n".join(
            [
                "v=0",
                f"o=- {secrets.randbits(62)} 1 IN IP4 127.0.0.1",
                "s=canary",
                "c=IN IP4 0.0.0.0",
                "t=0 0",
                "a=control:*",
                f"m=video 0 RTP/AVP {_PAYLOAD_TYPE}",
                f"a=rtpmap:{_PAYLOAD_TYPE} H264/90000",
                f"a=fmtp:{_PAYLOAD_TYPE} packetization-mode=1;profile-level-id={level};sprop-parameter-sets={sets}",
                "a=control:track1",
                f"m=audio 0 RTP/AVP {_SOUND_TYPE}",
                f"a=rtpmap:{_SOUND_TYPE} PCMU/8000",
                "a=control:track2",
                "",
            ]
        )
