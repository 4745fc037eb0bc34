"""One batch: some packets of a window, laid out once so that sending them to one more viewer costs little.

What all viewers share (version, marker, timestamp, payload) is written once; what is a viewer's own (sequence number,
SSRC, payload type, nonce) lies under views that a handful of numpy calls fill for all packets at once. A batch holds
copies of payloads: whoever makes one must call `wipe` when the last viewer is served, and make no other meanwhile.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.media.srtp import HEADER, TAG, Srtp, c_memory
from monitor.media.window import MAX_PAYLOAD, Window, private_memory

UDP_SEGMENT = 103
"""setsockopt and cmsg name of UDP generic segmentation offload (linux/udp.h, since 4.18)."""
MAX_BATCH = 44
"""Packets of the largest batch: a segmented send may not pass 65,507 bytes or 64 segments."""
SLOT = HEADER + MAX_PAYLOAD + TAG
RTP_VERSION = 0x80
MARKER = 0x80
NONCE = 12


class Buffers:
    """The memory that all batches of a process use in turn: private, out of core dumps, never grown."""

    def __init__(self) -> None:
        self.plain_memory = private_memory(MAX_BATCH * MAX_PAYLOAD)
        self.out_memory = private_memory(MAX_BATCH * SLOT)
        self.out_c = c_memory(self.out_memory)
        self.plain = memoryview(self.plain_memory)
        self.out = memoryview(self.out_memory)
        self.plain_bytes = np.frombuffer(self.plain_memory, np.uint8)
        self.out_bytes = np.frombuffer(self.out_memory, np.uint8)
        self.indexes = np.zeros(MAX_BATCH, np.int64)
        self.scratch = np.zeros(MAX_BATCH, np.int64)
        nonces = bytearray(MAX_BATCH * NONCE)
        self.nonces = [memoryview(nonces)[at : at + NONCE] for at in range(0, len(nonces), NONCE)]
        self.nonce_words: NDArray[np.uint32] = np.frombuffer(nonces, ">u4").reshape(MAX_BATCH, 3)


@dataclass(frozen=True)
class Run:
    """Packets that one segmented send carries: equal sizes, of which only the last may be shorter."""

    first: int
    last: int
    data: memoryview
    ancillary: list[tuple[int, int, bytes]]
    """For sendmsg; empty for a single packet."""
    packets: NDArray[np.int64]
    """The viewer's packet indexes, once `Batch.address` has filled them."""
    kinds: NDArray[np.uint8]
    markers: NDArray[np.uint8]
    sequences: NDArray[np.uint16]
    ssrcs: NDArray[np.uint32]


class Batch:
    """The packets at `indexes` of a window, as far as it still holds them: at most MAX_BATCH."""

    def __init__(self, buffers: Buffers, window: Window, indexes: list[int]) -> None:
        held = [(index, payload) for index in indexes if (payload := window.payload(index)) is not None]
        count = len(held)
        self.indexes = np.array([index for index, _ in held], np.int64)
        self.sizes = [len(payload) for _, payload in held]
        self._packets = buffers.indexes[:count]
        self._scratch = buffers.scratch[:count]
        self._nonce_words = buffers.nonce_words[:count]
        self._payload_type = -1
        self.starts: list[int] = []
        self.pieces: list[tuple[memoryview, memoryview, memoryview, memoryview]] = []
        """(nonce, payload in the clear, header, room for the encrypted payload and its tag)"""
        markers: list[int] = []
        plain, out = buffers.plain, buffers.out
        position = used = 0
        for nonce, (index, payload) in zip(buffers.nonces, held, strict=False):
            slot, size = index % window.slots, len(payload)
            markers.append(MARKER if window.markers[slot] else 0)
            plain[used : used + size] = payload
            struct.pack_into("!BBHII", out, position, RTP_VERSION, markers[-1], 0, int(window.timestamps[slot]), 0)
            body = position + HEADER
            self.starts.append(position)
            self.pieces.append((nonce, plain[used : used + size], out[position:body], out[body : body + size + TAG]))
            position = body + size + TAG
            used += size
        self._used = buffers.plain_bytes[:used]
        self.runs = [self._run(buffers, markers, first, last) for first, last in runs(self.sizes)]

    def __len__(self) -> int:
        return len(self.sizes)

    def address(self, srtp: Srtp, ssrc: int, payload_type: int, offset: int) -> None:
        """Fill in what is one viewer's own: headers, and nonces for AES-GCM (RFC 7714 section 8.1).

        A packet's 48-bit index (roll-over counter and sequence number) is its index in the window plus `offset`.
        """
        packets = self._packets
        np.add(self.indexes, offset, out=packets)
        for run in self.runs:
            run.sequences[:] = run.packets  # the low 16 bits
            run.ssrcs[:] = ssrc
            if payload_type != self._payload_type:
                np.bitwise_or(run.markers, payload_type, out=run.kinds)
        self._payload_type = payload_type
        words = self._nonce_words
        words[:] = srtp.nonce_words
        np.bitwise_xor(packets, int(srtp.nonce_words[2]), out=self._scratch)
        words[:, 2] = self._scratch  # the low 32 bits
        if packets[-1] >> 32:
            words[:, 1] ^= (packets >> 32).astype(np.uint32)

    def wipe(self) -> None:
        """Zero the payloads in the clear."""
        self._used[:] = 0

    def _run(self, buffers: Buffers, markers: list[int], first: int, last: int) -> Run:
        start = self.starts[first]
        stride = HEADER + self.sizes[first] + TAG
        count = last - first + 1

        def field(kind: str, offset: int) -> NDArray[np.generic]:
            return np.ndarray((count,), kind, buffers.out_memory, start + offset, (stride,))

        return Run(
            first,
            last,
            buffers.out[start : self.starts[last] + HEADER + self.sizes[last] + TAG],
            [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("H", stride))] if count > 1 else [],
            self._packets[first : last + 1],
            field("u1", 1),  # type: ignore[arg-type]
            np.array(markers[first : last + 1], np.uint8),
            field(">u2", 2),  # type: ignore[arg-type]
            field(">u4", 8),  # type: ignore[arg-type]
        )


def runs(sizes: list[int]) -> list[tuple[int, int]]:
    """Cut a batch into runs. Each as (first, last) position, both included."""
    found: list[tuple[int, int]] = []
    first = 0
    for position in range(1, len(sizes) + 1):
        if position < len(sizes) and sizes[position - 1] == sizes[first] and sizes[position] <= sizes[first]:
            continue
        found.append((first, position - 1))
        first = position
    return found
