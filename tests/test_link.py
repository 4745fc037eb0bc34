"""The door: what passes, and what shuts it for good. Each on a real socketpair in a real event loop."""

from __future__ import annotations

import array
import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from monitor import link
from monitor.core.errors import DoorError
from monitor.core.messages import (
    MAX_MESSAGE,
    AddViewer,
    Fault,
    Message,
    RemoveCamera,
    SetCurtain,
    Stop,
    ToMedia,
    decode_for_control,
    decode_for_media,
    encode,
)
from monitor.link import MAX_QUEUED, Door, make_pair, receive_one, receive_sealed


class Room:
    """One side with a door, that writes down what it is told. The other side is a bare socket."""

    def __init__(self, decode: Callable[[bytes], Any] = decode_for_media, rate: int = 0) -> None:
        mine, self.other = make_pair()
        self.taken: list[Message] = []
        self.ends: list[DoorError | None] = []
        self.door: Door[Any] = Door(mine, decode, self.taken.append, self.ends.append, max_bytes_per_second=rate)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.002)

    async def shut(self) -> DoorError | None:
        """Wait for the end of the door and say why it came."""
        await self.until(lambda: bool(self.ends))
        assert self.door.closed
        assert len(self.ends) == 1
        return self.ends[0]


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    before = descriptors()
    asyncio.run(asyncio.wait_for(test(), 20))
    assert descriptors() == before, "a descriptor was left open"


def descriptors() -> set[str]:
    """What is open now, as /proc shows it. Sockets that garbage still holds do not count."""
    import gc

    gc.collect()
    return {name for name in os.listdir("/proc/self/fd") if Path(f"/proc/self/fd/{name}").exists()}


def close(*rooms: Room) -> None:
    for room in rooms:
        room.door.close()
        room.other.close()


def test_messages_come_through_in_both_directions_and_in_order() -> None:
    async def test() -> None:
        control_end, media_end = make_pair()
        to_media: list[ToMedia] = []
        to_control: list[Message] = []
        ends: list[DoorError | None] = []
        control = Door(control_end, decode_for_control, to_control.append, ends.append)
        media = Door(media_end, decode_for_media, to_media.append, ends.append)
        sent = [SetCurtain(camera=f"bay-{number}", closed=bool(number % 2)) for number in range(300)]
        for message in sent:
            control.send(message)
            media.send(Fault(what="x", count=1))
        async with asyncio.timeout(5):
            while len(to_media) < 300 or len(to_control) < 300:
                await asyncio.sleep(0.002)
        assert to_media == sent
        size = sum(len(encode(message)) for message in sent)
        assert (control.messages_out, control.bytes_out) == (media.messages_in, media.bytes_in) == (300, size)
        assert control.messages_in == media.messages_out == 300
        control.close()
        async with asyncio.timeout(5):
            while not ends:
                await asyncio.sleep(0.002)
        assert ends == [None]  # the media side sees it go; the one that closed is not told
        assert control.closed
        assert media.closed
        with pytest.raises(DoorError, match="closed"):
            control.send(Stop())

    run(test)


def test_the_largest_message_passes() -> None:
    async def test() -> None:
        room = Room()
        fits = AddViewer(viewer="v" * 16, camera="bay-1", offer="\n" * 32000 + "x" * 700)
        room.other.send(encode(fits).ljust(MAX_MESSAGE))
        await room.until(lambda: room.taken == [fits])
        assert room.door.bytes_in == MAX_MESSAGE
        close(room)

    run(test)


@pytest.mark.parametrize("size", [MAX_MESSAGE + 1, MAX_MESSAGE + 40_000])
def test_an_oversize_message_shuts_the_door(size: int) -> None:
    async def test() -> None:
        room = Room()
        room.other.send(encode(Stop()).ljust(size))
        error = await room.shut()
        assert error is not None
        assert "oversize" in error.message
        assert (room.taken, room.door.refused) == ([], 1)
        with pytest.raises(OSError):
            room.other.send(encode(Stop()))
        room.other.close()

    run(test)


