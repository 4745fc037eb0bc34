"""The fan-out, judged by libsrtp: what is sent must be what the window holds, for every viewer, across every wrap."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from typing import ClassVar

import pytest
from pylibsrtp import Policy, Session

from monitor.media.fanout import MAX_BATCH, Fanout, _runs
from monitor.media.srtp import CM, GCM, Keys, Srtp
from monitor.media.window import MAX_PAYLOAD, Window

LIBSRTP = {GCM: Policy.SRTP_PROFILE_AEAD_AES_128_GCM, CM: Policy.SRTP_PROFILE_AES128_CM_SHA1_80}


@dataclass
class Receiver:
    ssrc: int
    payload_type: int
    address: tuple[str, int] | None
    srtp: Srtp | None
    offset: int


class Judge:
    """A viewer's end: a real socket and libsrtp."""

    all: ClassVar[list[Judge]] = []

    def __init__(self, profile: bytes = GCM, offset: int = 0, ssrc: int = 0x12345678) -> None:
        self.all.append(self)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.settimeout(2)
        size = 28 if profile == GCM else 30
        keys = Keys(profile, os.urandom(size), os.urandom(size))
        self.session = Session(Policy(key=keys.ours, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=LIBSRTP[profile]))
        self.receiver = Receiver(ssrc, 102, self.sock.getsockname(), Srtp(keys, ssrc), offset)

    def take(self) -> tuple[int, int, bool, int, bytes]:
        """(sequence, timestamp, marker, ssrc, payload) of the next packet."""
        packet = self.session.unprotect(self.sock.recv(4096))
        flags, kind, sequence, timestamp, ssrc = struct.unpack("!BBHII", packet[:12])
        assert flags == 0x80
        assert kind & 0x7F == self.receiver.payload_type
        return sequence, timestamp, bool(kind & 0x80), ssrc, packet[12:]


@pytest.fixture
def sender():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        yield sock
    while Judge.all:
        Judge.all.pop().sock.close()


def fill(window: Window, sizes: list[int], timestamp: int) -> tuple[list[int], list[bytes]]:
    payloads = [os.urandom(size) for size in sizes]
    indexes = [
        window.append(payload, timestamp, position == len(sizes) - 1, 0.0) for position, payload in enumerate(payloads)
    ]
    return indexes, payloads


@pytest.mark.parametrize("segmentation", [True, False])
@pytest.mark.parametrize("profile", [GCM, CM])
def test_libsrtp_reads_what_the_window_holds(sender, profile, segmentation):
    window = Window(2.0, 1 << 20)
    fanout = Fanout(sender, segmentation=segmentation)
    judges = [Judge(profile, offset=1000 * n, ssrc=77 + n) for n in range(3)]
    indexes, payloads = fill(window, [30, 8, MAX_PAYLOAD, MAX_PAYLOAD, MAX_PAYLOAD, 411, 900, 900], 0xFFFFFFF0)
    assert fanout.send(window, indexes, [judge.receiver for judge in judges]) == []
    for judge in judges:
        for position, (index, payload) in enumerate(zip(indexes, payloads, strict=True)):
            expected = (
                (index + judge.receiver.offset) & 0xFFFF,
                0xFFFFFFF0,
                position == 7,
                judge.receiver.ssrc,
                payload,
            )
            assert judge.take() == expected
    assert fanout.packets == 3 * len(indexes)


@pytest.mark.parametrize("profile", [GCM, CM])
def test_the_roll_over_counter_follows_the_sequence_number(sender, profile):
    window = Window(2.0, 1 << 20)
    fanout = Fanout(sender)
    judge = Judge(profile, offset=65_530)
    for batch in range(3):
        indexes, payloads = fill(window, [700] * 10, batch)
        assert fanout.send(window, indexes, [judge.receiver]) == []
        for index, payload in zip(indexes, payloads, strict=True):
            sequence, _, _, _, got = judge.take()
            assert (sequence, got) == ((index + 65_530) & 0xFFFF, payload)


def test_a_forged_packet_is_refused_by_the_judge(sender):
    """The negative control of the judge: a single changed bit must not pass."""
    window = Window(2.0, 1 << 20)
    judge = Judge()
    indexes, _ = fill(window, [500], 1)
    fanout = Fanout(sender)
    window._rows[0, 0] ^= 1  # before: still fine, for it is what the window holds
    fanout.send(window, indexes, [judge.receiver])
    packet = bytearray(judge.sock.recv(4096))
    packet[40] ^= 1
    with pytest.raises(Exception, match="auth"):
        judge.session.unprotect(bytes(packet))


def test_nothing_in_the_clear_stays_behind(sender):
    window = Window(2.0, 1 << 20)
    fanout = Fanout(sender)
    judge = Judge()
    indexes, payloads = fill(window, [1200] * MAX_BATCH, 5)
    fanout.send(window, indexes, [judge.receiver])
    assert not any(fanout.plain)
    assert payloads[3] not in bytes(fanout.out)
    assert any(fanout.out)
    fanout.clear()
    assert not any(fanout.out)


def test_a_full_socket_is_reported_and_harms_nobody_else(sender):
    window = Window(2.0, 1 << 20)
    fanout = Fanout(sender)
    here, nowhere = Judge(ssrc=1), Judge(ssrc=2)
    nowhere.receiver.address = ("255.255.255.255", 9)  # EACCES: broadcasting was not asked for
    indexes, payloads = fill(window, [100], 5)
    assert fanout.send(window, indexes, [nowhere.receiver, here.receiver]) == [nowhere.receiver]
    assert here.take()[4] == payloads[0]


def test_lost_packets_leave_a_gap(sender):
    window = Window(2.0, 1 << 20)
    judge = Judge()
    first = window.append(b"\x41" * 50, 1, False, 0.0)
    window.skip(2, 0.0)
    last = window.append(b"\x42" * 50, 1, True, 0.0)
    Fanout(sender).send(window, list(range(first, last + 1)), [judge.receiver])
    assert [judge.take()[0], judge.take()[0]] == [0, 3]


@pytest.mark.parametrize(
    ("sizes", "runs"),
    [
        ([5], [(0, 0)]),
        ([5, 5, 5], [(0, 2)]),
        ([5, 5, 3], [(0, 2)]),
        ([5, 3, 5], [(0, 1), (2, 2)]),
        ([3, 5, 5, 2, 9], [(0, 0), (1, 3), (4, 4)]),
        ([5, 3, 3], [(0, 1), (2, 2)]),
    ],
)
def test_runs(sizes, runs):
    assert _runs(sizes) == runs
