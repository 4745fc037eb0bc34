"""The one UDP port: each datagram to its handler, a bound on what is read in a turn, and nothing left open."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from monitor.media.udp_port import LARGEST, READS_A_TURN, UdpPort

Taken = list[tuple[str, bytes, tuple[str, int]]]


class Desk:
    """A port whose handlers write down what they get, and a client beside it."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.taken: Taken = []

        def handler(name: str) -> Callable[[bytes, tuple[str, int]], None]:
            return lambda datagram, address: self.taken.append((name, datagram, address))

        self.port = UdpPort(host, 0, handler("stun"), handler("dtls"), handler("srtp"))
        self.client = socket.socket(self.port.sock.family, socket.SOCK_DGRAM)
        self.client.bind((host, 0))
        self.client.settimeout(2)
        self.here = self.client.getsockname()[:2]
        self.there = self.port.sock.getsockname()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.001)

    def close(self) -> None:
        self.port.close()
        self.client.close()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_first_byte_tells_whose_it_is(host: str) -> None:
    """RFC 7983 section 7, every first byte there is."""

    async def test() -> None:
        desk = Desk(host)
        for first in range(256):
            desk.client.sendto(bytes([first]) + b"x", desk.there)
            await asyncio.sleep(0)
        await desk.until(lambda: len(desk.taken) + desk.port.dropped == 256)
        found = {name: [data[0] for who, data, _ in desk.taken if who == name] for name in ("stun", "dtls", "srtp")}
        assert found == {"stun": [*range(4)], "dtls": [*range(20, 64)], "srtp": [*range(128, 192)]}
        assert {address for _, _, address in desk.taken} == {desk.here}
        assert desk.port.dropped == 256 - 4 - 44 - 64
        desk.close()

    run(test)


def test_empty_and_large_datagrams_do_no_harm() -> None:
    async def test() -> None:
        desk = Desk()
        desk.client.sendto(b"", desk.there)
        desk.client.sendto(b"\x80" + bytes(LARGEST + 500), desk.there)
        desk.client.sendto(b"\x80after", desk.there)
        await desk.until(lambda: len(desk.taken) == 2)
        assert len(desk.taken[0][1]) == LARGEST
        assert desk.taken[1][1] == b"\x80after", "what is left of a longer one stood behind a shorter one"
        assert desk.port.dropped == 1
        desk.close()

    run(test)


def test_a_flood_lets_the_loop_breathe() -> None:
    async def test() -> None:
        desk = Desk()
        for _ in range(READS_A_TURN * 2):
            desk.client.sendto(b"\x80x", desk.there)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert 0 < len(desk.taken) <= READS_A_TURN
        await desk.until(lambda: len(desk.taken) == READS_A_TURN * 2)
        desk.close()

    run(test)


def test_it_sends_from_its_own_port() -> None:
    async def test() -> None:
        desk = Desk()
        desk.port.send(b"answer", desk.here)
        data, sender = desk.client.recvfrom(100)
        assert (data, sender[1]) == (b"answer", desk.port.port)
        assert desk.port.dropped == 0
        desk.close()

    run(test)


def test_what_the_kernel_does_not_take_is_counted_and_lost() -> None:
    async def test() -> None:
        desk = Desk()
        desk.port.send(bytes(70_000), desk.here)
        assert desk.port.dropped == 1
        desk.close()

    run(test)


def test_a_viewer_that_is_gone_disturbs_nobody() -> None:
    """The kernel tells of a closed port on the next call: that must not end the reading."""

    async def test() -> None:
        desk = Desk()
        gone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
        gone.close()
        for _ in range(5):
            desk.port.send(b"x", address)
            desk.client.sendto(b"\x00check", desk.there)
            await asyncio.sleep(0.01)
        await desk.until(lambda: len(desk.taken) == 5)
        desk.close()

    run(test)


def test_a_port_in_use_is_an_error_and_leaves_no_descriptor() -> None:
    async def test() -> None:
        desk = Desk()
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(OSError, match="in use"):
            UdpPort("127.0.0.1", desk.port.port, print, print, print)
        assert len(os.listdir("/proc/self/fd")) == before
        desk.close()

    run(test)


def test_it_is_never_inherited_and_never_blocks() -> None:
    async def test() -> None:
        desk = Desk()
        assert not desk.port.sock.get_inheritable()
        assert not desk.port.sock.getblocking()
        desk.close()
        assert desk.port.sock.fileno() == -1

    run(test)
