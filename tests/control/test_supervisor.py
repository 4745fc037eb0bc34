"""The supervisor with real, sealed media processes whose relay is a stub (`tests/sealed/stub_media.py`)."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from monitor.control import supervisor
from monitor.control.supervisor import Supervisor, SupervisorSettings
from monitor.core.camera_state import REPORT_OVERDUE_MS
from monitor.core.errors import BadOffer, Conflict, NotFound, TooMany, Unavailable
from monitor.core.messages import AddCamera
from monitor.core.service_clock import offset_ms

pytestmark = pytest.mark.sealed

STUB = "tests.sealed.stub_media"
UNSEALED = "tests.sealed.unsealed_media"
VIEWER = "viewer-0123456789abcdef"
SECONDS = 45.0


def camera(name: str, source: str = "stub:live") -> AddCamera:
    return AddCamera(
        camera=name,
        label=name,
        source=source,
        transport="tcp",
        window_seconds=2.0,
        window_bytes=1 << 20,
        stale_seconds=2.0,
    )


class Watched(Supervisor):
    """A supervisor that remembers what it called back."""

    def __init__(self, cameras: list[AddCamera], module: str = STUB, **settings: Any) -> None:
        self.closed: list[tuple[str, str]] = []
        self.cameras_seen: list[tuple[str, str, str]] = []
        self.guarantees = 0
        enforce: Literal["strict", "warn"] = settings.pop("enforce", "strict")
        settings.setdefault("spare", False)
        offset = offset_ms(time.time(), time.monotonic())
        super().__init__(
            SupervisorSettings(
                enforce, "127.0.0.1", settings.pop("udp_port", 0), settings.pop("processes", 1), 50, offset, **settings
            ),
            cameras,
            self._seen,
            lambda viewer, why: self.closed.append((viewer, why)),
            self._guaranteed,
            module=module,
        )

    def _seen(self, name: str) -> None:
        status = self.camera(name)
        self.cameras_seen.append((name, status.state, status.reason))

    def _guaranteed(self) -> None:
        self.guarantees += 1

    def state(self, index: int = 0) -> str:
        return self.guarantee()[index].state

    def shows(self, name: str) -> tuple[str, str]:
        status = self.camera(name)
        return status.state, status.reason


async def until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(cameras: list[AddCamera], **settings: Any) -> AsyncIterator[Watched]:
    watched = Watched(cameras, **settings)
    await watched.start()
    try:
        yield watched
    finally:
        pids = [process.pid for process in watched.guarantee()] + [watched.spare_pid]
        await watched.stop()
        assert not [pid for pid in pids if pid and Path(f"/proc/{pid}").exists()]


def go(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(100):
            await work()

    asyncio.run(bounded())


# ---- the ordinary course ---------------------------------------------------------------------------------------------


def test_from_start_over_proof_to_a_viewer_and_the_end() -> None:
    async def work() -> None:
        async with running([camera("bay-1"), camera("bay-2")]) as watched:
            assert watched.state() == "starting"
            assert watched.shows("bay-1") == ("connecting", "not-sealed")
            with pytest.raises(Unavailable):
                await watched.add_viewer("bay-1", VIEWER, "offer")
            await until(lambda: watched.shows("bay-2") == ("live", ""))
            process = watched.guarantee()[0]
            assert process.state == "proved"
            assert process.hello is not None and process.hello.missing == []
            assert [proof.thread for proof in process.proofs] == ["first", "second"]
            assert all(proof.holds for proof in process.proofs)
            assert process.why == "" and process.proved_ms > 0 and process.door_bytes > 0
            answer = await watched.add_viewer("bay-1", VIEWER, "offer")
            assert answer.viewer == VIEWER
            watched.close_viewer(VIEWER)
            await until(lambda: watched.closed == [(VIEWER, "asked")])
            watched.close_viewer(VIEWER)  # no error
            assert watched.guarantees >= 3
            started = time.monotonic()
            await watched.stop()
            assert time.monotonic() - started < 1.5

    go(work)


def test_no_camera_is_sent_before_both_proofs() -> None:
    """The stub reports a camera as soon as it is told of one: so nothing may come before the process is proved."""

    async def work() -> None:
        async with running([camera("bay-1")]) as watched:
            process = watched._slots[0].process
            assert process is not None
            kinds: list[str] = []
            send = process.send

            def noted(message: Any) -> None:
                kinds.append(message.kind)
                send(message)

            process.send = noted  # type: ignore[method-assign]
            await until(lambda: watched.state() == "sealed")
            watched.set_curtain("bay-1", True)
            assert kinds == ["run_proof"]
            await until(lambda: watched.state() == "proved")
            assert kinds == ["run_proof", "add_camera"]
            assert "live" not in {state for _, state, _ in watched.cameras_seen}

    go(work)


def test_refusals_become_the_right_errors() -> None:
    async def work() -> None:
        async with running([camera("bay-1")]) as watched:
            await until(lambda: watched.shows("bay-1") == ("live", ""))
            for why, error in (
                ("no-h264", BadOffer),
                ("broken-sdp", BadOffer),
                ("not-receiving", BadOffer),
                ("no-fingerprint", BadOffer),
                ("no-ice", BadOffer),
                ("unknown-camera", NotFound),
                ("too-many", TooMany),
            ):
                with pytest.raises(error):
                    await watched.add_viewer("bay-1", VIEWER, f"refuse {why}")
            with pytest.raises(NotFound):
                await watched.add_viewer("bay-9", VIEWER, "offer")
            with pytest.raises(NotFound):
                watched.camera("bay-9")
            started = time.monotonic()
            with pytest.raises(Unavailable):
                await watched.add_viewer("bay-1", VIEWER, "ignore")
            assert 2.5 < time.monotonic() - started < 6
            with pytest.raises(Unavailable):
                await watched.add_viewer("bay-1", VIEWER, "die")
            assert watched._sessions._waiting == {}

    go(work)


def test_cameras_are_dealt_out_by_bay_and_ports_follow() -> None:
    cameras = [camera(name) for name in ("bay-1", "bay-1.sub", "bay-2", "bay-2.sub", "bay-3")]
    watched = Watched(cameras, processes=2, udp_port=9000)
    assert [list(slot.cameras) for slot in watched._slots] == [
        ["bay-1", "bay-1.sub", "bay-3"],
        ["bay-2", "bay-2.sub"],
    ]
    assert len(Watched(cameras, processes=8)._slots) == 3
    assert len(Watched([], processes=8)._slots) == 1


def test_two_processes_take_ports_in_a_row(free_udp_port: Callable[..., int]) -> None:
    async def work() -> None:
        port = free_udp_port(2)
        async with running([camera("bay-1"), camera("bay-2")], processes=2, udp_port=port) as watched:
            await until(lambda: [watched.state(0), watched.state(1)] == ["proved", "proved"])
            assert [process.hello.udp_port for process in watched.guarantee() if process.hello] == [port, port + 1]

    go(work)


# ---- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_killed_process_is_replaced_and_its_viewers_are_told() -> None:
    async def work() -> None:
        async with running([camera("bay-1")]) as watched:
            await until(lambda: watched.shows("bay-1") == ("live", ""))
            watched.set_curtain("bay-1", True)
            await until(lambda: watched.shows("bay-1") == ("curtain", ""))
            watched.set_curtain("bay-1", False)
            await until(lambda: watched.shows("bay-1") == ("live", ""))
            await watched.add_viewer("bay-1", VIEWER, "offer")
            before = watched.guarantee()[0]
            os.kill(before.pid, signal.SIGKILL)
            await until(lambda: watched.guarantee()[0].incarnation == 2)
            assert watched.closed == [(VIEWER, "process-lost")]
            assert watched.shows("bay-1") == ("connecting", "process-lost")
            assert watched.guarantee()[0].proofs == ()
            assert "signal 9" in watched.guarantee()[0].why
            watched.set_curtain("bay-1", True)  # while it is down: the new one starts with it
            assert watched.shows("bay-1") == ("curtain", "")
            await until(lambda: watched.state() == "proved")
            await until(lambda: watched.camera("bay-1").report is not None)
            assert watched.shows("bay-1") == ("curtain", "")
            assert watched.camera("bay-1").incarnation == 2
            assert watched.guarantee()[0].pid != before.pid
            # Not once was it shown live between its death and its return.
            after = watched.cameras_seen[watched.cameras_seen.index(("bay-1", "connecting", "process-lost")) :]
            assert "live" not in {state for _, state, _ in after}

    go(work)


def test_a_spare_process_stands_by_and_takes_the_place_of_one_that_died() -> None:
    async def work() -> None:
        async with running([camera("bay-1")], spare=True) as watched:
            assert watched.spare_pid == 0  # not while others start
            await until(lambda: watched.spare_pid != 0)
            spare = watched.spare_pid
            assert watched.state() == "proved"
            await asyncio.sleep(0.5)
            os.kill(watched.guarantee()[0].pid, signal.SIGKILL)
            await until(lambda: watched.guarantee()[0].incarnation == 2)
            assert watched.guarantee()[0].pid == spare
            assert watched.spare_pid == 0
            assert watched.guarantee()[0].proofs == ()  # it proves itself like any other
            await until(lambda: watched.shows("bay-1") == ("live", ""))
            assert all(proof.holds for proof in watched.guarantee()[0].proofs)

    go(work)


def test_a_spare_that_dies_is_not_used() -> None:
    async def work() -> None:
        async with running([camera("bay-1")], spare=True) as watched:
            await until(lambda: watched.spare_pid != 0)
            os.kill(watched.spare_pid, signal.SIGKILL)
            await until(lambda: watched.spare_pid == 0)
            assert watched.state() == "proved"
            os.kill(watched.guarantee()[0].pid, signal.SIGKILL)
            await until(lambda: watched.guarantee()[0].incarnation == 2)
            await until(lambda: watched.state() == "proved")

    go(work)


def test_a_process_that_keeps_dying_is_called_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies at its first camera. Two restarts instead of five keep the test short; five are in test_process_state."""
    monkeypatch.setattr("monitor.core.process_state.RESTARTS", 2)

    async def work() -> None:
        async with running([camera("bay-1", "stub:die")]) as watched:
            await until(lambda: watched.state() == "failed")
            assert watched.guarantee()[0].incarnation == 3
            assert watched.guarantee()[0].pid == 0
            assert watched.guarantee()[0].why == "ended with code 9"
            assert watched.shows("bay-1") == ("failed", "process-lost")
            with pytest.raises(Unavailable):
                await watched.add_viewer("bay-1", VIEWER, "offer")
            await asyncio.sleep(3 * supervisor.TICK_SECONDS)
            assert watched.guarantee()[0].incarnation == 3  # left alone
            watched.retry()
            await until(lambda: watched.guarantee()[0].incarnation == 4)
            assert watched.state() == "failed"  # until it has proved itself

    go(work)


