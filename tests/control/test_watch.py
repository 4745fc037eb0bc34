"""The watch's driver: what it tells, writes down and does about what it sees. What it sees is a test's word."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from monitor.control import watch as module
from monitor.control.watch import Watch
from monitor.core.errors import Unavailable
from monitor.core.messages import Hello
from monitor.evidence.finding import Finding, holds
from tests.control.fake_media import FakeGuarantee, FakeStatus, report
from tests.control.fake_watch import FakeLook, wrong

HELLO = Hello(landlock_abi=7, locks=["seccomp"], missing=[], memory="no-swap", udp_port=0)


class Room:
    """Two processes, and what the watch did to them."""

    spare_pid = 0

    def __init__(self) -> None:
        self.processes = [FakeGuarantee(pid=11, hello=HELLO), FakeGuarantee(pid=12, hello=HELLO)]
        self.held = ""
        self.done: list[tuple[str, object]] = []

    def guarantee(self) -> list[FakeGuarantee]:
        return list(self.processes)

    def camera(self, camera: str) -> FakeStatus:
        return FakeStatus(report(camera, 1000), process=1)

    def end_process(self, index: int, why: str) -> None:
        self.done.append(("end", index))
        self.change(index, pid=0, state="ended", hello=None)

    def hold(self, why: str) -> None:
        self.done.append(("hold", why))
        self.held = why
        for index in (0, 1):
            self.change(index, pid=0, state="ended", hello=None)

    def release(self) -> None:
        if self.held:
            self.done.append(("release", ""))
        self.held = ""

    def change(self, index: int, **changes: Any) -> None:
        self.processes[index] = replace(self.processes[index], **changes)

    def replaced(self, index: int) -> None:
        one = self.processes[index]
        self.change(index, pid=one.pid + 100, incarnation=one.incarnation + 1, state="proved", hello=HELLO)


class Book:
    """The journal."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int]] = []
        self.rounds: list[bool] = []
        self.findings: Sequence[Finding] = ()

    async def broke(self, finding: Finding) -> None:
        self.lines.append(("broke", finding.row))

    async def mended(self, row: int) -> None:
        self.lines.append(("mended", row))

    async def looked(self, findings: Sequence[Finding], ok: bool) -> None:
        self.findings = findings
        self.rounds.append(ok)


class Scene:
    """A watch and all that it works with."""

    def __init__(self, *, strict: bool = True) -> None:
        self.room, self.book, self.look = Room(), Book(), FakeLook()
        self.now_ms, self.told = 1_000_000, 0
        self.cameras: tuple[list[Finding], list[str]] = ([], [])
        self.watch = Watch(
            self.room,  # type: ignore[arg-type]
            self.look,
            self.book,
            strict=strict,
            now_ms=lambda: self.now_ms,
            monotonic=time.monotonic,
            camera_ids=["bay-1"],
            cameras=lambda: self.cameras,
            tell=self._tell,
        )

    def _tell(self) -> None:
        self.told += 1

    def broken(self) -> tuple[int, ...]:
        return self.watch.watched.broken


