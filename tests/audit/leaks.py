"""The leaks that the audit must find: one for each row that has a lock, or as near to it as a machine lets us plant."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.audit.builds import TOKEN_OF_PAYLOAD, Patch, at_each_sei, before_the_seal, lock_off
from tests.fakes.site import VigilSite

WARN = {"enforce": "warn", "window_seconds": 0.5}
"""Under `strict` the product itself would end most of these processes before anybody could audit them."""
TOKEN = b"a token that the test knows too!!"[:32]
SHORT = Patch("monitor/audit/canary_run.py", "WATCH_SECONDS = 8.0", "WATCH_SECONDS = 4.0")
KNOWN = Patch(
    "monitor/audit/canary_run.py",
    "canary_picture.draw, canary_picture.make_token()",
    f"canary_picture.draw, {TOKEN!r}",
)
Plant = Callable[[VigilSite, Path], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def nothing(site: VigilSite, copy: Path) -> Iterator[None]:
    yield


@dataclass(frozen=True)
class Leak:
    """`rows` must be broken, and no other where it is `exact`."""

    name: str
    rows: frozenset[int]
    patches: Sequence[Patch] = ()
    media: Mapping[str, object] = field(default_factory=lambda: WARN)
    bays: Sequence[Mapping[str, object]] = ({"id": "bay-1", "name": "Leje 1", "camera": "pattern:"},)
    canary: bool = False
    plant: Plant = nothing
    alone: bool = False
    """It changes the machine: no other may be looked at meanwhile."""
    exact: bool = True
    """Not where the list of calls is left off, which stands against something in many rows."""
    names: str = ""
    """What the row's reason must hold."""


# ---- plants ----------------------------------------------------------------------------------------------------------

OPENED = Path("/var/tmp/vigil-test-opened")
MAPPED = Path("/var/tmp/vigil-test-mapped")
LEAKED = Path("/var/tmp/vigil-test-leaked")
KEPT = Path("/dev/shm/vigil-test-kept")


