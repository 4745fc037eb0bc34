"""What the watch sees: real sealed processes from outside, and what no machine can be made to do is said to it."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.control import watch_look
from monitor.control.media_slot import ProcessGuarantee
from monitor.control.watch import Seen, Subject, Watch
from monitor.control.watch_look import RESIDENCY_SLACK_MS as SLACK_MS
from monitor.control.watch_look import SiteLook
from monitor.core.config import Config
from monitor.core.errors import NotFound, Unavailable
from monitor.core.messages import Attempt, Hello, Proof
from monitor.evidence.finding import Finding, combined
from monitor.evidence.machine import MachineFacts, SwapFacts
from monitor.evidence.proc import ProcessFacts
from tests.control.harness import config
from tests.control.test_supervisor import STUB, Watched, camera, go, running, until

HELLO = Hello(landlock_abi=7, locks=["seccomp"], missing=[], memory="no-swap", udp_port=0)
REFUSED = Attempt(name="create", where="/", refused=True, answer="EACCES")
PROOF = Proof(nonce="n" * 20, thread="first", holds=True, tried=1, refused=1, attempts=[REFUSED], took_ms=1)


def process(**changes: object) -> ProcessGuarantee:
    """A proved one, which does not exist."""
    one = ProcessGuarantee(
        index=0,
        pid=1 << 22,
        incarnation=1,
        state="proved",
        since_ms=1,
        hello=HELLO,
        proofs=(PROOF, PROOF.model_copy(update={"thread": "second"})),
        proved_ms=1,
        written_octets=0,
        why="",
        door_bytes=0,
        log_bytes=0,
        log_dropped=0,
    )
    return replace(one, **changes)  # type: ignore[arg-type]


def subject(*processes: ProcessGuarantee, at: float = 0.0, spare: int = 0, held: bool = False) -> Subject:
    return Subject(at, processes, spare, held)


def of(watched: Watched, at: float | None = None) -> Subject:
    """Of a real supervisor, as `Watch` makes it."""
    moment = time.monotonic() if at is None else at
    return Subject(moment, tuple(watched.guarantee()), watched.spare_pid, bool(watched.held))


def broken_rows(seen: Seen) -> list[int]:
    return sorted({one.row for one in every(seen) if one.verdict == "broken"} - {20})  # 20: others edit this tree


def every(seen: Seen) -> list[Finding]:
    return combined([*seen.machine, *(one for found in seen.of_process.values() for one in found)])


@pytest.fixture
def configured(tmp_path: Path) -> Config:
    return config(tmp_path)


@pytest.mark.sealed
def test_sealed_processes_and_their_spare_are_whole_and_a_limit_that_is_lifted_is_seen(
    configured: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with running([camera("bay-1"), camera("bay-2")], processes=2, spare=True) as watched:
            await until(lambda: watched.spare_pid != 0)
            await asyncio.sleep(1)  # until the spare has imported what it needs
            look = SiteLook(configured, module=STUB)
            seen = await asyncio.to_thread(look, of(watched))
            assert broken_rows(seen) == []
            assert sorted(seen.of_process) == [0, 1]
            rows = {one.row: one for one in every(seen)}
            assert {3, 5, 6, 10} <= {row for row, one in rows.items() if one.verdict == "holds"}
            assert {rows[row].verdict for row in (8, 11, 14, 16, 17)} == {"not_checked"}
            if os.geteuid() == 0:
                whole = {1, 2, 4, 7, 18, 19}
                assert whole <= {row for row, one in rows.items() if one.verdict == "holds"}, rows
            lifted, read = watched.guarantee()[1].pid, watch_look.read_process

            def with_a_core_limit(pid: int) -> ProcessFacts:
                facts = read(pid)
                return replace(facts, limits=replace(facts.limits, core=(4096, 4096))) if pid == lifted else facts

            monkeypatch.setattr(watch_look, "read_process", with_a_core_limit)
            seen = await asyncio.to_thread(look, of(watched))
            assert broken_rows(seen) == [6]
            assert [one.row for one in seen.of_process[1] if one.verdict == "broken"] == [6]
            assert "broken" not in {one.verdict for one in seen.of_process[0]}

    go(work)


@pytest.mark.sealed
def test_a_process_that_is_not_the_one_that_it_should_be_is_seen(configured: Config) -> None:
    """The negative control of the one above: the same process, looked at as if another program were expected."""

    async def work() -> None:
        async with running([camera("bay-1")]) as watched:
            await until(lambda: watched.state() == "proved")
            seen = await asyncio.to_thread(SiteLook(configured), of(watched))
            assert broken_rows(seen) == [19], [one for one in every(seen) if one.verdict == "broken"]

    go(work)


@pytest.mark.sealed
def test_the_event_loop_is_not_held_up(configured: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """What a round costs the thread that serves everybody, in processor time; under 5 ms."""

    class Nowhere:
        async def broke(self, finding: Finding) -> None: ...

        async def mended(self, row: int) -> None: ...

        async def looked(self, findings: object, ok: bool) -> None: ...

    async def work() -> None:
        async with running([camera("bay-1"), camera("bay-2")], processes=2) as watched:
            await until(lambda: watched.state(0) == watched.state(1) == "proved")
            watch = Watch(
                watched,
                SiteLook(configured, module=STUB),
                Nowhere(),
                strict=True,
                now_ms=lambda: round(time.time() * 1000),
                monotonic=time.monotonic,
                camera_ids=["bay-1", "bay-2"],
                cameras=lambda: ([], []),
                tell=lambda: None,
            )
            await watch.look_now()
            spent = []
            for _ in range(5):
                before = time.thread_time()
                await watch.look_now()
                spent.append((time.thread_time() - before) * 1000)
            with capsys.disabled():
                print(f"\na round of the watch takes {min(spent):.2f} to {max(spent):.2f} ms of the event loop")
            assert min(spent) < 5
            assert not set(watch.watched.broken) - {20}

    go(work)


def test_a_process_that_has_ended_is_left_out_and_a_hidden_one_is_not_checked(
    configured: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(pid: int) -> None:
        raise NotFound("it has ended")

    def hidden(pid: int) -> None:
        if pid != os.getpid():
            raise Unavailable("hidden")
        return read(pid)

    look, read = SiteLook(configured), watch_look.read_process
    monkeypatch.setattr(watch_look, "read_process", hidden)
    seen = look(subject(process()))
    assert broken_rows(seen) == []
    (found,) = seen.of_process.values()
    rows = {one.row: one for one in combined(found)}
    assert {rows[row].verdict for row in (1, 2, 3, 4, 6, 7, 10, 18, 19)} == {"not_checked"}
    assert rows[1].seen  # its own word stands beside it
    monkeypatch.setattr(watch_look, "read_process", ended)
    monkeypatch.setattr(look, "_program", lambda facts: [])
    assert look(subject(process())).of_process == {}
    assert look(subject(process(hello=None), process(pid=0))).of_process == {}  # neither is sealed


def test_a_proof_that_failed_names_its_row(configured: Config) -> None:
    look = SiteLook(configured)
    assert look.failed_proofs([process()]) == []
    open_ = PROOF.model_copy(
        update={
            "holds": False,
            "refused": 0,
            "attempts": [REFUSED.model_copy(update={"name": "memfd_create", "refused": False, "answer": "succeeded"})],
        }
    )
    failed = look.failed_proofs([process(), process(proofs=(PROOF, open_.model_copy(update={"thread": "second"})))])
    assert [one.row for one in failed] == [4]


def test_a_lock_that_is_missing_is_its_row(configured: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `enforce = "warn"` a process may serve without one."""

    def hidden(pid: int) -> None:
        raise Unavailable("hidden")

    look = SiteLook(configured)
    monkeypatch.setattr(watch_look, "read_process", hidden)
    monkeypatch.setattr(look, "_program", lambda facts: [])
    seen = look(subject(process(hello=HELLO.model_copy(update={"missing": ["memory"]}))))
    assert broken_rows(seen) == [5]


