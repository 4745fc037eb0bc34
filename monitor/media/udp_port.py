"""The one UDP port of a media process: all viewers' checks, handshakes, feedback and video pass here.

Hospital firewalls open one port. A datagram is told apart by its first byte (RFC 7983 section 7): STUN, DTLS or
SRTP/SRTCP. This module must never block, and never let a flood of datagrams starve the senders: it reads a bounded
number a turn.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

RECEIVE_BUFFER = 4 << 20
SEND_BUFFER = 8 << 20
"""Asked of the kernel, which grants what net.core.rmem_max and wmem_max allow."""
LARGEST = 2048
"""Bytes of the largest datagram that is taken: nothing that a viewer sends is near it."""
READS_A_TURN = 128

Addr = tuple[str, int]
Handler = Callable[[bytes, Addr], None]


class UdpPort:
    """A bound, non-blocking socket in the running loop. Raises OSError where it cannot be bound."""

    def __init__(self, host: str, port: int, on_stun: Handler, on_dtls: Handler, on_srtp: Handler) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            self.sock.setblocking(False)
            self.sock.bind((host, port))
        except OSError:
            self.sock.close()
            raise
        self.port: int = self.sock.getsockname()[1]
        self._handlers = (on_stun, on_dtls, on_srtp)
        self._buffer = bytearray(LARGEST)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.sock.fileno(), self._read)
        self.dropped = 0
        """Datagrams that were none of the three, or that the kernel would not take."""

    def send(self, datagram: bytes, address: Addr) -> None:
        """Send one small datagram of signalling. One that the kernel does not take now is lost, as UDP may."""
        try:
            self.sock.sendto(datagram, address)
        except OSError:
            self.dropped += 1

    def close(self) -> None:
        """Stop reading and close."""
        self._loop.remove_reader(self.sock.fileno())
        self.sock.close()

    def _read(self) -> None:
        on_stun, on_dtls, on_srtp = self._handlers
        for _ in range(READS_A_TURN):
            try:
                size, sender = self.sock.recvfrom_into(self._buffer)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error about an earlier datagram, for a viewer that is gone
            address = (sender[0], sender[1])
            first = self._buffer[0] if size else 255
            if first <= 3:
                on_stun(bytes(self._buffer[:size]), address)
            elif 20 <= first <= 63:
                on_dtls(bytes(self._buffer[:size]), address)
            elif 128 <= first <= 191:
                on_srtp(bytes(self._buffer[:size]), address)
            else:
                self.dropped += 1