@contextlib.contextmanager
def swap(site: VigilSite, copy: Path) -> Iterator[None]:
    area = site.folder / "swap"
    area.touch(0o600)
    with area.open("r+b") as file:
        for _ in range(16):
            file.write(bytes(1 << 20))
    subprocess.run(["mkswap", str(area)], check=True, capture_output=True)
    on = subprocess.run(["swapon", str(area)], check=False, capture_output=True, text=True)
    if on.returncode:
        pytest.skip(f"this machine lets no swap be switched on: {on.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["swapoff", str(area)], check=True, capture_output=True)


@contextlib.contextmanager
def crash_reporter(site: VigilSite, copy: Path) -> Iterator[None]:
    pattern = Path("/proc/sys/kernel/core_pattern")
    before = pattern.read_text()
    pattern.write_text("|/bin/false %p")
    try:
        yield
    finally:
        pattern.write_text(before)


@contextlib.contextmanager
def by_hand(site: VigilSite, copy: Path) -> Iterator[None]:
    """The canary's token is written into the state directory while the run is on."""
    over = threading.Event()

    def write() -> None:
        while not over.wait(0.5):
            (site.state_dir / "notes.txt").write_bytes(b"see " + TOKEN.hex().encode())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


@contextlib.contextmanager
def changed_program(site: VigilSite, copy: Path) -> Iterator[None]:
    with (copy / "monitor" / "core" / "access.py").open("a") as file:
        file.write("# as if an update had been laid over it\n")
    yield


# ---- leaks -----------------------------------------------------------------------------------------------------------

LEAKS = [
    Leak("Landlock left off, and said to be on", frozenset({1}), [lock_off("landlock")]),
    Leak(
        "three locks off, and each picture written to the disk",
        frozenset({1, 2}),
        [
            lock_off("landlock"),
            Patch("monitor/media/seal.py", "    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n", ""),
            Patch("monitor/media/seal.py", "    seccomp.enter()\n", "    pass\n"),
            at_each_sei(f"open({str(LEAKED)!r}, 'ab').write(payload)"),
        ],
        canary=True,
        exact=False,
        names=str(LEAKED),
    ),
    Leak(
        "a file opened before the seal",
        frozenset({2}),
        [before_the_seal(f"os.open({str(OPENED)!r}, os.O_WRONLY | os.O_CREAT, 0o600)")],
        names=str(OPENED),
    ),
    Leak("no limit on what a file may grow to", frozenset({2}), [lock_off("fsize")]),
    Leak(
        "a thread started before the seal",
        frozenset({3}),
        [before_the_seal("threading.Thread(target=time.sleep, args=(600,), daemon=True).start()")],
    ),
    Leak(
        "a file mapped before the seal",
        frozenset({4}),
        [
            before_the_seal(
                f"import ctypes; _f = os.open({str(MAPPED)!r}, os.O_RDWR | os.O_CREAT, 0o600); "
                "os.ftruncate(_f, 4096); ctypes.CDLL(None).mmap(None, 4096, 3, 1, _f, 0); os.close(_f)"
            )
        ],
        names=str(MAPPED),
    ),
    Leak("swap switched on while it runs", frozenset({5}), plant=swap, alone=True),
    Leak("a limit on core dumps above 0", frozenset({6}), [lock_off("core")]),
    Leak(
        "a crash reporter, and a process that may be dumped",
        frozenset({6, 7}),
        [lock_off("undumpable")],
        plant=crash_reporter,
        alone=True,
    ),
    Leak("a process that its own user may look into", frozenset({7}), [lock_off("undumpable")]),
    Leak(
        "the picture in the log",
        frozenset({8, 9}),  # on its way into the log it comes through the control process
        [at_each_sei(f"logger.warning('%s', {TOKEN_OF_PAYLOAD}.hex())")],
        canary=True,
    ),
    Leak("the picture in the state directory, by hand", frozenset({9}), [KNOWN], canary=True, plant=by_hand),
    Leak(
        "a child process",
        frozenset({10}),
        [before_the_seal("import ctypes; os.fork() or (ctypes.CDLL(None).prctl(1, 9), time.sleep(600), os._exit(0))")],
    ),
    Leak(
        "a page that records",
        frozenset({11}),
        [
            Patch(
                "web/wall.js", "await loadWords();\n", "await loadWords();\nexport const keep = () => MediaRecorder;\n"
            )
        ],
        names="MediaRecorder",
    ),
    Leak(
        "a page that may be cached",
        frozenset({11}),
        [
            Patch(
                "monitor/control/headers.py", '    "Cache-Control": "no-store",\n', '    "Cache-Control": "no-cache",\n'
            )
        ],
        names="no-store",
    ),
    Leak(
        "a window that lets nothing go",
        frozenset({15}),
        [Patch("monitor/media/window.py", "limit = now_ms - self.max_age_ms", "limit = now_ms - 600_000")],
        canary=True,
    ),
    Leak(
        "a camera that is removed, and its last pictures kept",
        frozenset({16}),
        [at_each_sei("globals().setdefault('KEPT', []).append(bytes(payload)); del KEPT[:-5]")],
        canary=True,
    ),
    Leak(
        "a source that asks for sound too",
        frozenset({17}),
        [
            Patch(
                "monitor/media/sources/rtsp.py",
                '        self._read_transport(header(answer, "transport"))\n\n',
                '        self._read_transport(header(answer, "transport"))\n'
                '        if "canary" in self._url:\n'
                '            sound = {"Transport": "RTP/AVP/TCP;unicast;interleaved=2-3"}\n'
                '            await self._request("SETUP", track.setup_url.replace("track1", "track2"), sound)\n\n',
            )
        ],
        canary=True,
    ),
    Leak(
        "an environment that makes FFmpeg write a report",
        frozenset({19}),
        [
            Patch(
                "monitor/control/media_process.py",
                "                env=environment(),\n",
                '                env={**environment(), "FFREPORT": "file=/dev/null"},\n',
            )
        ],
        names="FFREPORT",
    ),
    Leak("a program that was changed after its start", frozenset({20}), plant=changed_program, names="access.py"),
]
