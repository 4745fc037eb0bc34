"""The fan-out: one access unit (or a part of one) from the window to many viewers.

What all viewers share is laid out once per batch: the RTP headers without sequence number and SSRC, and views of the
payloads. Per viewer there is one numpy patch of all headers and nonces, one AES-GCM call a packet straight from the
shared batch into the sending buffer, and one `sendmsg` with UDP_SEGMENT for each run of equal-sized packets.

The shared batch is a copy of payloads that live in the window, so it is zeroed as soon as the last viewer has been
served. This module must never keep a payload beyond a call, and never wait for a viewer.
"""

from __future__ import annotations

import errno
import logging
import mmap
import socket
import struct
from collections.abc import Iterable
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from monitor.media.srtp import HEADER, TAG, Srtp, c_memory
from monitor.media.window import MADV_DONTDUMP, MAX_PAYLOAD, Window

logger = logging.getLogger(__name__)

UDP_SEGMENT = 103
"""setsockopt and cmsg name of UDP generic segmentation offload (linux/udp.h, since 4.18)."""
MAX_BATCH = 44
"""Packets of the largest batch: a segmented send may not pass 65,507 bytes or 64 segments."""
SLOT = HEADER + MAX_PAYLOAD + TAG
RTP_VERSION = 0x80
MARKER = 0x80
_REFUSALS = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOPROTOOPT, errno.EIO}
"""How kernels and devices say that they do not segment."""

Addr = tuple[str, int]


class Receiver(Protocol):
    """What the fan-out must know of a viewer."""

    @property
    def ssrc(self) -> int:
        """The stream's SSRC towards this viewer."""

    @property
    def payload_type(self) -> int:
        """The payload type it chose."""

    @property
    def address(self) -> Addr | None:
        """Where it is, None before its first check."""

    @property
    def srtp(self) -> Srtp | None:
        """Its keys, None before its handshake is complete."""

    @property
    def offset(self) -> int:
        """The viewer's 48-bit packet index of a packet is the packet's index in the window plus this."""


AnyReceiver = TypeVar("AnyReceiver", bound=Receiver)


class Batch:
    """Some packets of one window, laid out for sending. Use it within one turn of the event loop."""

    def __init__(self, fanout: Fanout, window: Window, indexes: list[int]) -> None:
        held = [(index, payload) for index in indexes if (payload := window.payload(index)) is not None]
        self.indexes = np.array([index for index, _ in held], np.int64)
        self.sizes = [len(payload) for _, payload in held]
        self.runs = _runs(self.sizes)
        plain, out = fanout.plain, fanout.out
        self.headers = np.zeros((len(held), HEADER), np.uint8)
        self.headers[:, 0] = RTP_VERSION
        slots = [index % window.slots for index, _ in held]
        self.headers[:, 1] = window.markers[slots] * MARKER
        self.headers[:, 4:8] = window.timestamps[slots].astype(">u4").view(np.uint8).reshape(-1, 4)
        self.starts: list[int] = []
        self.pieces: list[tuple[memoryview, memoryview, memoryview]] = []
        position = shared = 0
        for (_, payload), size in zip(held, self.sizes, strict=True):
            plain[shared : shared + size] = payload
            self.starts.append(position)
            body = position + HEADER
            self.pieces.append(
                (plain[shared : shared + size], out[position:body], out[body : body + size + TAG]),
            )
            position = body + size + TAG
            shared += size
        self.used = shared
        self.header_places = np.array(self.starts, np.int64)[:, None] + np.arange(HEADER)

    def __len__(self) -> int:
        return len(self.sizes)


