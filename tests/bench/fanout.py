"""Fan-out: processor time a packet and memory a viewer, for many viewers of one camera.

Vigil's sealed media process beside a sender of stock aiortc, by turns on the same camera. The sender has a core to
itself; the camera and the viewers share another. Packets are those that really arrived at viewers.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.bench.processes import cores, cpu_seconds, on_core, resident_kib
from tests.bench.report import PEER, VIGIL, Result, Row
from tests.bench.senders import BAY, PICTURE, AiortcPeer, Picture, Sender, Vigil
from tests.fakes.whep_client import WhepViewer, stay_on_loopback

HTTP_SECONDS = 60.0
"""A sender whose core is full answers late; that is seen in its load, not by giving up on it."""
FULL = 0.95
"""Of a core: beyond this a sender has no time left."""
AT_ONCE = 5
"""Handshakes at a time: a ward's screens do not all start in the same millisecond."""


@dataclass(frozen=True)
class Setting:
    """What is measured. Times in seconds."""

    viewers: int = 50
    rounds: int = 2
    window: float = 10.0
    settle: float = 4.0
    picture: Picture = PICTURE


@dataclass(frozen=True)
class Turn:
    """One sender, once."""

    cpu: float
    """Seconds of the process that sends, in the window."""
    beside: float
    """Seconds of its other processes."""
    seconds: float
    packets: int
    octets: int
    missing: int
    """Sequence numbers that went by without a packet."""
    idle: float
    """Of a core, while the camera is read and nobody watches."""
    kib_without: int
    kib_with: int
    viewers: int
    served: int
    """Viewers that got anything in the window."""
    cipher: str
    """The SRTP profile that the two sides agreed on."""

    @property
    def cpu_packet_us(self) -> float:
        return self.cpu / self.packets * 1e6

    @property
    def cpu_viewer_ms(self) -> float:
        """A viewer and second: what counts where the two cut pictures into packets of different sizes."""
        return self.cpu / self.viewers / self.seconds * 1e3

    @property
    def kib_viewer(self) -> float:
        return (self.kib_with - self.kib_without) / self.viewers

    @property
    def arrived_percent(self) -> float:
        return 100 * self.packets / (self.packets + self.missing)


def measure(setting: Setting | None = None) -> Result:
    """A B A B: every sender `rounds` times, by turns."""
    setting = setting or Setting()
    stay_on_loopback()
    pinned = cores()
    sender_core, other_core = pinned or (None, None)
    turns: dict[str, list[Turn]] = {Vigil.name: [], AiortcPeer.name: []}
    makers: list[Callable[[Path, str], Sender]] = [Vigil, AiortcPeer]
    with (
        tempfile.TemporaryDirectory(prefix="vigil-bench-") as folder,
        on_core(other_core),
        setting.picture.camera() as camera,
    ):
        for number in range(setting.rounds):
            for make in makers:
                with on_core(sender_core):
                    sender = make(Path(folder) / f"{number}", camera.url())
                with contextlib.closing(_Stopping(sender)):
                    turns[sender.name].append(asyncio.run(_turn(sender, setting)))
    return _result(setting, pinned is not None, turns[Vigil.name], turns[AiortcPeer.name])


class _Stopping:
    def __init__(self, sender: Sender) -> None:
        self.close = sender.stop