def test_a_failed_process_is_tried_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.core.process_state.RESTARTS", 0)
    monkeypatch.setattr(supervisor, "RETRY_MS", 500)

    async def work() -> None:
        async with running([camera("bay-1")]) as watched:
            await until(lambda: watched.state() == "proved")
            os.kill(watched.guarantee()[0].pid, signal.SIGKILL)
            await until(lambda: watched.state() == "failed")
            await until(lambda: watched.state() == "proved")
            await until(lambda: watched.shows("bay-1") == ("live", ""))

    go(work)


def test_a_late_proof_ends_the_process() -> None:
    async def work() -> None:
        async with running([camera("bay-1")], proof_interval=1.0, proof_deadline=1.0) as watched:
            await until(lambda: watched.shows("bay-1") == ("live", ""))
            pid = watched.guarantee()[0].pid
            os.kill(pid, signal.SIGSTOP)
            await until(lambda: watched.guarantee()[0].incarnation == 2)
            assert watched.guarantee()[0].why == "the proof of the seal is late"
            assert not Path(f"/proc/{pid}").exists()
            await until(lambda: watched.state() == "proved")

    go(work)


def test_the_proof_is_asked_for_again_and_again() -> None:
    async def work() -> None:
        async with running([camera("bay-1")], proof_interval=0.5) as watched:
            nonces: set[str] = set()

            def three() -> bool:
                nonces.update(proof.nonce for proof in watched.guarantee()[0].proofs)
                return len(nonces) >= 3

            await until(three)
            assert watched.guarantee()[0].incarnation == 1

    go(work)


