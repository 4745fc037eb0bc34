"""Reading a process from outside: the parsers on recorded texts, the readers on a recorded tree and on living
processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.control.media_process import environment
from monitor.core.errors import NotFound, Unavailable
from monitor.evidence import proc, proc_text
from monitor.evidence.proc import find_site, read_process
from monitor.evidence.proc_text import DescriptorFacts, LockFacts
from tests.evidence.recorded import COMMAND, CONTROL, ENVIRONMENT, PID, add_descriptor, text, tree
from tests.sealed.launch import harness

# ---- texts -----------------------------------------------------------------------------------------------------------


def test_a_thread_is_read_from_its_status() -> None:
    sealed = proc_text.thread(7, text("status-sealed"))
    assert (sealed.tid, sealed.name, sealed.no_new_privs, sealed.seccomp, sealed.seccomp_filters) == (
        *(7, "python", True, 2, 1),
    )
    assert sealed.effective == sealed.permitted == 0
    other = proc_text.thread(8, text("status-open"))
    assert (other.name, other.no_new_privs, other.seccomp, other.seccomp_filters) == ("(odd) name", False, 0, None)
    assert other.effective == 0x1FFFEFFFFFF


def test_a_status_without_the_seal_s_fields_is_refused() -> None:
    lines = [line for line in text("status-sealed").splitlines() if not line.startswith("Seccomp:")]
    with pytest.raises(ValueError, match="Seccomp"):
        proc_text.thread(7, "\n".join(lines))


def test_limits_are_read() -> None:
    assert proc_text.limits(text("limits-sealed")) == proc_text.LimitFacts(core=(0, 0), fsize=(0, 0))
    assert proc_text.limits(text("limits-open")) == proc_text.LimitFacts(core=(0, None), fsize=(None, None))
    with pytest.raises(ValueError, match="Max core file size"):
        proc_text.limits("")


def test_a_name_with_parentheses_does_not_shift_the_fields_of_stat() -> None:
    found = proc_text.stat(text("stat"))
    assert (found.name, found.parent, found.started_ticks) == ("a) b (c)", CONTROL, 912345)


def test_writable_shared_mappings_of_files_are_found_and_no_others() -> None:
    assert proc_text.shared_mappings(text("maps")) == (
        "/dev/shm/frames with a blank",
        "/memfd:frames (deleted)",
        "/SYSV00000000 (deleted)",
    )


def test_replaced_program_files_are_found_and_no_data() -> None:
    assert proc_text.replaced_files(text("maps")) == ("/usr/lib/x86_64-linux-gnu/libssl.so.3",)


def test_sockets_are_told_apart() -> None:
    assert proc_text.socket_inodes(text("tcp")) == {"414049", "414060"}
    assert proc_text.socket_inodes(text("unix"), local=True) == {"12113", "429046"}
    kinds = {name: proc_text.socket_kind(name) for name in ("TCP", "TCPv6", "UDP", "RAW", "UNIX-STREAM", "NETLINK", "")}
    assert [kinds["TCP"], kinds["TCPv6"], kinds["UDP"], kinds["RAW"]] == ["socket-inet"] * 4
    assert [kinds["UNIX-STREAM"], kinds["NETLINK"], kinds[""]] == ["socket-local", "socket-other", "socket-other"]


def test_locks_that_are_held_are_read_and_those_waited_for_are_not() -> None:
    assert proc_text.flocks(text("locks")) == [
        LockFacts(30817, (0xFE, 0), 2163829),
        LockFacts(30633, (0, 0x2B), 2155237),
    ]


def test_what_glibc_does_to_its_tunables_is_undone_and_nothing_else() -> None:
    plain = b"A=1\0GLIBC_TUNABLES=glibc.malloc.perturb=165:glibc.malloc.tcache_count=0\0B=2\0"
    cut = plain.replace(b":", b"\0")
    assert proc_text.environment(plain) == proc_text.environment(cut)
    assert proc_text.environment(cut)["B"] == "2"
    assert "glibc.malloc.check" in proc_text.environment(b"A=1\0glibc.malloc.check=3\0")  # one that stands alone shows
    assert proc_text.environment(b"") == {}


def test_the_rest_is_read() -> None:
    assert proc_text.written_octets(text("io")) == 659456
    assert proc_text.access(text("fdinfo")) == "both"
    assert proc_text.access("flags:\t0100000\n") == "read"
    assert proc_text.access("flags:\t0100001\n") == "write"
    assert proc_text.access("flags:\t012000000\n") == "path"
    assert proc_text.strings(b"a\0\0b\0") == ("a", "", "b")
    assert proc_text.unified_cgroup("9:memory:/x\n0::/user.slice\n") == "/user.slice"
    assert proc_text.unified_cgroup("9:memory:/x\n") is None
    assert proc_text.children("1 22 ") == (1, 22)
    fields = proc_text.status_fields(text("status-open"))
    assert (proc_text.kilobytes(fields, "VmSwap"), proc_text.kilobytes(fields, "VmNone")) == (1204, None)


# ---- a recorded tree -------------------------------------------------------------------------------------------------


def test_a_recorded_process_is_read_whole(tmp_path: Path) -> None:
    facts = read_process(PID, tree(tmp_path))
    assert facts.cmdline == COMMAND
    assert facts.environ == ENVIRONMENT
    assert facts.parent == CONTROL
    assert [each.tid for each in facts.threads] == [PID]
    assert facts.descriptors is not None
    kinds = ["null", "pipe", "pipe", "socket-local", "eventpoll", "socket-inet"]
    assert [each.kind for each in facts.descriptors] == kinds
    assert (facts.vm_swap_kb, facts.vm_locked_kb, facts.vm_resident_kb) == (0, 0, 96112)
    assert (facts.written_octets, facts.shared_mappings, facts.replaced, facts.children) == (0, (), (), ())
    assert not facts.unreadable


def test_a_socket_that_no_table_names_is_not_taken_for_a_harmless_one(tmp_path: Path) -> None:
    add_descriptor(tree(tmp_path) / str(PID), 9, "socket:[5]")
    facts = read_process(PID, tmp_path)
    assert facts.descriptors is not None
    assert facts.descriptors[-1].kind == "socket-other"


def test_kinds_of_files_are_told_apart(tmp_path: Path) -> None:
    here = tree(tmp_path) / str(PID)
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "fifo")
    targets = (str(tmp_path / "file"), str(tmp_path), str(tmp_path / "fifo"), "/dev/full", "/dev/tty", "anon_inode:[x]")
    for number, target in enumerate(targets, 10):
        add_descriptor(here, number, target)
    facts = read_process(PID, tmp_path)
    assert facts.descriptors is not None
    found = [each.kind for each in facts.descriptors if each.number >= 10]
    assert found == ["regular", "directory", "other", "device", "device", "other"]


def test_a_process_that_is_gone_or_a_zombie_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_process(PID, tmp_path)
    here = tree(tmp_path) / str(PID)
    (here / "status").write_text(text("status-sealed").replace("S (sleeping)", "Z (zombie)"))
    with pytest.raises(NotFound):
        read_process(PID, tmp_path)


def test_a_first_thread_that_ended_does_not_hide_the_others(tmp_path: Path) -> None:
    here = tree(tmp_path) / str(PID)
    (here / "status").write_text(text("status-sealed").replace("S (sleeping)", "Z (zombie)"))
    (here / f"task/{PID + 1}").mkdir()
    (here / f"task/{PID + 1}/status").write_text(text("status-open"))
    (here / f"task/{PID + 1}/children").write_text("99 ")
    facts = read_process(PID, tmp_path)
    assert [each.seccomp for each in facts.threads] == [2, 0]
    assert facts.children == (99,)


def test_a_kernel_that_lists_no_children_is_asked_by_parents(tmp_path: Path) -> None:
    here = tree(tmp_path) / str(PID)
    (here / f"task/{PID}/children").unlink()
    (tmp_path / "4711").mkdir()
    (tmp_path / "4711/stat").write_text(text("stat").replace(f") S {CONTROL} ", f") S {PID} "))
    assert read_process(PID, tmp_path).children == (4711,)


def test_a_group_that_forbids_swap_is_seen_also_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = tmp_path / "cgroup"
    (groups / "vigil.slice/vigil.service").mkdir(parents=True)
    monkeypatch.setattr(proc, "CGROUPS", (groups,))
    here = tree(tmp_path / "proc") / str(PID)
    (here / "cgroup").write_text("0::/vigil.slice/vigil.service\n")
    (groups / "vigil.slice/vigil.service/memory.swap.max").write_text("max\n")
    assert not read_process(PID, tmp_path / "proc").cgroup_no_swap
    (groups / "vigil.slice/memory.swap.max").write_text("0\n")
    assert read_process(PID, tmp_path / "proc").cgroup_no_swap


# ---- living processes ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def sleeping(*arguments: str, **more: object) -> Iterator[subprocess.Popen[bytes]]:
    """A Python that says a line when it has done what it was told, and waits for its standard input to close."""
    process = subprocess.Popen(  # type: ignore[call-overload]
        [sys.executable, "-I", "-c", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        **more,
    )
    try:
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


SAY_AND_WAIT = "\nprint('there', flush=True)\nimport sys; sys.stdin.read()"


def test_a_living_process_is_read(tmp_path: Path) -> None:
    script = (
        "import os, socket, mmap, threading, select, subprocess\n"
        f"kept = open({str(tmp_path / 'out')!r}, 'wb+'); kept.truncate(4096)\n"
        "shared = mmap.mmap(kept.fileno(), 4096)\n"
        "inet, local = socket.socket(), socket.socket(socket.AF_UNIX)\n"
        "poll = select.epoll()\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "child = subprocess.Popen(['/bin/sleep', '60'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)\n"
    )
    before = time.time()
    with sleeping(script + SAY_AND_WAIT, env={"ONE": "two"}) as process:
        facts = read_process(process.pid)
        for child in facts.children:
            os.kill(child, signal.SIGKILL)
    assert facts.uid == os.geteuid()
    assert facts.environ is not None
    assert facts.environ["ONE"] == "two"
    assert "two" not in repr(facts)  # an environment holds secrets
    assert abs(facts.started - before) < 2
    assert len(facts.threads) == 2
    assert len(facts.children) == 1
    assert facts.shared_mappings == (str(tmp_path / "out"),)
    assert facts.descriptors is not None
    kinds = [each.kind for each in facts.descriptors]
    for kind in ("pipe", "regular", "socket-inet", "socket-local", "eventpoll"):
        assert kind in kinds
    written = next(each for each in facts.descriptors if each.kind == "regular")
    assert (written.target, written.access) == (str(tmp_path / "out"), "both")


def test_a_socket_that_is_bound_to_nothing_is_told_too() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as unbound:
        facts = read_process(os.getpid())
        assert facts.descriptors is not None
        mine = next(each for each in facts.descriptors if each.number == unbound.fileno())
    assert mine.kind == "socket-inet"


def test_a_file_that_is_open_for_a_moment_is_not_reported_and_one_that_stays_is(tmp_path: Path) -> None:
    stays, comes = tmp_path / "stays", tmp_path / "comes"
    stays.write_text("")
    comes.write_text("")
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            with comes.open():
                time.sleep(0.002)
            time.sleep(0.011)

    thread = threading.Thread(target=come_and_go)
    with stays.open():
        thread.start()
        try:
            seen = [_files_open() for _ in range(6)]
        finally:
            over.set()
            thread.join()
    assert all(str(stays) in each for each in seen)
    assert sum(str(comes) in each for each in seen) <= 1


def _files_open() -> set[str]:
    facts = read_process(os.getpid())
    assert facts.descriptors is not None
    return {each.target for each in facts.descriptors}


def test_two_looks_keep_what_both_saw() -> None:
    one, two = DescriptorFacts(3, "regular", "/a", "read"), DescriptorFacts(4, "regular", "/b", "read")
    again = DescriptorFacts(4, "regular", "/c", "read")
    assert proc_text.in_both([one, two], [one, again]) == (one,)


@pytest.mark.sealed
def test_a_sealed_process_looks_sealed_from_outside(tmp_path: Path) -> None:
    with harness("hang", tmp_path) as running:
        facts = read_process(running.process.pid)
    assert all((each.no_new_privs, each.seccomp, each.permitted) == (True, 2, 0) for each in facts.threads)
    assert facts.limits == proc_text.LimitFacts((0, 0), (0, 0))
    if os.geteuid() == 0:
        assert facts.environ == environment()
        assert not facts.unreadable


@pytest.mark.sealed
@pytest.mark.skipif(os.geteuid() != 0, reason="root becomes another user")
def test_what_another_user_may_not_read_is_none_and_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with harness("hang", tmp_path, as_nobody=True) as running:
        script = (
            "import os, sys; os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
            "from monitor.evidence.proc import read_process\n"
            f"facts = read_process({running.process.pid})\n"
            "print(sorted(facts.unreadable), facts.environ, facts.descriptors, facts.shared_mappings, facts.replaced,\n"
            "      facts.written_octets, facts.dumpable, facts.threads[0].seccomp, facts.limits.fsize)\n"
        )
        # Imported as root, run as nobody: that user may not be able to read where the program lies.
        script = "import monitor.evidence.proc\n" + script
        said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    hidden = ["descriptors", "environ", "maps", "written_octets"]
    assert said.strip() == f"{hidden} None None None None None False 2 (0, 0)"


def test_reading_is_cheap() -> None:
    began = time.process_time()
    for _ in range(10):
        read_process(os.getppid())
    assert time.process_time() - began < 0.5


# ---- a site ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def a_site(folder: Path, module: str) -> Iterator[tuple[int, int, int, int]]:
    """A process that holds the lock, with a child that serves, one that stands by, and one of another kind. Gives its
    pid and theirs."""
    child = (
        "import socket, sys\n"
        "kept = socket.socket() if sys.argv[-1] == 'serves' else None\n"
        "print('there', flush=True)\n"
        "sys.stdin.read()\n"
    )
    (folder / f"{module}.py").write_text(child)
    script = (
        "import fcntl, os, subprocess, sys\n"
        f"lock = os.open({str(folder / 'serve.lock')!r}, os.O_RDWR | os.O_CREAT, 0o600)\n"
        "fcntl.flock(lock, fcntl.LOCK_EX)\n"
        f"python = [{sys.executable!r}, '-m', {module!r}]\n"
        "pids = []\n"
        "for command in ([*python, 'serves'], [*python, 'stands'], ['/bin/sh', '-c', 'echo there; read x']):\n"
        f"    one = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd={str(folder)!r})\n"
        "    one.stdout.readline()\n"
        "    pids.append(one)\n"
        "print(*(one.pid for one in pids), flush=True)\n"
        "sys.stdin.read()\n"
        "for one in pids: one.kill(); one.wait()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        serving, standing, other = (int(each) for each in process.stdout.readline().split())
        yield process.pid, serving, standing, other
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def test_a_site_is_found_by_its_lock(tmp_path: Path) -> None:
    with a_site(tmp_path, "stand_in") as (control, serving, standing, other):
        found = find_site(tmp_path, module="stand_in")
    assert (found.control_pid, found.media_pids, found.spare_pids, found.other_pids) == (
        *(control, (serving,), (standing,), (other,)),
    )


def test_where_no_server_runs_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no server is running"):
        find_site(tmp_path)
    (tmp_path / "serve.lock").write_text("")
    with pytest.raises(Unavailable, match="no server is running"):
        find_site(tmp_path)
    with (tmp_path / "serve.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert find_site(tmp_path).control_pid == os.getpid()


def test_a_lock_on_an_overlay_is_known_by_its_inode(tmp_path: Path) -> None:
    state, recorded = tmp_path / "state", tmp_path / "proc"
    state.mkdir()
    (state / "serve.lock").write_text("")
    inode = (state / "serve.lock").stat().st_ino
    tree(recorded, pid=30633)
    (recorded / "locks").write_text(f"1: FLOCK  ADVISORY  WRITE 30633 ff:ffff:{inode} 0 EOF\n")
    (recorded / "30633/cmdline").write_bytes(b"python\0-m\0something\0")
    with pytest.raises(Unavailable):  # of another program, on another file system
        find_site(state, proc=recorded)
    (recorded / "30633/cmdline").write_bytes(b"python\0-m\0monitor\0serve\0")
    assert find_site(state, proc=recorded).control_pid == 30633