@pytest.mark.parametrize("data", [b"{}", b"\xff\xfe", b'{"kind":"stop","more":1}', bytes(65536), b"\0\0\0\1\x67\x42"])
def test_what_is_no_message_shuts_the_door(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        room = Room()
        room.other.send(encode(RemoveCamera(camera="bay-1")))
        room.other.send(data)
        room.other.send(encode(RemoveCamera(camera="bay-2")))
        error = await room.shut()
        assert error is not None
        assert "malformed" in error.message
        assert [message.camera for message in room.taken] == ["bay-1"]  # type: ignore[attr-defined]
        assert room.door.refused == 1
        room.other.close()

    run(test)
    assert "the door was closed" in caplog.text
    assert "more" not in caplog.text


def test_an_end_without_a_word_is_no_error() -> None:
    async def test() -> None:
        room = Room()
        room.other.close()
        assert await room.shut() is None
        assert room.door.refused == 0

    run(test)


def test_an_end_with_words_unread_is_no_error() -> None:
    """The other side dies with our message unread in its queue: the kernel says ECONNRESET."""

    async def test() -> None:
        room = Room()
        room.door.send(Stop())
        room.other.close()
        assert await room.shut() is None

    run(test)


def test_to_close_is_not_told_to_oneself() -> None:
    async def test() -> None:
        room = Room()
        room.door.close()
        room.door.close()
        await asyncio.sleep(0.02)
        assert room.ends == []
        assert room.other.recv(10) == b""
        room.other.close()

    run(test)


def test_a_door_that_is_closed_by_what_it_brought_takes_no_more() -> None:
    async def test() -> None:
        mine, other = make_pair()
        taken: list[Message] = []

        def take(message: Message) -> None:
            taken.append(message)
            door.close()

        door: Door[Any] = Door(mine, decode_for_media, take, lambda _: None)
        for _ in range(5):
            other.send(encode(Stop()))
        await asyncio.sleep(0.05)
        assert taken == [Stop()]
        other.close()

    run(test)


# ---- descriptors -----------------------------------------------------------------------------------------------------


def pass_descriptors(sock: socket.socket, data: bytes, files: list[int]) -> None:
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))])


@pytest.mark.parametrize("count", [1, 3])
def test_a_passed_descriptor_shuts_the_door_and_stays_out(count: int, tmp_path: Path) -> None:
    async def test() -> None:
        room = Room()
        with (tmp_path / "picture.h264").open("wb") as file:
            pass_descriptors(room.other, encode(Stop()), [file.fileno()] * count)
            before = owners(tmp_path / "picture.h264")
            error = await room.shut()
            assert owners(tmp_path / "picture.h264") == before == 1
        assert error is not None
        assert "descriptor" in error.message
        assert (room.taken, room.door.refused) == ([], 1)
        room.other.close()

    run(test)


def test_a_pair_of_ends_with_room_would_have_received_it(tmp_path: Path) -> None:
    """The negative control: the same datagram, read by a receiver that gives room for descriptors."""
    mine, other = make_pair()
    with mine, other, (tmp_path / "picture.h264").open("wb") as file:
        pass_descriptors(other, b"{}", [file.fileno()])
        _, ancillary, flags, _ = mine.recvmsg(MAX_MESSAGE, socket.CMSG_SPACE(4))
        assert not flags & socket.MSG_CTRUNC
        received = array.array("i", ancillary[0][2])
        assert owners(tmp_path / "picture.h264") == 2
        os.close(received[0])
        pass_descriptors(other, b"{}", [file.fileno()])
        with pytest.raises(DoorError, match="descriptor"):
            receive_one(mine)
        assert owners(tmp_path / "picture.h264") == 1


def test_a_sealed_end_takes_messages_and_no_descriptor(tmp_path: Path) -> None:
    """Where recvmsg is refused: the message comes, what was passed with it does not."""
    mine, other = make_pair()
    with mine, other, (tmp_path / "picture.h264").open("wb") as file:
        pass_descriptors(other, b"{}", [file.fileno()])
        assert receive_sealed(mine) == b"{}"
        assert owners(tmp_path / "picture.h264") == 1
        other.send(bytes(MAX_MESSAGE))
        assert receive_sealed(mine) == bytes(MAX_MESSAGE)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MAX_MESSAGE)
        other.send(bytes(MAX_MESSAGE + 1))
        with pytest.raises(DoorError, match="oversize"):
            receive_sealed(mine)
        mine.setblocking(False)
        assert receive_sealed(mine) is None
        other.close()
        assert receive_sealed(mine) == b""