def test_a_hanging_process_makes_its_cameras_stale() -> None:
    async def work() -> None:
        async with running([camera("bay-1")]) as watched:
            await until(lambda: watched.shows("bay-1") == ("live", ""))
            pid = watched.guarantee()[0].pid
            os.kill(pid, signal.SIGSTOP)
            stopped = time.monotonic()
            await until(lambda: ("bay-1", "stale", "no-packets") in watched.cameras_seen)
            assert time.monotonic() - stopped < REPORT_OVERDUE_MS / 1000 + 1.5
            assert watched.shows("bay-1") == ("stale", "no-packets")
            os.kill(pid, signal.SIGCONT)
            await until(lambda: watched.shows("bay-1") == ("live", ""))

    go(work)


def test_a_failed_proof_ends_the_process_and_no_camera_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.core.process_state.RESTARTS", 1)

    async def work() -> None:
        async with running([camera("bay-1")], module=UNSEALED) as watched:
            await until(lambda: watched.state() == "failed")
            assert watched.guarantee()[0].why.startswith("the proof of the seal failed: read outside")
            assert {(state, reason) for _, state, reason in watched.cameras_seen} <= {
                ("connecting", "not-sealed"),
                ("connecting", "process-lost"),
                ("failed", "process-lost"),
            }

    go(work)


