"""A process that seals itself as a test orders, locks left off included, does one thing, and says what happened as
JSON.

It exists so that locks can be left off: the product's own process has no way to (GUARANTEE.md row 19).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

from monitor.core.errors import SealError
from monitor.media import landlock, seal, syscalls

NOBODY = 65534


def main(order: dict[str, Any]) -> None:
    without = frozenset(order["without"])
    prepared = PREPARE[order["do"]](order) if order["do"] in PREPARE else None
    pretend(order)
    try:
        report = seal.seal(
            seal.SealSpec(strict=order.get("strict", not without), readable=tuple(order.get("readable", ()))), without
        )
    except SealError as error:
        say({"refused": error.message, "hint": error.hint})
        return
    said = DO[order["do"]](order, report, prepared)
    say({"missing": report.missing, "locks": report.locks, "memory": report.memory, "abi": report.landlock_abi, **said})
    if order["do"] == "hang":
        time.sleep(60)


def say(what: dict[str, Any]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def pretend(order: dict[str, Any]) -> None:
    """Another machine than this one: one with swap, without Landlock, …"""
    if "swaps" in order:
        seal.SWAPS = Path(order["swaps"])
    if "cgroups" in order:
        seal.CGROUP_ROOTS = (Path(order["cgroups"]),)
    if order.get("no_mlock"):
        seal._lock_memory = lambda _: False
    if order.get("no_landlock"):
        original = syscalls.call

        def call(name: str, *arguments: Any) -> int:
            if name.startswith("landlock"):
                raise OSError(errno.EOPNOTSUPP, "Operation not supported")
            return original(name, *arguments)

        syscalls.call = call


def attempt(action: Any) -> str:
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "succeeded"


# ---- proof -----------------------------------------------------------------------------------------------------------


def prepare_proof(order: dict[str, Any]) -> Any:
    from monitor.media import quiet_log, seal_proof

    quiet_log.set_up()
    if order.get("open_file"):  # inherited, as it were
        os.open(order["open_file"], os.O_WRONLY | os.O_CREAT, 0o600)
    if order.get("thread"):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return seal_proof


def do_proof(_: dict[str, Any], report: seal.SealReport, seal_proof: Any) -> dict[str, Any]:
    proofs: list[Any] = [seal_proof.run_proof("n" * 16, "first", report.memory)]
    second = threading.Thread(target=lambda: proofs.append(seal_proof.run_proof("n" * 16, "second", report.memory)))
    second.start()
    second.join()
    return {"proofs": [proof.model_dump() for proof in proofs], "directories": seal_proof.directories()}


# ---- a descriptor, a thread from before the seal --------------------------------------------------------------------


def prepare_inherited(order: dict[str, Any]) -> int:
    return os.open(order["open_file"], os.O_WRONLY | os.O_CREAT, 0o600)


def do_inherited(_: dict[str, Any], __: seal.SealReport, descriptor: int) -> dict[str, Any]:
    return {"write": attempt(lambda: os.write(descriptor, b"picture"))}


def prepare_thread(order: dict[str, Any]) -> tuple[threading.Event, list[str], threading.Thread]:
    sealed, answers = threading.Event(), []

    def wait_and_write() -> None:
        sealed.wait(30)
        answers.append(attempt(lambda: os.close(os.open(order["made_file"], os.O_WRONLY | os.O_CREAT, 0o600))))

    thread = threading.Thread(target=wait_and_write)
    thread.daemon = True
    thread.start()
    return sealed, answers, thread


def do_thread(_: dict[str, Any], __: seal.SealReport, prepared: Any) -> dict[str, Any]:
    sealed, answers, thread = prepared
    sealed.set()
    thread.join()
    return {"write": answers[0]}


# ---- libraries under the seal ---------------------------------------------------------------------------------------


def prepare_libraries(_: dict[str, Any]) -> Any:
    from tests.sealed import libraries

    return libraries


def do_libraries(_: dict[str, Any], __: seal.SealReport, libraries: Any) -> dict[str, Any]:
    return {"worked": libraries.use_all()}


# ---- others that would look into it ----------------------------------------------------------------------------------


def prepare_hang(order: dict[str, Any]) -> Any:
    """Be as easy to look into as can be: only the seal stands against it."""
    if os.geteuid() == 0 and order.get("as_nobody"):
        landlock.readable()  # imports what it needs, which that user may not be able to read
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    syscalls.prctl(4, 1)  # PR_SET_DUMPABLE
    with contextlib.suppress(OSError):
        syscalls.prctl(0x59616D61, ctypes.c_ulong(-1).value)  # PR_SET_PTRACER, any: where Yama would be in the way
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    if order.get("dont_dump"):
        from monitor.media.window import private_memory

        return private_memory(1 << 20)
    return bytearray(1 << 20)


def do_hang(_: dict[str, Any], __: seal.SealReport, window: Any) -> dict[str, Any]:
    address = ctypes.addressof(ctypes.c_char.from_buffer(window))
    flags = ""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head = line.split()[0]
        if "-" in head and not head.endswith(":"):
            first, last = (int(part, 16) for part in head.split("-"))
            inside = first <= address + (1 << 19) < last
        elif inside and line.startswith("VmFlags:"):
            flags = line
    return {"flags": flags.split()[1:]}


# ---- freed memory ----------------------------------------------------------------------------------------------------


def freed(order: dict[str, Any]) -> None:
    """Hold a token in blocks of many sizes, let go of them, and stay. Its complement comes in, so that it is not
    there."""
    complement = bytes.fromhex(order["complement"])
    kept = []
    blocks: list[bytearray] = []
    objects: list[bytes] = []
    for size in (48, 200, 500, 1200, 5000, 60_000, 120_000):
        for _ in range(8):
            block = bytearray(size)
            for at in range(0, size - len(complement) + 1, len(complement)):
                block[at : at + len(complement)] = bytes(255 - byte for byte in complement)
            blocks.append(block)
            objects.append(bytes(block))
            kept.append(bytearray(64))  # so that the heap does not shrink
    before = len(blocks)
    if not order.get("keep"):
        del block, blocks, objects
    say({"blocks": before})
    time.sleep(60)
    del kept


PREPARE = {
    "proof": prepare_proof,
    "inherited": prepare_inherited,
    "thread": prepare_thread,
    "libraries": prepare_libraries,
    "hang": prepare_hang,
}
DO = {
    "seal": lambda *_: {},
    "proof": do_proof,
    "inherited": do_inherited,
    "thread": do_thread,
    "libraries": do_libraries,
    "hang": do_hang,
}

if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    if given["do"] == "freed":
        freed(given)
    else:
        main(given)
