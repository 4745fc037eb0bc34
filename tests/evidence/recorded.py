"""Recorded texts of /proc, a tree of them that stands for a sealed media process, and facts with one fault each."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from monitor.evidence import proc_text
from monitor.evidence.judge_process import Expected
from monitor.evidence.proc import ProcessFacts
from monitor.evidence.proc_text import DescriptorFacts, LimitFacts

DATA = Path(__file__).resolve().parents[1] / "data" / "proc"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "GLIBC_TUNABLES": "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0"}
COMMAND = ("/usr/bin/python3", "-P", "-s", "-m", "monitor.media.process", "16")
PID, CONTROL = 31864, 31797


def text(name: str) -> str:
    return (DATA / f"{name}.txt").read_text()


def tree(proc: Path, pid: int = PID, status: str = "status-sealed", limits: str = "limits-sealed") -> Path:
    """A /proc with one process in it. Its sockets are named in the tables of net/ only."""
    here = proc / str(pid)
    for folder in ("fd", "fdinfo", "net", f"task/{pid}"):
        (here / folder).mkdir(parents=True)
    (here / "status").write_text(text(status))
    (here / f"task/{pid}/status").write_text(text(status))
    (here / f"task/{pid}/children").write_text("")
    (here / "limits").write_text(text(limits))
    (here / "stat").write_text(text("stat"))
    (here / "io").write_text("write_bytes: 0\n")
    (here / "maps").write_text("7f3c10000000-7f3c10021000 rw-p 00000000 00:00 0 \n")
    (here / "cgroup").write_text("0::/\n")
    (here / "cmdline").write_bytes(b"".join(each.encode() + b"\0" for each in COMMAND))
    (here / "environ").write_bytes(b"".join(f"{name}={value}\0".encode() for name, value in ENVIRONMENT.items()))
    (here / "net/tcp").write_text(text("tcp"))
    (here / "net/unix").write_text(text("unix"))
    targets = ("/dev/null", "pipe:[1]", "pipe:[1]", "socket:[429046]", "anon_inode:[eventpoll]", "socket:[414060]")
    for number, target in enumerate(targets):
        add_descriptor(here, number, target)
    return proc


def add_descriptor(here: Path, number: int, target: str, flags: int = os.O_RDWR) -> None:
    (here / f"fd/{number}").symlink_to(target)
    (here / f"fdinfo/{number}").write_text(f"pos:\t0\nflags:\t0{flags:o}\n")


def sealed(**changed: Any) -> ProcessFacts:
    """A media process as it ought to be, but for what is `changed`."""
    facts = ProcessFacts(
        pid=PID,
        uid=990,
        gid=985,
        parent=CONTROL,
        cmdline=COMMAND,
        started=1_795_546_398.0,
        age_seconds=60.0,
        threads=(
            proc_text.thread(PID, text("status-sealed")),
            proc_text.thread(PID + 1, text("status-sealed")),
        ),
        limits=LimitFacts((0, 0), (0, 0)),
        children=(),
        vm_swap_kb=0,
        vm_locked_kb=0,
        vm_resident_kb=96112,
        cgroup_no_swap=False,
        dumpable=False,
        environ=dict(ENVIRONMENT),
        descriptors=(
            DescriptorFacts(0, "null", "/dev/null", "both"),
            DescriptorFacts(1, "pipe", "pipe:[1]", "write"),
            DescriptorFacts(2, "pipe", "pipe:[1]", "write"),
            DescriptorFacts(3, "eventpoll", "anon_inode:[eventpoll]", "both"),
            DescriptorFacts(4, "socket-inet", "socket:[414060]", "both"),
            DescriptorFacts(5, "socket-local", "socket:[429046]", "both"),
        ),
        shared_mappings=(),
        replaced=(),
        written_octets=0,
    )
    return dataclasses.replace(facts, **changed)


def with_descriptor(kind: Any, target: str, access: Any = "both") -> ProcessFacts:
    """A sealed media process with one descriptor more."""
    facts = sealed()
    assert facts.descriptors is not None
    return dataclasses.replace(facts, descriptors=(*facts.descriptors, DescriptorFacts(9, kind, target, access)))


def with_thread(**changed: Any) -> ProcessFacts:
    """A sealed media process whose second thread is otherwise."""
    facts = sealed()
    return dataclasses.replace(facts, threads=(facts.threads[0], dataclasses.replace(facts.threads[1], **changed)))


def with_threads(**changed: Any) -> ProcessFacts:
    """A sealed media process all of whose threads are otherwise."""
    facts = sealed()
    return dataclasses.replace(facts, threads=tuple(dataclasses.replace(each, **changed) for each in facts.threads))


def expected(**changed: Any) -> Expected:
    return dataclasses.replace(Expected(ENVIRONMENT), **changed)