def test_under_warn_a_failed_proof_is_said_and_pictures_go_on() -> None:
    async def work() -> None:
        async with running([camera("bay-1")], module=UNSEALED, enforce="warn") as watched:
            await until(lambda: watched.shows("bay-1") == ("live", ""))
            process = watched.guarantee()[0]
            assert process.state == "sealed"
            assert "proof of the seal failed" in process.why
            assert process.hello is not None and process.hello.missing == ["landlock"]

    go(work)


def test_a_port_in_use_is_said(free_udp_port: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr("monitor.core.process_state.RESTARTS", 0)

    async def work() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", port := free_udp_port()))
            async with running([camera("bay-1")], udp_port=port) as watched:
                await until(lambda: watched.state() == "failed")
                assert "EADDRINUSE" in watched.guarantee()[0].why
                assert "server.udp_port" in watched.guarantee()[0].why

    go(work)


def test_the_process_ends_with_the_control_process() -> None:
    """The door closes, and the kernel kills it: here the door."""

    async def work() -> None:
        watched = Watched([camera("bay-1")])
        await watched.start()
        await until(lambda: watched.state() == "proved")
        slot = watched._slots[0]
        assert slot.process is not None
        watched._stopping = True
        slot.process.door.close()
        async with asyncio.timeout(5):
            await slot.process.ended.wait()
        await watched.stop()

    go(work)


# ---- what the watch and the audit ask for ----------------------------------------------------------------------------


def test_held_nothing_runs_and_released_everything_comes_back() -> None:
    async def work() -> None:
        async with running([camera("bay-1")], spare=True) as watched:
            await until(lambda: watched.spare_pid != 0)
            await until(lambda: watched.shows("bay-1") == ("live", ""))
            await watched.add_viewer("bay-1", VIEWER, "offer")
            pids = [watched.guarantee()[0].pid, watched.spare_pid]
            watched.hold("swap is on")
            assert watched.held == "swap is on"
            assert watched.shows("bay-1") == ("failed", "guarantee-broken")
            with pytest.raises(Unavailable):
                await watched.add_viewer("bay-1", VIEWER + "-2", "offer")
            await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 5)
            await until(lambda: watched.closed == [(VIEWER, "process-lost")], 5)
            watched.hold("another reason")  # held already: nothing changes
            assert watched.held == "swap is on"
            watched.retry()  # what is held is not to be had by trying again
            await asyncio.sleep(4 * supervisor.TICK_SECONDS)
            assert watched.guarantee()[0].pid == watched.spare_pid == 0
            assert watched.guarantee()[0].why == "swap is on"
            assert watched.shows("bay-1") == ("failed", "guarantee-broken")
            watched.release()
            assert watched.held == ""
            assert watched.shows("bay-1")[0] == "connecting"
            await until(lambda: watched.shows("bay-1") == ("live", ""))
            assert watched.state() == "proved"
            watched.release()  # nothing is held: nothing changes
            assert watched.guarantee()[0].incarnation == 2

    go(work)


def test_released_before_the_old_process_is_gone() -> None:
    async def work() -> None:
        async with running([camera("bay-1")]) as watched:
            await until(lambda: watched.state() == "proved")
            watched.hold("swap is on")
            watched.release()
            await until(lambda: watched.shows("bay-1") == ("live", ""))
            assert watched.guarantee()[0].incarnation == 2

    go(work)


