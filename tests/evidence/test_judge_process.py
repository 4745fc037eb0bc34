"""What facts about processes mean: each fault turns its own row broken and no other. The table is printed (-s)."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monitor.control.media_process import environment
from monitor.evidence.finding import Finding
from monitor.evidence.judge_process import CHECKS, Expected, judge_processes, judge_spares
from monitor.evidence.proc import ProcessFacts, read_process
from monitor.evidence.proc_text import DescriptorFacts, LimitFacts
from monitor.evidence.same_user import can_look_into
from monitor.evidence.words import LANGUAGES, shown
from tests.evidence.recorded import COMMAND, ENVIRONMENT, PID, expected, sealed
from tests.evidence.recorded import with_descriptor as and_open
from tests.evidence.recorded import with_thread as and_thread
from tests.evidence.recorded import with_threads as and_threads
from tests.sealed.launch import harness

PIPE = "|/usr/share/apport/apport"


def verdicts(findings: list[Finding]) -> dict[int, str]:
    return {each.row: each.verdict for each in findings}


def broken(findings: list[Finding]) -> list[int]:
    return [each.row for each in findings if each.verdict == "broken"]


def test_a_sealed_process_holds_in_every_row_and_every_finding_can_be_said() -> None:
    findings = judge_processes([sealed(), sealed(pid=PID + 9)], expected())
    assert verdicts(findings) == dict.fromkeys(CHECKS, "holds")
    for finding in findings:
        for language in LANGUAGES:
            assert shown(language, finding)["seen"]


FAULTS: list[tuple[str, ProcessFacts, Expected, list[int]]] = [
    ("no filter on any thread", and_threads(seccomp=0), expected(), [1]),
    ("strict mode instead of a filter", and_threads(seccomp=1), expected(), [1]),
    ("capabilities left over", and_threads(effective=1 << 21, permitted=1 << 21), expected(), [1]),
    ("a capability in reserve", and_thread(permitted=1 << 21), expected(), [1]),
    ("octets written to storage", sealed(written_octets=2 << 20), expected(), [1]),
    ("file size unlimited", sealed(limits=LimitFacts((0, 0), (None, None))), expected(), [2]),
    ("file size to be raised", sealed(limits=LimitFacts((0, 0), (0, 1024))), expected(), [2]),
    ("a file open for writing", and_open("regular", "/var/lib/x", "write"), expected(), [2]),
    ("a file open for both", and_open("regular", "/var/lib/x", "both"), expected(), [2]),
    ("a named file open for writing", and_open("regular", "/a.mp4", "both"), expected(files=["/a.mp4"]), [2]),
    ("a device", and_open("device", "/dev/video0"), expected(), [2]),
    ("an unknown descriptor", and_open("other", "anon_inode:[io_uring]"), expected(), [2]),
    ("an unknown socket", and_open("socket-other", "socket:[7]"), expected(), [2]),
    ("one thread without filter", and_thread(seccomp=0, seccomp_filters=0), expected(), [3]),
    ("one thread may get privileges", and_thread(no_new_privs=False), expected(), [3]),
    ("all threads may get privileges", and_threads(no_new_privs=False), expected(), [3]),
    ("a shared file", sealed(shared_mappings=("/dev/shm/x",)), expected(), [4]),
    ("some of it in swap", sealed(vm_swap_kb=4), expected(), [5]),
    ("core limit", sealed(limits=LimitFacts((0, None), (0, 0))), expected(), [6]),
    ("dumpable", sealed(dumpable=True), expected(), [7]),
    ("looked into", sealed(dumpable=None), expected(looked_into={PID: True}), [7]),
    ("dumpable, dumps are piped", sealed(dumpable=True), expected(core_pattern=PIPE), [6, 7]),
    ("a child", sealed(children=(4711,)), expected(), [10]),
    ("a file open for reading", and_open("regular", "/etc/passwd", "read"), expected(), [18]),
    ("a directory open", and_open("directory", "/var/lib", "read"), expected(), [18]),
    ("one variable more", sealed(environ={**ENVIRONMENT, "FFREPORT": "file=x"}), expected(), [19]),
    ("one variable less", sealed(environ={"PATH": "/usr/bin:/bin"}), expected(), [19]),
    ("a variable otherwise", sealed(environ={**ENVIRONMENT, "PATH": "/tmp"}), expected(), [19]),
    ("another module", sealed(cmdline=(*COMMAND[:4], "tests.leaky", "16")), expected(), [19]),
    ("an option more", sealed(cmdline=(COMMAND[0], "-X", "dev", *COMMAND[1:])), expected(), [19]),
    ("an argument more", sealed(cmdline=(*COMMAND, "--record")), expected(), [19]),
    ("no command line", sealed(cmdline=()), expected(), [19]),
]


@pytest.mark.parametrize(("name", "facts", "wanted", "rows"), FAULTS, ids=[each[0] for each in FAULTS])
def test_one_fault_breaks_its_row_only(name: str, facts: ProcessFacts, wanted: Expected, rows: list[int]) -> None:
    findings = judge_processes([sealed(pid=PID + 9), facts], wanted)
    print(f"{name:32} → {broken(findings)}")
    assert broken(findings) == rows
    assert set(verdicts(findings).values()) <= {"holds", "broken"}
    for finding in findings:
        for language in LANGUAGES:
            words = shown(language, finding)
            assert (str(PID) in str(words["why"])) == (finding.verdict == "broken")


def test_every_row_has_a_fault() -> None:
    assert {row for *_, rows in FAULTS for row in rows} == set(CHECKS)


def test_what_is_permitted_breaks_nothing() -> None:
    for facts, wanted in (
        (and_open("regular", "/srv/demo.mp4", "read"), expected(files=["/srv/demo.mp4"])),
        (and_open("device", "/dev/video0"), expected(devices=["/dev/video0"])),
        (and_threads(effective=1 << 14, permitted=1 << 14), expected()),  # to lock memory, and nothing else
        (sealed(), expected(core_pattern=PIPE)),  # undumpable: the pipe gets nothing
        (sealed(dumpable=None), expected(looked_into={PID: False})),
        (sealed(vm_swap_kb=None), expected()),  # a kernel without swap
        (sealed(written_octets=500_000), expected()),  # access times of the files that it read when it started
        (sealed(written_octets=2 << 20, age_seconds=30 * 86_400.0), expected()),  # … and each day since
    ):
        assert set(verdicts(judge_processes([facts], wanted)).values()) == {"holds"}


def test_how_much_the_kernel_counted_is_said_as_it_is() -> None:
    def words(**changed: Any) -> str:
        return str(shown("en", judge_processes([sealed(**changed)], expected())[0])["seen"])

    assert "counted 0 bytes" in words()
    assert "4096 bytes" in words(written_octets=4096)
    assert "counted 0 bytes" not in words(written_octets=4096)


@pytest.mark.parametrize(
    ("hidden", "rows"),
    [
        ({"descriptors": None}, {2, 18}),
        ({"environ": None}, {19}),
        ({"shared_mappings": None}, {4}),
        ({"written_octets": None}, {1}),
        ({"dumpable": None}, {7}),
    ],
)
def test_what_could_not_be_read_never_holds(hidden: dict[str, Any], rows: set[int]) -> None:
    findings = judge_processes([sealed(**hidden), sealed()], expected())
    assert {each.row for each in findings if each.verdict == "not_checked"} == rows
    assert all(each.possible for each in findings if each.verdict == "not_checked")


def test_a_fault_counts_also_where_something_else_could_not_be_read() -> None:
    facts = sealed(descriptors=None, limits=LimitFacts((0, 0), (None, None)))
    assert verdicts(judge_processes([facts], expected()))[2] == "broken"


def test_no_process_is_no_pass() -> None:
    findings = judge_processes([], expected())
    assert verdicts(findings) == dict.fromkeys(CHECKS, "not_checked")
    assert judge_spares([], expected()) == []


# ---- the one that stands by ------------------------------------------------------------------------------------------

STANDING = sealed(
    threads=and_threads(seccomp=0, no_new_privs=False).threads,
    limits=LimitFacts((0, None), (None, None)),
    descriptors=(
        DescriptorFacts(0, "null", "/dev/null", "both"),
        DescriptorFacts(1, "pipe", "pipe:[1]", "write"),
        DescriptorFacts(2, "pipe", "pipe:[1]", "write"),
        DescriptorFacts(3, "socket-local", "socket:[5]", "both"),
    ),
)


def standing(*more: DescriptorFacts, **changed: Any) -> ProcessFacts:
    assert STANDING.descriptors is not None
    return dataclasses.replace(STANDING, descriptors=(*STANDING.descriptors, *more), **changed)


def test_one_that_stands_by_unsealed_is_fine() -> None:
    assert verdicts(judge_spares([STANDING], expected())) == {2: "holds", 10: "holds", 19: "holds"}


@pytest.mark.parametrize(
    ("facts", "row"),
    [
        (standing(DescriptorFacts(4, "socket-inet", "socket:[6]", "both")), 2),
        (standing(DescriptorFacts(4, "socket-local", "socket:[6]", "both")), 2),
        (standing(DescriptorFacts(4, "regular", "/etc/passwd", "read")), 2),
        (standing(DescriptorFacts(4, "eventpoll", "anon_inode:[eventpoll]", "both")), 2),
        (standing(children=(4711,)), 10),
        (standing(environ={"A": "b"}), 19),
    ],
)
def test_one_that_stands_by_with_more_than_it_needs_is_not(facts: ProcessFacts, row: int) -> None:
    findings = judge_spares([facts], expected())
    assert broken(findings) == [row]
    for language in LANGUAGES:
        assert all(shown(language, finding)["name"] for finding in findings)


# ---- living processes ------------------------------------------------------------------------------------------------

LOCKS_OFF = [((), ()), (("undumpable",), (7,)), (("core",), (6,)), (("fsize",), (2,)), (("no-new-privs",), (3,))]
LOCKS_OFF += [(("capabilities",), (1,)), (("seccomp",), (1,))]


@pytest.mark.sealed
@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees all of a sealed process")
@pytest.mark.parametrize(("without", "rows"), LOCKS_OFF, ids=[",".join(each[0]) or "none" for each in LOCKS_OFF])
def test_a_lock_left_off_is_seen_from_outside(tmp_path: Path, without: tuple[str, ...], rows: tuple[int, ...]) -> None:
    with harness("hang", tmp_path, *without) as running:
        pid = running.process.pid
        facts = read_process(pid)
        wanted = Expected(environment(), "tests.sealed.harness", looked_into={pid: can_look_into(pid)})
    findings = {each.row: each.verdict for each in judge_processes([facts], wanted)}
    # The harness is told by its command line what to do, where a media process has the door's number.
    assert findings.pop(19) == "broken"
    # … and its outputs are one pipe, as they are for a media process.
    print(f"without {', '.join(without) or 'nothing'}: {[row for row in findings if findings[row] == 'broken']}")
    assert tuple(row for row, verdict in findings.items() if verdict == "broken") == rows
    assert set(findings.values()) <= {"holds", "broken"}


@pytest.mark.sealed
@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees all of a sealed process")
def test_what_was_there_before_the_seal_is_seen_from_outside(tmp_path: Path) -> None:
    script = (
        "import mmap, os, threading, time\n"
        "from monitor.media import seal\n"
        f"kept = os.open({str(tmp_path / 'kept')!r}, os.O_RDWR | os.O_CREAT)\n"
        "os.truncate(kept, 4096)\n"
        "shared = mmap.mmap(kept, 4096)\n"
        "read = os.open('/etc/hosts', os.O_RDONLY)\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "child = os.posix_spawn('/bin/sleep', ['sleep', '60'], {})\n"
        "seal.seal(seal.SealSpec(strict=False), frozenset({'one-thread', 'descriptors'}))\n"
        "print(child, flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-s", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**environment(), "FFREPORT": "file=x"},
    )
    try:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        facts = read_process(process.pid)
        os.kill(child, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    findings = judge_processes([facts], Expected(environment(), looked_into={facts.pid: False}))
    print(f"a file, a mapping, a file to read, a thread, a child, a variable → {broken(findings)}")
    assert broken(findings) == [2, 3, 4, 10, 18, 19]
    assert [each.seccomp for each in facts.threads] == [2, 0]
