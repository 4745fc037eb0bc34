"""The fan-out: one access unit (or a part of one) from the window to many viewers.

What all viewers share is laid out once (`batch`). Per viewer there is one numpy patch of all headers and nonces, one
AES-GCM call a packet straight from the shared payloads into the sending buffer, and one `sendmsg` with UDP_SEGMENT for
each run of equal-sized packets.

The shared payloads are zeroed as soon as the last viewer has been served. This module must never keep a payload beyond
a call, and never wait for a viewer.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Iterable
from typing import Protocol, TypeVar

from monitor.media.batch import Batch, Buffers, Run
from monitor.media.srtp import HEADER, TAG, Srtp
from monitor.media.window import Window

logger = logging.getLogger(__name__)

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


class Fanout:
    """Sends batches on one UDP socket. `packets` and `octets` count what was handed to the kernel."""

    def __init__(self, sock: socket.socket, *, segmentation: bool = True) -> None:
        self._sock = sock
        self.segmentation = segmentation
        """Whether the kernel segments for us; found out at the first refusal."""
        self._buffers = Buffers()
        self.packets = self.octets = 0

    def send(self, window: Window, indexes: list[int], viewers: Iterable[AnyReceiver]) -> list[AnyReceiver]:
        """Send these packets (at most MAX_BATCH indexes) to each viewer. Returns the viewers that could not be served:
        the socket's buffer was full or their network is gone."""
        batch = Batch(self._buffers, window, indexes)
        if not len(batch):
            return []
        try:
            return [viewer for viewer in viewers if not self._send_to(batch, viewer)]
        finally:
            batch.wipe()

    def clear(self) -> None:
        """Zero what the last send left in the sending buffer (it is encrypted, but its keys still live)."""
        self._buffers.plain_bytes[:] = 0
        self._buffers.out_bytes[:] = 0

    def _send_to(self, batch: Batch, viewer: Receiver) -> bool:
        srtp, address = viewer.srtp, viewer.address
        if srtp is None or address is None:
            return True
        batch.address(srtp, viewer.ssrc, viewer.payload_type, viewer.offset)
        if srtp.gcm is None:
            return self._send_by_libsrtp(batch, srtp, address)
        encrypt = srtp.gcm.encrypt_into
        for nonce, plain, header, sealed in batch.pieces:
            encrypt(nonce, plain, header, sealed)
        return self._send_runs(batch, address)

    def _send_runs(self, batch: Batch, address: Addr) -> bool:
        for run in batch.runs:
            try:
                if run.ancillary and self.segmentation:
                    self._sock.sendmsg([run.data], run.ancillary, 0, address)
                else:
                    self._send_singly(batch, run, address)
            except BlockingIOError:
                return False
            except OSError as error:
                if not (self.segmentation and run.ancillary and error.errno in _REFUSALS):
                    return False
                logger.info("this kernel or device does not segment UDP: one send a packet from now on")
                self.segmentation = False
                try:
                    self._send_singly(batch, run, address)
                except OSError:
                    return False
            self.packets += run.last - run.first + 1
            self.octets += len(run.data)
        return True

    def _send_singly(self, batch: Batch, run: Run, address: Addr) -> None:
        for position in range(run.first, run.last + 1):
            start = batch.starts[position]
            self._sock.sendto(self._buffers.out[start : start + HEADER + batch.sizes[position] + TAG], address)

    def _send_by_libsrtp(self, batch: Batch, srtp: Srtp, address: Addr) -> bool:
        """For a viewer without GCM: libsrtp protects a packet at a time."""
        for start, size, (_, plain, _, sealed) in zip(batch.starts, batch.sizes, batch.pieces, strict=True):
            sealed[:size] = plain
            protected = srtp.protect_in_place(self._buffers.out_c, start, HEADER + size)
            try:
                self._sock.sendto(self._buffers.out[start : start + protected], address)
            except OSError:
                return False
            self.packets += 1
            self.octets += protected
        return True