def test_a_process_that_is_seen_to_be_broken_is_ended_and_replaced() -> None:
    async def work() -> None:
        cameras = [camera("bay-1"), camera("bay-2")]
        async with running(cameras, processes=2) as watched:
            await until(lambda: watched.state(0) == watched.state(1) == "proved")
            first, second = watched.guarantee()
            watched.end_process(1, "its core limit is not 0")
            assert watched.guarantee()[1].why == "its core limit is not 0"
            assert watched.shows("bay-2") != ("live", "")
            await until(lambda: watched.guarantee()[1].incarnation == 2)
            await until(lambda: watched.state(1) == "proved")
            assert not Path(f"/proc/{second.pid}").exists()
            assert watched.guarantee()[0].pid == first.pid  # the other one is left alone
            assert [process.incarnation for process in watched.guarantee()] == [1, 2]

    go(work)


def test_a_proof_on_request_is_a_new_one() -> None:
    async def work() -> None:
        async with running([camera("bay-1")]) as watched:
            watched.prove()  # nothing serves yet: nothing is asked
            await until(lambda: watched.state() == "proved")
            before = watched.guarantee()[0].proofs[0].nonce
            watched.prove()
            question = watched._slots[0].question
            assert question is not None and question.nonce != before
            watched.prove()  # asked already: the same question stands
            assert watched._slots[0].question is question
            await until(lambda: watched.guarantee()[0].proofs[0].nonce == question.nonce, 10)
            assert {proof.nonce for proof in watched.guarantee()[0].proofs} == {question.nonce}

    go(work)


def test_a_camera_more_and_one_less() -> None:
    async def work() -> None:
        async with running([camera("bay-1")]) as watched:
            await until(lambda: watched.shows("bay-1") == ("live", ""))
            watched.add_camera(0, camera("p0.canary"))
            await until(lambda: watched.shows("p0.canary") == ("live", ""))
            with pytest.raises(Conflict):
                watched.add_camera(0, camera("p0.canary"))
            with pytest.raises(NotFound):
                watched.add_camera(1, camera("p1.canary"))
            os.kill(watched.guarantee()[0].pid, signal.SIGKILL)  # a new life gets it again
            await until(lambda: watched.guarantee()[0].incarnation == 2)
            await until(lambda: watched.shows("p0.canary") == ("live", ""))
            watched.remove_camera("p0.canary")
            for ask in (watched.camera, watched.remove_camera):
                with pytest.raises(NotFound):
                    ask("p0.canary")
            await asyncio.sleep(0.5)  # reports of it that were under way
            assert watched.shows("bay-1") == ("live", "")

    go(work)


# ---- what must not be seen -------------------------------------------------------------------------------------------


def test_a_password_is_in_no_argument_variable_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "correct-horse-battery"

    async def work() -> None:
        cameras = [camera("bay-1", f"rtsp://viewer:{secret}@127.0.0.1/main"), camera("bay-2", "stub:chatter")]
        async with running([*cameras, camera("bay-3", "stub:raise")]) as watched:
            await until(lambda: watched.shows("bay-3") == ("live", ""))
            await until(lambda: "unhandled" in caplog.text)
            pid = watched.guarantee()[0].pid
            for name in ("cmdline", "environ"):
                seen = Path(f"/proc/{pid}/{name}").read_bytes()
                assert seen and secret.encode() not in seen
            os.kill(pid, signal.SIGKILL)
            await until(lambda: watched.guarantee()[0].incarnation == 2)

    go(work)
    assert secret not in caplog.text
    assert "hunter2" not in caplog.text  # what a library logged, and an exception's text
    assert "QUJD" not in caplog.text
    assert "a library's message, withheld" in caplog.text
    assert "ValueError at stub_media.py" in caplog.text


def test_it_holds_nothing_but_sockets_pipes_and_the_null_device() -> None:
    async def work() -> None:
        async with running([camera("bay-1")]) as watched:
            await until(lambda: watched.shows("bay-1") == ("live", ""))
            await watched.add_viewer("bay-1", VIEWER, "offer")
            pid = watched.guarantee()[0].pid
            if os.geteuid() != 0:
                pytest.skip("an undumpable process's descriptors are seen by root only")
            kinds = {os.readlink(path).split(":")[0] for path in Path(f"/proc/{pid}/fd").iterdir()}
            assert kinds <= {"socket", "pipe", "anon_inode", "/dev/null"}
            for task in Path(f"/proc/{pid}/task").iterdir():
                status = (task / "status").read_text()
                assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
            assert os.getsid(pid) == pid

    go(work)