class Fanout:
    """Sends batches on one UDP socket. `packets` and `octets` count what was handed to the kernel."""

    def __init__(self, sock: socket.socket, *, segmentation: bool = True) -> None:
        self._sock = sock
        self.segmentation = segmentation
        """Whether the kernel segments for us; found out at the first refusal."""
        self._plain_memory = _private_memory(MAX_BATCH * MAX_PAYLOAD)
        self._out_memory = _private_memory(MAX_BATCH * SLOT)
        self._out_c = c_memory(self._out_memory)
        self.plain = memoryview(self._plain_memory)
        self.out = memoryview(self._out_memory)
        self._plain_bytes = np.frombuffer(self._plain_memory, np.uint8)
        self._out_bytes = np.frombuffer(self._out_memory, np.uint8)
        self._nonces = bytearray(MAX_BATCH * 12)
        nonces = memoryview(self._nonces)
        self._nonce_views = [nonces[i * 12 : i * 12 + 12] for i in range(MAX_BATCH)]
        self._nonce_bytes = np.frombuffer(self._nonces, np.uint8).reshape(MAX_BATCH, 12)
        self.packets = self.octets = 0

    def send(self, window: Window, indexes: list[int], viewers: Iterable[AnyReceiver]) -> list[AnyReceiver]:
        """Send these packets (at most MAX_BATCH indexes) to each viewer. Returns the viewers that could not be served:
        the socket's buffer was full or their network is gone."""
        batch = Batch(self, window, indexes)
        if not len(batch):
            return []
        try:
            return [viewer for viewer in viewers if not self._send_to(batch, viewer)]
        finally:
            self._plain_bytes[: batch.used] = 0

    def clear(self) -> None:
        """Zero what the last send left in the sending buffer (it is encrypted, but its keys still live)."""
        self._plain_bytes[:] = 0
        self._out_bytes[:] = 0

    def _send_to(self, batch: Batch, viewer: Receiver) -> bool:
        if viewer.srtp is None or viewer.address is None:
            return True
        headers = self._headers_for(batch, viewer)
        gcm = viewer.srtp.gcm
        if gcm is None:
            return self._send_plainly(batch, headers, viewer)
        self._out_bytes[batch.header_places] = headers
        encrypt = gcm.encrypt_into
        for nonce, (plain, header, sealed) in zip(self._nonce_views, batch.pieces, strict=False):
            encrypt(nonce, plain, header, sealed)
        return self._send_runs(batch, viewer.address)

    def _headers_for(self, batch: Batch, viewer: Receiver) -> NDArray[np.uint8]:
        """All headers of the batch for one viewer; its nonces as a by-product."""
        extended = (batch.indexes + viewer.offset).astype(">i8").view(np.uint8).reshape(-1, 8)
        headers = batch.headers.copy()
        headers[:, 1] |= viewer.payload_type
        headers[:, 2:4] = extended[:, 6:8]
        headers[:, 8:12] = np.frombuffer(viewer.ssrc.to_bytes(4, "big"), np.uint8)
        assert viewer.srtp is not None
        nonces = self._nonce_bytes[: len(batch)]
        nonces[:] = viewer.srtp.nonce_mask
        nonces[:, 6:] ^= extended[:, 2:]
        return headers

    def _send_runs(self, batch: Batch, address: Addr) -> bool:
        for first, last in batch.runs:
            start = batch.starts[first]
            stop = batch.starts[last] + HEADER + batch.sizes[last] + TAG
            data = self.out[start:stop]
            try:
                if first == last:
                    self._sock.sendto(data, address)
                elif self.segmentation:
                    size = HEADER + batch.sizes[first] + TAG
                    self._sock.sendmsg([data], [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("H", size))], 0, address)
                else:
                    self._send_singly(batch, first, last, address)
            except BlockingIOError:
                return False
            except OSError as error:
                if not (self.segmentation and first != last and error.errno in _REFUSALS):
                    return False
                logger.info("this kernel or device does not segment UDP: one send a packet from now on")
                self.segmentation = False
                try:
                    self._send_singly(batch, first, last, address)
                except OSError:
                    return False
            self.packets += last - first + 1
            self.octets += stop - start
        return True

    def _send_singly(self, batch: Batch, first: int, last: int, address: Addr) -> None:
        for position in range(first, last + 1):
            start = batch.starts[position]
            self._sock.sendto(self.out[start : start + HEADER + batch.sizes[position] + TAG], address)

    def _send_plainly(self, batch: Batch, headers: NDArray[np.uint8], viewer: Receiver) -> bool:
        """For a viewer without GCM: libsrtp protects a packet at a time."""
        assert viewer.srtp is not None
        assert viewer.address is not None
        for position, header in enumerate(headers):
            start, size = batch.starts[position], HEADER + batch.sizes[position]
            self.out[start : start + HEADER] = header.tobytes()
            self.out[start + HEADER : start + size] = batch.pieces[position][0]
            size = viewer.srtp.protect_in_place(self._out_c, start, size)
            try:
                self._sock.sendto(self.out[start : start + size], viewer.address)
            except OSError:
                return False
            self.packets += 1
            self.octets += size
        return True


def _runs(sizes: list[int]) -> list[tuple[int, int]]:
    """Cut a batch into runs that one segmented send can carry: equal sizes, of which only the last may be shorter.
    Each as (first, last) position, both included."""
    runs: list[tuple[int, int]] = []
    first = 0
    for position in range(1, len(sizes) + 1):
        if position < len(sizes) and sizes[position - 1] == sizes[first] and sizes[position] <= sizes[first]:
            continue
        runs.append((first, position - 1))
        first = position
    return runs


def _private_memory(size: int) -> mmap.mmap:
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(MADV_DONTDUMP)
    return memory
