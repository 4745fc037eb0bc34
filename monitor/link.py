"""The door: typed messages between the control process and a media process, over one socketpair.

A SOCK_SEQPACKET pair keeps message boundaries, so a message is one datagram of JSON of at most `MAX_MESSAGE` bytes.
This module must never carry bytes that are not such a message, and never accept a passed descriptor: what is oversize,
malformed or carries SCM_RIGHTS closes the door for good (GUARANTEE.md row 9). What comes through is counted, and what a
media process may send is bounded per second, far below any picture stream.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import socket
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from monitor.core.errors import DoorError
from monitor.core.messages import MAX_MESSAGE, Message, encode

logger = logging.getLogger(__name__)

MAX_QUEUED = 1024
"""Messages that may wait for a slow other side before it is given up."""

Incoming = TypeVar("Incoming", bound=Message)


def make_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new door. Neither is inheritable."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def receive_one(sock: socket.socket) -> bytes | None:
    """One message's bytes, b"" when the other side is gone, None when nothing waits (non-blocking sockets).

    Raises DoorError on an oversize message or one that carries a descriptor: no room is given for ancillary data, so
    the kernel closes what was passed and says so (MSG_CTRUNC).
    """
    try:
        data, _, flags, _ = sock.recvmsg(MAX_MESSAGE, 0)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        return b""
    if flags & socket.MSG_CTRUNC:
        raise DoorError("a descriptor was passed through the door")
    if flags & socket.MSG_TRUNC:
        raise DoorError("an oversize message was sent through the door")
    return data


def receive_sealed(sock: socket.socket) -> bytes | None:
    """As `receive_one`, for a sealed process, whose filter refuses recvmsg: recv takes no descriptor, and the kernel
    closes one that was passed."""
    try:
        data = sock.recv(MAX_MESSAGE + 1)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        return b""
    if len(data) > MAX_MESSAGE:
        raise DoorError("an oversize message was sent through the door")
    return data


class Door(Generic[Incoming]):
    """One side of the door in an event loop.

    `decode` turns bytes into a message (`decode_for_media` or `decode_for_control`), `on_message` takes each, and
    `on_closed` is called once with the DoorError that closed it, or None when the other side went away.
    `max_bytes_per_second` bounds what the other side may send, with one second's worth of burst; 0 is unbounded.
    `receive` is `receive_sealed` where recvmsg is refused.
    """

    def __init__(
        self,
        sock: socket.socket,
        decode: Callable[[bytes], Incoming],
        on_message: Callable[[Incoming], None],
        on_closed: Callable[[DoorError | None], None],
        *,
        max_bytes_per_second: int = 0,
        receive: Callable[[socket.socket], bytes | None] = receive_one,
    ) -> None:
        self._sock = sock
        self._receive = receive
        self._decode = decode
        self._on_message = on_message
        self._on_closed = on_closed
        self._rate = max_bytes_per_second
        self._allowance = float(max_bytes_per_second)
        self._allowance_at = time.monotonic()
        self._outgoing: collections.deque[bytes] = collections.deque()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self.messages_in = self.bytes_in = self.messages_out = self.bytes_out = self.refused = 0
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._read)

    @property
    def closed(self) -> bool:
        """Whether the door is shut."""
        return self._closed

    def send(self, message: Message) -> None:
        """Send, or queue when the other side is slow. Raises DoorError where the door is closed, or full."""
        if self._closed:
            raise DoorError("the door is closed")
        data = encode(message)
        if self._outgoing:
            if len(self._outgoing) >= MAX_QUEUED:
                self._close(error := DoorError("the other side of the door does not read"))
                raise error
            self._outgoing.append(data)
        elif not self._send_now(data):
            self._outgoing.append(data)
            self._loop.add_writer(self._sock.fileno(), self._write)

    def close(self) -> None:
        """Shut the door; `on_closed` is not called."""
        self._on_closed = lambda _: None
        self._close(None)

    def _send_now(self, data: bytes) -> bool:
        try:
            self._sock.send(data, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError:
            self._close(None)
            return True
        self.messages_out += 1
        self.bytes_out += len(data)
        return True

    def _write(self) -> None:
        while self._outgoing and not self._closed:
            if not self._send_now(self._outgoing[0]):
                return
            if self._outgoing:
                self._outgoing.popleft()
        if not self._closed:
            self._loop.remove_writer(self._sock.fileno())

    def _read(self) -> None:
        for _ in range(64):  # then let the loop breathe
            try:
                data = self._receive(self._sock)
                if data is None:
                    return
                if data == b"":
                    self._close(None)
                    return
                self._count(len(data))
                message = self._decode(data)
            except DoorError as error:
                self.refused += 1
                self._close(error)
                return
            self._on_message(message)
            if self._closed:
                return

    def _count(self, size: int) -> None:
        self.messages_in += 1
        self.bytes_in += size
        if not self._rate:
            return
        now = time.monotonic()
        self._allowance = min(self._rate, self._allowance + (now - self._allowance_at) * self._rate) - size
        self._allowance_at = now
        if self._allowance < 0:
            raise DoorError(f"more than {self._rate} bytes a second came through the door")

    def _close(self, error: DoorError | None) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self._outgoing.clear()
        if error:
            logger.error("the door was closed: %s", error.message)
        self._on_closed(error)
