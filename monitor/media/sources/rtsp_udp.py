"""A camera's packets over UDP: a pair of ports, packets put in order, nothing taken from strangers.

Must never keep a packet longer than the reorder buffer's wait, and zeroes what it held. Datagrams are read into one
buffer; only packets that came out of order are copied.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable

from monitor.core.errors import Unavailable
from monitor.media.sources.reorder import ReorderBuffer

_RECEIVE_BUFFER = 1 << 21
"""A keyframe comes in one burst: room for two megabytes in the kernel."""
_DATAGRAM = 1 << 16
_AT_ONCE = 64
_PAIR_TRIES = 20
_ZEROS = bytes(_DATAGRAM)

OnPacket = Callable[[memoryview, float], None]


class UdpPair:
    """Two ports next to each other, the even one for RTP (RFC 3550 section 11).

    `on_rtp` and `on_rtcp` get each datagram from `peer`, RTP in order of its sequence number; the view is not valid
    after the call. Close it in any case.
    """

    def __init__(
        self, local: str, peer: str, on_rtp: OnPacket, on_rtcp: OnPacket, clock_ms: Callable[[], float]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._peer = _canonical(peer)
        self._on_rtp = on_rtp
        self._on_rtcp = on_rtcp
        self._clock_ms = clock_ms
        self._buffer = memoryview(bytearray(_DATAGRAM))
        self._order: ReorderBuffer[tuple[bytearray, float]] = ReorderBuffer(_wipe)
        self._timer: asyncio.TimerHandle | None = None
        self.strangers = 0
        self._rtp, self._rtcp = _bind_pair(local)
        self.ports: tuple[int, int] = (self._rtp.getsockname()[1], self._rtcp.getsockname()[1])
        self._loop.add_reader(self._rtp.fileno(), self._read, self._rtp)
        self._loop.add_reader(self._rtcp.fileno(), self._read, self._rtcp)

    @property
    def dropped(self) -> int:
        """Packets that came twice or too late."""
        return self._order.duplicates + self._order.late

    def send_rtcp(self, data: bytes, port: int) -> None:
        """Send a report to the camera."""
        self._send(self._rtcp, data, port)

    def open_path(self, port: int) -> None:
        """Send an empty RTP packet to the camera, so that firewalls between let its packets come back."""
        self._send(self._rtp, b"\x80" + bytes(11), port)

    def restart(self) -> None:
        """A new run of sequence numbers begins."""
        self._order.clear()

    def close(self) -> None:
        """Close both ports and zero what waits."""
        if self._timer:
            self._timer.cancel()
        for one in (self._rtp, self._rtcp):
            if one.fileno() >= 0:
                self._loop.remove_reader(one.fileno())
                one.close()
        self._order.clear()
        self._buffer[:] = _ZEROS

    def _send(self, sock: socket.socket, data: bytes, port: int) -> None:
        with contextlib.suppress(OSError):  # best effort: the camera may have closed its port
            sock.sendto(data, (self._peer, port))

    def _read(self, sock: socket.socket) -> None:
        for _ in range(_AT_ONCE):  # then let the loop breathe
            if sock.fileno() < 0:
                return
            try:
                size, sender = sock.recvfrom_into(self._buffer)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP answer to what we sent
            if _canonical(sender[0]) != self._peer:
                self.strangers += 1
                self._buffer[:size] = _ZEROS[:size]
                continue
            now_ms = self._clock_ms()
            if sock is self._rtcp:
                self._on_rtcp(self._buffer[:size], now_ms)
            else:
                self._take(size, now_ms)
            self._buffer[:size] = _ZEROS[:size]

    def _take(self, size: int, now_ms: float) -> None:
        if size < 12:
            return
        seq = (self._buffer[2] << 8) | self._buffer[3]
        if self._order.is_next(seq):
            self._on_rtp(self._buffer[:size], now_ms)
            return
        self._deliver(self._order.push(seq, (bytearray(self._buffer[:size]), now_ms), now_ms))

    def _expire(self) -> None:
        self._timer = None
        self._deliver(self._order.expire(self._clock_ms()))

    def _deliver(self, packets: list[tuple[bytearray, float]]) -> None:
        for packet in packets:
            self._on_rtp(memoryview(packet[0]), packet[1])
            _wipe(packet)
        due = self._order.due_ms()
        if due is not None and self._timer is None:
            self._timer = self._loop.call_later(max(0.001, (due - self._clock_ms()) / 1000), self._expire)


def _wipe(packet: tuple[bytearray, float]) -> None:
    packet[0][:] = bytes(len(packet[0]))


def _canonical(address: str) -> str:
    """One spelling for an address: an IPv4 address may come mapped into IPv6, and a scope may hang on it."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _bind_pair(local: str) -> tuple[socket.socket, socket.socket]:
    """Raises Unavailable where no pair of neighbouring ports is free."""
    address = _canonical(local)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for _ in range(_PAIR_TRIES):
        first = socket.socket(family, socket.SOCK_DGRAM)
        second = socket.socket(family, socket.SOCK_DGRAM)
        try:
            first.bind((address, 0))
            port = first.getsockname()[1]
            second.bind((address, port ^ 1))
        except OSError:
            first.close()
            second.close()
            continue
        for one in (first, second):
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        return (first, second) if port % 2 == 0 else (second, first)
    raise Unavailable("no two neighbouring UDP ports are free", "see which programs hold so many ports")