@pytest.mark.parametrize(
    ("octets", "verdicts"),
    [
        (0, ["holds"]),
        (10 * watch_look.DOOR_BASE, ["holds"]),
        (10 * watch_look.DOOR_BASE + 10, ["broken"]),
        (10_000_000, ["broken"]),
    ],
)
def test_how_much_comes_through_the_door(configured: Config, octets: int, verdicts: list[str]) -> None:
    look = SiteLook(configured)

    def said(at: float, door: int, log: int = 0, incarnation: int = 1) -> list[str]:
        one = process(door_bytes=door, log_bytes=log, incarnation=incarnation)
        return [finding.verdict for finding in look._through_door(subject(one, at=at), 0)]

    assert said(100.0, 500) == []  # nothing to compare with
    assert said(101.0, 999_999) == []  # too short a time
    assert said(110.0, 500 + octets // 2, octets - octets // 2) == verdicts
    assert said(111.0, 0, incarnation=2) == []  # another process has another count
    assert said(121.0, 0, incarnation=2) == ["holds"]


def test_each_camera_has_its_share_of_the_door(configured: Config) -> None:
    look = SiteLook(configured)
    limit = watch_look.DOOR_BASE + 2 * watch_look.DOOR_EACH_CAMERA
    residency = ((0, "bay-1", 10), (0, "bay-2", 10), (1, "bay-3", 10))
    for at, door in ((0.0, 0), (10.0, 10 * limit)):
        one = replace(subject(process(door_bytes=door), at=at), residency=residency)
        verdicts = [finding.verdict for finding in look._through_door(one, 0)]
    assert verdicts == ["holds"]


@pytest.mark.parametrize(
    ("lived_ms", "verdict"),
    [
        (1900, "holds"),
        (2000 + SLACK_MS, "holds"),
        (2001 + SLACK_MS, "broken"),
    ],
)
def test_a_window_that_grew(configured: Config, lived_ms: int, verdict: str) -> None:
    look = SiteLook(configured)
    one = replace(subject(process()), residency=((0, "bay-1", 5), (0, "bay-2", lived_ms), (1, "bay-3", 99_999)))
    assert [finding.verdict for finding in look._residency(one, 0)] == [verdict]
    assert look._residency(subject(process()), 0) == []  # no camera has reported yet


def test_held_by_swap_until_there_is_none() -> None:
    """No process is there whose memory could be locked: swap alone is enough to stay held."""
    disk = SwapFacts("/swapfile", "file", 1024, 0, in_memory=False)

    def says_broken(swap: SwapFacts | None, held: bool) -> bool:
        machine = MachineFacts(swaps=() if swap is None else (swap,))
        return any(one.row == 5 and one.verdict == "broken" for one in SiteLook._machine(machine, [], held))

    assert says_broken(disk, held=True)
    assert not says_broken(disk, held=False)  # nothing runs: nothing can be swapped
    assert not says_broken(None, held=True)
    assert not says_broken(replace(disk, in_memory=True), held=True)