def owners(path: Path) -> int:
    """How many of our descriptors are this file."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}") == str(path)
        except FileNotFoundError:
            continue  # the listing's own
    return found


def test_neither_end_is_inherited() -> None:
    ends = make_pair()
    assert [end.get_inheritable() for end in ends] == [False, False]
    for end in ends:
        end.close()


def test_nothing_waiting_is_none() -> None:
    mine, other = make_pair()
    with mine, other:
        mine.setblocking(False)
        assert receive_one(mine) is None


# ---- how much, and how fast ------------------------------------------------------------------------------------------


def test_more_than_the_rate_shuts_the_door() -> None:
    async def test() -> None:
        room = Room(decode_for_control, rate=20_000)
        message = encode(Fault(what="x", count=1)).ljust(1000)
        for _ in range(40):
            room.other.send(message)
        error = await room.shut()
        assert error is not None
        assert "20000 bytes a second" in error.message
        assert 20 <= len(room.taken) <= 22  # one second's worth may come at once
        room.other.close()

    run(test)


def test_the_allowance_grows_with_time_to_a_second_s_worth_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(link, "time", SimpleNamespace(monotonic=lambda: now))  # the loop keeps its own clock

    async def test() -> None:
        nonlocal now
        room = Room(decode_for_control, rate=10_000)
        message = encode(Fault(what="x", count=1)).ljust(1000)

        def send(count: int) -> None:
            for _ in range(count):
                room.other.send(message)

        send(10)
        await room.until(lambda: len(room.taken) == 10)
        now += 0.5
        send(5)
        await room.until(lambda: len(room.taken) == 15)
        now += 3600.0
        send(10)
        await room.until(lambda: len(room.taken) == 25)
        assert not room.ends
        send(1)
        assert await room.shut() is not None
        assert len(room.taken) == 25
        room.other.close()

    run(test)


def test_without_a_rate_nothing_is_bounded() -> None:
    async def test() -> None:
        room = Room(rate=0)
        message = encode(Stop()).ljust(MAX_MESSAGE)
        room.other.setblocking(False)
        sent = 0
        while sent < 100:
            try:
                room.other.send(message)
            except BlockingIOError:
                await asyncio.sleep(0.001)
            else:
                sent += 1
        await room.until(lambda: len(room.taken) == 100)
        assert not room.ends
        close(room)

    run(test)


def test_a_slow_reader_gets_everything_in_order_later() -> None:
    async def test() -> None:
        room = Room()
        offers = [AddViewer(viewer="v" * 16, camera=f"bay-{number}", offer="x" * 30_000) for number in range(60)]
        for offer in offers:
            room.door.send(offer)
        assert room.door.messages_out < 60, "the kernel took everything: nothing was queued"
        room.other.setblocking(False)
        read: list[Message] = []
        async with asyncio.timeout(10):
            while len(read) < 60:
                if (data := receive_one(room.other)) is None:
                    await asyncio.sleep(0.001)
                else:
                    read.append(decode_for_media(data))
                if len(read) == 30 and room.door.messages_out < 60:
                    room.door.send(Stop())  # what comes later waits behind what waits already
                    offers.append(Stop())  # type: ignore[arg-type]
        assert read == offers[:60]
        await room.until(lambda: room.door.messages_out == len(offers))
        # all is out: the next one goes straight away again
        room.door.send(Stop())
        assert room.door.messages_out == len(offers) + 1
        close(room)

    run(test)


def test_a_reader_that_never_reads_is_given_up() -> None:
    async def test() -> None:
        room = Room()
        with pytest.raises(DoorError, match="does not read"):
            for _ in range(MAX_QUEUED + 10_000):
                room.door.send(Stop())
        assert (await room.shut()) is not None
        room.other.close()

    run(test)


def test_the_other_side_goes_while_messages_wait() -> None:
    async def test() -> None:
        room = Room()
        for _ in range(60):
            room.door.send(AddViewer(viewer="v" * 16, camera="bay-1", offer="x" * 30_000))
        room.other.close()
        assert await room.shut() is None

    run(test)


def test_a_flood_lets_the_loop_breathe() -> None:
    async def test() -> None:
        room = Room()
        for _ in range(150):
            room.other.send(encode(Stop()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert 0 < len(room.taken) < 150
        await room.until(lambda: len(room.taken) == 150)
        close(room)

    run(test)