async def _turn(sender: Sender, setting: Setting) -> Turn:
    async with httpx2.AsyncClient(timeout=HTTP_SECONDS) as http:
        # The first viewer of all pays for what is loaded once: that is no cost of one viewer more.
        await _watch(sender, http, 1, setting.settle)
        idle = await _load(sender, setting.settle)
        without = resident_kib(sender.media_pid())
        viewers = await _open(sender, http, setting.viewers)
        try:
            await asyncio.sleep(setting.settle)
            loop = asyncio.get_running_loop()
            cpu, beside, seconds = cpu_seconds(sender.media_pid()), _beside(sender), loop.time()
            before = [(viewer.packets, viewer.octets, viewer.sequence) for viewer in viewers]
            await asyncio.sleep(setting.window)
            cpu, beside, seconds = (
                cpu_seconds(sender.media_pid()) - cpu,
                _beside(sender) - beside,
                loop.time() - seconds,
            )
            packets = [viewer.packets - old[0] for viewer, old in zip(viewers, before, strict=True)]
            passed = [(viewer.sequence - old[2]) & 0xFFFF for viewer, old in zip(viewers, before, strict=True)]
            if not any(packets):
                raise RuntimeError(f"no viewer of {sender.name} got anything")
            return Turn(
                cpu=cpu,
                beside=beside,
                seconds=seconds,
                packets=sum(packets),
                octets=sum(viewer.octets - old[1] for viewer, old in zip(viewers, before, strict=True)),
                missing=max(0, sum(passed) - sum(packets)),
                idle=idle,
                kib_without=without,
                kib_with=resident_kib(sender.media_pid()),
                viewers=len(viewers),
                served=sum(map(bool, packets)),
                cipher=viewers[0].cipher,
            )
        finally:
            await _close(viewers)


async def _load(sender: Sender, seconds: float) -> float:
    loop = asyncio.get_running_loop()
    cpu, began = cpu_seconds(sender.media_pid()), loop.time()
    await asyncio.sleep(seconds)
    return (cpu_seconds(sender.media_pid()) - cpu) / (loop.time() - began)


def _beside(sender: Sender) -> float:
    return sum(cpu_seconds(pid) for pid in sender.beside_pids())


async def _watch(sender: Sender, http: httpx2.AsyncClient, count: int, seconds: float) -> None:
    viewers = await _open(sender, http, count)
    await asyncio.sleep(seconds)
    await _close(viewers)


async def _open(sender: Sender, http: httpx2.AsyncClient, count: int) -> list[WhepViewer]:
    viewers = [WhepViewer(f"{sender.url}/whep/{BAY}", sender.bearer, decrypt=False) for _ in range(count)]
    for first in range(0, count, AT_ONCE):
        await asyncio.gather(*(viewer.open(http) for viewer in viewers[first : first + AT_ONCE]))
    return viewers


async def _close(viewers: Iterable[WhepViewer]) -> None:
    await asyncio.gather(*(viewer.close() for viewer in viewers))


def _result(setting: Setting, pinned: bool, vigil: list[Turn], peer: list[Turn]) -> Result:
    def row(label: str, unit: str, value: Callable[[Turn], float]) -> Row:
        return Row(label, unit, [value(turn) for turn in vigil], [value(turn) for turn in peer])

    control = statistics.median(turn.beside / turn.seconds * 1e3 for turn in vigil)
    notes = [f"Vigil's control process beside it: {control:.3g} ms of CPU a second, not in the figures above"]
    for who, turns in ((VIGIL, vigil), (PEER, peer)):
        notes.append(f"{who} and its viewers agreed on {' and '.join(sorted({turn.cipher for turn in turns}))}")
        if any(turn.cpu / turn.seconds > FULL or turn.served < turn.viewers for turn in turns):
            notes.append(f"{who} could not keep up: its core was full, so its memory holds what it could not send")
    return Result(
        "fanout",
        {
            "viewers": setting.viewers,
            "rounds": setting.rounds,
            "window s": setting.window,
            **setting.picture.conditions(),
            "sender alone on its core": "yes" if pinned else "no, there is only one",
        },
        [
            row("CPU a packet", "us", lambda turn: turn.cpu_packet_us),
            row("CPU a viewer and second", "ms", lambda turn: turn.cpu_viewer_ms),
            row("load of the core", "%", lambda turn: 100 * turn.cpu / turn.seconds),
            row("load of the core without viewers", "%", lambda turn: 100 * turn.idle),
            row("memory a viewer", "KiB", lambda turn: turn.kib_viewer),
            row("memory without viewers", "MiB", lambda turn: turn.kib_without / 1024),
            row("packets a viewer and second", "1/s", lambda turn: turn.packets / turn.viewers / turn.seconds),
            row("octets a packet", "B", lambda turn: turn.octets / turn.packets),
            row("arrived", "%", lambda turn: turn.arrived_percent),
            row("viewers that got packets", "of all", lambda turn: turn.served),
        ],
        notes,
    )