def go(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await work()

    asyncio.run(bounded())


def test_a_round_that_sees_nothing_wrong() -> None:
    async def work() -> None:
        scene = Scene()
        assert scene.watch.watched.checked_ms == 0
        await scene.watch.look_now()
        assert scene.watch.watched.ok and scene.watch.watched.checked_ms == scene.now_ms
        assert [(one.row, one.verdict) for one in scene.watch.report().findings] == [
            (1, "holds"),
            (3, "holds"),
            (5, "holds"),
        ]
        assert scene.told == 1  # it was looked at for the first time
        await scene.watch.look_now()
        assert scene.told == 1
        assert (scene.book.lines, scene.book.rounds) == ([], [True, True])
        assert scene.room.done == []
        (subject, _) = scene.look.subjects
        assert subject.residency == ((1, "bay-1", 1500),)

    go(work)


def test_a_break_in_a_process_is_told_once_written_down_and_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        scene = Scene()
        await scene.watch.look_now()
        scene.look.of_process[1] = [wrong(6), wrong(9)]
        await scene.watch.look_now()
        assert scene.broken() == (6, 9) and not scene.watch.watched.ok
        assert scene.room.done == [("end", 1)]  # the other one goes on
        assert scene.book.lines == [("broke", 6), ("broke", 9)]
        assert scene.told == 2
        assert scene.book.rounds == [True, False]
        scene.look.of_process.clear()
        await scene.watch.look_now()  # the replacement is not there yet: nobody has seen it whole
        assert scene.broken() == (6, 9)
        assert {one.verdict for one in scene.watch.report().findings if one.row in (6, 9)} == {"broken"}
        scene.room.replaced(1)
        await scene.watch.look_now()
        assert scene.watch.watched.ok
        assert scene.book.lines[2:] == [("mended", 6), ("mended", 9)]
        assert scene.told == 3
        assert scene.room.done == [("end", 1)]

    caplog.set_level(logging.WARNING)
    go(work)
    assert [entry.message.split(":")[0] for entry in caplog.records] == [
        "the guarantee is broken, row 6",
        "the guarantee is broken, row 9",
        "the guarantee's row 6 is mended",
        "the guarantee's row 9 is mended",
    ]


@pytest.mark.parametrize("row", range(1, 21))
def test_which_breaks_of_a_process_end_it(row: int) -> None:
    """The table of the brief: these rows, and no other."""
    ends = row in {1, 2, 3, 4, 5, 6, 7, 10, 15, 18, 19}

    async def work() -> None:
        scene = Scene()
        scene.look.of_process[0] = [wrong(row)]
        await scene.watch.look_now()
        assert scene.room.done == ([("end", 0)] if ends else [])
        assert scene.broken() == (row,)

    go(work)


@pytest.mark.parametrize("row", range(1, 21))
def test_which_breaks_of_the_machine_hold_everything(row: int) -> None:
    async def work() -> None:
        scene = Scene()
        scene.look.machine = [wrong(row)]
        await scene.watch.look_now()
        assert [what for what, _ in scene.room.done] == (["hold"] if row in (5, 6) else [])
        assert scene.broken() == (row,)

    go(work)


def test_what_is_held_is_never_ok_and_is_released_when_it_is_mended() -> None:
    async def work() -> None:
        scene = Scene()
        await scene.watch.look_now()
        scene.look.machine = [wrong(5)]
        await scene.watch.look_now()
        assert scene.watch.watched.held and not scene.watch.watched.ok
        await scene.watch.look_now()  # no process is there any more
        assert scene.look.subjects[-1].held
        assert scene.broken() == (5,) and scene.watch.watched.held
        assert scene.book.rounds == [True, False, False]
        scene.look.machine = []
        await scene.watch.look_now()
        assert scene.broken() == () and not scene.watch.watched.held
        assert [what for what, _ in scene.room.done] == ["hold", "hold", "release"]  # a second hold changes nothing
        assert scene.book.lines == [("broke", 5), ("mended", 5)]

    go(work)


def test_under_warn_it_is_told_and_nothing_is_done() -> None:
    async def work() -> None:
        scene = Scene(strict=False)
        scene.look.machine = [wrong(5)]
        scene.look.of_process[0] = [wrong(1)]
        await scene.watch.look_now()
        assert scene.broken() == (1, 5)
        assert scene.book.lines == [("broke", 1), ("broke", 5)]
        assert scene.room.done == []

    go(work)


def test_what_was_seen_of_an_older_process_is_not_said_of_its_successor() -> None:
    async def work() -> None:
        scene = Scene()
        scene.look.of_process[0] = [wrong(1)]
        look, began, proceed = scene.look, threading.Event(), threading.Event()

        class Slow(FakeLook):
            def __call__(self, subject: Any) -> Any:
                began.set()
                proceed.wait(10)
                return look(subject)

        scene.watch._look = Slow()
        task = asyncio.create_task(scene.watch.look_now())
        await asyncio.to_thread(began.wait, 10)
        scene.room.replaced(0)  # while the thread looks at the one before
        proceed.set()
        await task
        assert scene.room.done == []
        assert scene.broken() == ()

    go(work)


def test_a_failed_proof_is_a_break_even_if_its_process_is_gone_at_once() -> None:
    async def work() -> None:
        scene = Scene()
        await scene.watch.look_now()
        scene.look.failed = [wrong(1)]
        scene.watch.guarantee_changed()
        scene.room.change(0, pid=0, state="ended", hello=None)
        await scene.watch.look_now()
        assert scene.broken() == (1,)
        scene.room.replaced(0)
        await scene.watch.look_now()
        assert scene.broken() == ()
        assert scene.book.lines == [("broke", 1), ("mended", 1)]

    go(work)


def test_a_process_that_failed_for_good_leaves_no_break_behind() -> None:
    async def work() -> None:
        scene = Scene()
        scene.look.of_process[0] = [wrong(3)]
        await scene.watch.look_now()
        scene.look.of_process.clear()
        await scene.watch.look_now()
        assert scene.broken() == (3,)
        scene.room.change(0, state="failed")
        await scene.watch.look_now()
        assert scene.broken() == ()

    go(work)


def test_a_camera_that_records_is_told_with_its_bay_and_nothing_is_done() -> None:
    async def work() -> None:
        scene = Scene()
        await scene.watch.look_now()
        scene.cameras = ([wrong(12)], ["bay-2"])
        await scene.watch.look_now()
        assert scene.watch.watched.bays == ("bay-2",) and scene.broken() == (12,)
        assert scene.room.done == []
        scene.cameras = ([holds(12)], [])
        await scene.watch.look_now()
        assert scene.watch.watched.ok
        assert scene.told == 3

    go(work)


@pytest.mark.parametrize("error", [PermissionError(13, "no"), Unavailable("no /proc"), IndexError("strange")])
def test_a_round_that_fails_makes_nothing_hold(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        scene = Scene()
        await scene.watch.look_now()
        checked = scene.watch.watched.checked_ms
        scene.look.error = error
        scene.now_ms += module.OVERDUE_MS
        await scene.watch.look_now()
        assert scene.watch.watched.checked_ms == checked and scene.watch.watched.ok
        scene.now_ms += 1
        assert scene.watch.watched.overdue and not scene.watch.watched.ok
        await scene.watch.look_now()
        assert len(scene.book.rounds) == 1
        scene.look.error = None
        await scene.watch.look_now()
        assert scene.watch.watched.ok

    go(work)
    assert caplog.text.count("the watch could not look") == 1  # three rounds failed


def test_a_look_that_hangs_is_given_up_and_not_started_twice(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.1)

    async def work() -> None:
        scene = Scene()
        proceed = threading.Event()
        calls = 0

        class Hanging(FakeLook):
            def __call__(self, subject: Any) -> Any:
                nonlocal calls
                calls += 1
                proceed.wait(10)
                return super().__call__(subject)

        scene.watch._look = Hanging()
        try:
            await scene.watch.look_now()
            await scene.watch.look_now()
            assert (calls, scene.watch.watched.checked_ms) == (1, 0)
        finally:
            proceed.set()
        while scene.watch._looking is not None and not scene.watch._looking.done():
            await asyncio.sleep(0.01)
        await scene.watch.look_now()
        assert calls == 2 and scene.watch.watched.ok

    go(work)
    assert "it took more than" in caplog.text and "it has not come back" in caplog.text


def test_it_looks_at_once_again_and_again_and_sooner_while_something_is_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.05)

    async def work() -> None:
        scene = Scene()
        scene.room.change(0, state="sealed")
        task = asyncio.create_task(scene.watch.run())
        await asyncio.sleep(0.15)
        assert scene.look.subjects == []  # not before the processes have proved themselves
        scene.room.change(0, state="proved")
        scene.look.of_process[0] = [wrong(6)]
        scene.watch.guarantee_changed()
        await _until(lambda: scene.broken() == (6,))
        assert scene.room.done == [("end", 0)]
        scene.look.of_process.clear()
        scene.room.replaced(0)
        began = time.monotonic()
        scene.watch.guarantee_changed()
        await _until(lambda: scene.watch.watched.ok)
        assert time.monotonic() - began < 5 < module.EVERY_SECONDS
        rounds = len(scene.look.subjects)
        scene.watch.guarantee_changed()  # nothing is broken: no round is needed
        await asyncio.sleep(0.2)
        assert len(scene.look.subjects) == rounds
        monkeypatch.setattr(module, "EVERY_SECONDS", 0.05)
        scene.watch.cameras_changed()
        await _until(lambda: len(scene.look.subjects) > rounds + 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    go(work)


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_a_break_is_seen_within_a_minute() -> None:
    """GUARANTEE.md's word follows from the constants, however long a round may take."""
    assert module.EVERY_SECONDS + module.LOOK_SECONDS < 60
    assert module.OVERDUE_MS / 1000 > module.EVERY_SECONDS + module.LOOK_SECONDS
