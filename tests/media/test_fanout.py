"""The fan-out, judged by libsrtp: what is sent must be what the window holds, for every viewer, across every wrap."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pylibsrtp import Policy, Session

from monitor.media.batch import MAX_BATCH, runs
from monitor.media.fanout import Fanout
from monitor.media.srtp import CM, GCM, Keys, Srtp, session_key
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
        self.keys = keys = Keys(profile, os.urandom(size), os.urandom(size))
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


@pytest.mark.parametrize("offset", [0, 65_535, (1 << 32) - 3, (1 << 47) + 12345, (1 << 48) - 60])
def test_headers_and_nonces_are_those_of_the_plain_form(sender, offset):
    """The same, written out for one packet after RFC 3550 and RFC 7714, at every size of the roll-over counter."""
    window = Window(2.0, 1 << 20)
    judge = Judge(offset=offset, ssrc=0xFEDCBA98)
    indexes, payloads = fill(window, [900] * 9 + [33, 900], 0x80000001)
    assert Fanout(sender).send(window, indexes, [judge.receiver]) == []
    master_key, master_salt = judge.keys.ours[:16], judge.keys.ours[16:]
    gcm, salt = AESGCM(session_key(master_key, master_salt, 0, 16)), session_key(master_key, master_salt, 2, 12)
    for position, (index, payload) in enumerate(zip(indexes, payloads, strict=True)):
        packet = judge.sock.recv(4096)
        roll_over, sequence = divmod(index + offset, 1 << 16)
        kind = 102 | (0x80 if position == 10 else 0)
        assert packet[:12] == struct.pack("!BBHII", 0x80, kind, sequence, 0x80000001, 0xFEDCBA98)
        plain_nonce = bytes(2) + struct.pack("!IIH", 0xFEDCBA98, roll_over, sequence)
        nonce = bytes(a ^ b for a, b in zip(plain_nonce, salt, strict=True))
        assert gcm.decrypt(nonce, packet[12:], packet[:12]) == payload


def test_two_payload_types_in_one_fan_out(sender):
    window = Window(2.0, 1 << 20)
    judges = [Judge(ssrc=1), Judge(ssrc=2), Judge(ssrc=3)]
    judges[1].receiver.payload_type = 45
    indexes, payloads = fill(window, [900, 900, 20], 7)
    assert Fanout(sender).send(window, indexes, [judge.receiver for judge in judges]) == []
    for judge in judges:
        assert [judge.take()[4] for _ in indexes] == payloads


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
    assert not any(fanout._buffers.plain)
    assert payloads[3] not in bytes(fanout._buffers.out)
    assert any(fanout._buffers.out)
    fanout.clear()
    assert not any(fanout._buffers.out)


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
    ("sizes", "expected"),
    [
        ([5], [(0, 0)]),
        ([5, 5, 5], [(0, 2)]),
        ([5, 5, 3], [(0, 2)]),
        ([5, 3, 5], [(0, 1), (2, 2)]),
        ([3, 5, 5, 2, 9], [(0, 0), (1, 3), (4, 4)]),
        ([5, 3, 3], [(0, 1), (2, 2)]),
    ],
)
def test_runs(sizes, expected):
    assert runs(sizes) == expected
