"""The canary run on a whole site with two real RTSP cameras: everything holds, real bays go on; and each planted leak
turns exactly its own row broken.

What cannot be planted in a sealed process (a write of its own) is planted in a process that stands for one; what is
left, in the result.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from monitor.audit import canary_picture, canary_run
from monitor.audit.canary_judge import ROWS, CanaryResult, SwapSearch, Viewing, Written, judge, not_run, row_of
from monitor.audit.canary_logs import LogTargets
from monitor.audit.memory import MemorySearch
from monitor.audit.site_client import SiteClient
from monitor.audit.witness import FanotifyWitness, Hit
from monitor.core.errors import Unavailable
from monitor.evidence import words
from monitor.evidence.finding import Finding, said
from monitor.evidence.proc import find_site
from tests.fakes.camera import RtspCamera
from tests.fakes.site import VigilSite, running_site

WINDOW = 2.0
ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="fanotify and the memory of others need root")
pytestmark = pytest.mark.whole


BAYS_DURING: list[dict[str, dict[str, object]]] = []
"""How the real bays were at each step of the undisturbed run."""


@dataclass
class Site:
    """A site, and what the canary run needs of it."""

    site: VigilSite
    cameras: list[RtspCamera]

    def run(self, on_step: Callable[[str], None] = lambda step: None, **options: object) -> CanaryResult:
        """Make a run."""
        facts = options.pop("facts", None) or find_site(self.site.state_dir)
        client = SiteClient(self.site.url, token=self.site.token("it"))
        work = canary_run.run(
            facts,
            client,
            self.site.state_dir,
            window_seconds=WINDOW,
            say=on_step,
            **options,  # type: ignore[arg-type]
        )
        return asyncio.run(work)

    def bays(self) -> dict[str, dict[str, object]]:
        """How the bays' cameras are."""
        with self.site.http("it") as http:
            return {bay["id"]: bay["camera"] for bay in http.get("/api/bays").json()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with (
        RtspCamera(auth="digest", width=320, height=180, fps=10, keyint=10, audio=True) as first,
        RtspCamera(auth="digest", width=320, height=180, fps=10, keyint=10) as second,
    ):
        bays = [
            {"id": f"bay-{number}", "name": f"Leje {number}", "camera": camera.url()}
            for number, camera in enumerate((first, second), start=1)
        ]
        folder = tmp_path_factory.mktemp("site")
        with running_site(folder, bays, media={"processes": 2, "enforce": "strict"}) as running:
            for bay in bays:
                running.wait_for(str(bay["id"]), "live", 15)
            yield Site(running, [first, second])


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The next run's token, for a test that plants it: printable, so that it may stand in a request; and its own, for
    the memory of a process may keep what an earlier test put there."""
    made = ("Q" + secrets.token_hex(15) + "Z").encode()
    monkeypatch.setattr(canary_picture, "make_token", lambda: made)
    return made


@pytest.fixture(scope="module")
def good(site: Site) -> CanaryResult:
    """One undisturbed run."""
    return site.run(lambda step: BAYS_DURING.append(site.bays()))


def verdicts(findings: list[Finding]) -> dict[int, str]:
    return {finding.row: finding.verdict for finding in findings}


def expected(*broken: int) -> dict[int, str]:
    return {row: "broken" if row in broken else "holds" for row in ROWS} | dict.fromkeys(broken, "broken")


def why(findings: list[Finding], row: int) -> str:
    """Said in both languages, so that no word and no value is missing."""
    (finding,) = (one for one in findings if one.row == row)
    return " | ".join(words.say_all(language, (*finding.why, *finding.seen)) for language in words.LANGUAGES)


# ---- the run ---------------------------------------------------------------------------------------------------------


@needs_root
def test_everything_holds_and_real_bays_go_on(site: Site, good: CanaryResult) -> None:
    findings = judge(good)
    assert verdicts(findings) == expected()
    assert good.witness == "fanotify"
    assert good.took_ms < 25_000
    assert all(viewing.tokens >= 60 for viewing in good.viewings), good.viewings
    assert len(good.processes) == len(good.viewings) == 2
    assert good.setups == ("video", "video")
    for process in good.processes:
        assert len(process.during) == 3
        assert all(search.tokens > 10 for search in process.during)
        assert process.after is not None
        assert process.after.octets > 50_000_000
    oldest = good.summary()["oldest_ms"]
    assert isinstance(oldest, int)
    assert 1000 < oldest < WINDOW * 1000 + 500, "the window holds nearly its length, and not more"
    assert good.log_files == 1
    assert good.files > 1
    print(good.summary(), *(why(findings, row) for row in ROWS), sep="\n")


@needs_root
def test_real_bays_are_not_disturbed_while_it_runs(site: Site, good: CanaryResult) -> None:
    assert good.complete
    assert len(BAYS_DURING) == 4
    for bay in ("bay-1", "bay-2"):
        states = [each[bay] for each in BAYS_DURING]
        assert {state["state"] for state in states} == {"live"}
        assert len({state["reconnects"] for state in states}) == 1
        assert len({state["incarnation"] for state in states}) == 1
        assert all(float(str(state["fps"])) > 9 for state in states[2:]), states
        assert sum(int(str(state["lost"])) for state in states) == 0
    assert site.cameras[0].setups() == ["video"], "no second connection"


@needs_root
def test_nothing_is_left_behind(site: Site, good: CanaryResult) -> None:
    with site.site.http("it") as http:
        assert http.delete("/api/audit/canary").status_code == 200
        log = http.get("/metrics").text
    assert "canary" not in log
    begun, ended = site.site.log.read_text().count("begins a canary run"), site.site.log.read_text().count("is over")
    assert begun == ended > 0


def test_a_run_beside_another_is_refused_and_ends_cleanly(site: Site) -> None:
    with site.site.http("it") as http:
        assert http.post("/api/audit/canary", json={"port": 9}).status_code == 201
        try:
            with pytest.raises(Unavailable, match="409"):
                site.run(watch_seconds=0.1)
        finally:
            http.delete("/api/audit/canary")
    assert threading.active_count() < 10


def test_who_is_not_root_is_told_what_was_not_looked_at(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same run without fanotify and without the memory of others: no row holds for want of looking."""

    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(FanotifyWitness, "start", refused)
    monkeypatch.setattr(canary_run, "search_memory", refused)
    monkeypatch.setattr("monitor.audit.witness_listing.MAX_LIST_SECONDS", 3.0)
    result = site.run(watch_seconds=2.0)
    findings = judge(result)
    assert result.witness == "listing"
    got = verdicts(findings)
    assert {row for row in ROWS if got[row] == "not_checked"} >= {1, 4, 9, 15, 16}
    assert got[17] == "holds"
    assert "broken" not in got.values()


# ---- planted leaks, for real -----------------------------------------------------------------------------------------


def during(action: Callable[[], None]) -> Callable[[str], None]:
    return lambda step: action() if step == "watch" else None


@needs_root
def test_a_token_in_the_servers_log(site: Site, token: bytes) -> None:
    def write() -> None:
        with site.site.log.open("ab") as log:
            log.write(b"picture: " + token.hex().encode() + b"\n")

    before = site.site.log.read_bytes()
    try:
        findings = judge(site.run(during(write), watch_seconds=3.0))
    finally:
        site.site.log.write_bytes(before)
    assert verdicts(findings) == expected(8)
    assert str(site.site.log) in why(findings, 8)


@needs_root
def test_a_token_in_shared_memory_from_nobody_knows_where(site: Site, token: bytes) -> None:
    """By a process that is no child of the auditor's."""
    leak = Path("/dev/shm") / f"vigil-test-{os.getpid()}"
    script = f"import time; open({str(leak)!r}, 'wb').write(bytes.fromhex({token.hex()!r})); time.sleep(0.2)"
    command = ["setsid", "--fork", sys.executable, "-c", script]
    try:
        findings = judge(site.run(during(lambda: subprocess.run(command, check=True) and None), watch_seconds=3.0))
    finally:
        leak.unlink(missing_ok=True)
    assert verdicts(findings) == expected(4)
    assert str(leak) in why(findings, 4)


@needs_root
def test_a_token_in_the_control_processs_memory(site: Site, token: bytes) -> None:
    """Sent to it in a request that does not end, so it must keep what came."""
    with socket.create_connection(("127.0.0.1", site.site.port)) as sock:
        findings = judge(
            site.run(
                during(lambda: sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Picture: " + token)),
                watch_seconds=3.0,
            )
        )
    assert verdicts(findings) == expected(9)
    assert str(site.site.pid) in why(findings, 9)


@needs_root
def test_a_process_that_holds_pictures_too_long_and_does_not_let_go_of_them(site: Site) -> None:
    """A media process that is stopped zeroes nothing: neither what is older than the window, nor what was removed."""
    pid = find_site(site.site.state_dir).media_pids[0]
    timer = threading.Timer(2.0, os.kill, (pid, signal.SIGSTOP))
    try:
        findings = judge(site.run(during(timer.start)))
    finally:
        timer.cancel()
        os.kill(pid, signal.SIGCONT)
    assert verdicts(findings) == expected(15, 16)
    assert str(pid) in why(findings, 15)
    assert str(pid) in why(findings, 16)
    for bay in ("bay-1", "bay-2"):
        site.site.wait_for(bay, "live", 15)


LEAKER = """
import os, sys
disk, shared, token = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for path, content in ((disk, b"no picture at all"), (shared, token)):
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
os.execv("/bin/sleep", ["sleep", "60"])  # its memory is another from here on
"""


@needs_root
def test_a_media_process_that_writes(site: Site, tmp_path: Path, token: bytes) -> None:
    """Played by a process that is counted among them: a file of any content, and one in shared memory. Whatever else
    the run could not show for it, this is broken."""
    on_disk, shared = tmp_path / "leak", Path("/dev/shm") / f"vigil-leak-{os.getpid()}"
    command = [sys.executable, "-c", LEAKER, str(on_disk), str(shared), token.hex()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as leaker:
        try:
            assert leaker.stdout
            assert leaker.stdin
            assert leaker.stdout.readline() == b"ready\n"
            facts = find_site(site.site.state_dir)
            facts = replace(facts, media_pids=(*facts.media_pids, leaker.pid))

            def write() -> None:
                assert leaker.stdin
                leaker.stdin.write(b"\n")
                leaker.stdin.flush()

            result = site.run(during(write), watch_seconds=3.0, facts=facts)
        finally:
            leaker.kill()
            shared.unlink(missing_ok=True)
    findings = judge(result)
    assert verdicts(findings) == dict.fromkeys(ROWS, "not_checked") | {1: "broken", 4: "broken"}
    assert str(on_disk) in why(findings, 1)
    assert str(shared) in why(findings, 4)
    assert {Written(str(on_disk), False, (leaker.pid,)), Written(str(shared), True, (leaker.pid,))} == set(
        result.by_media
    )
    assert result.processes[-1].written_after, "the kernel counted it too"


# ---- planted in the result -------------------------------------------------------------------------------------------


def hit(path: str, *writers: str, in_memory: bool = False, pattern: str = "raw") -> Hit:
    return Hit(path, pattern, frozenset(writers), in_memory)  # type: ignore[arg-type]


SEARCH = MemorySearch(1, 1000, 0, (), 0, None, None, 1)
SYNTHETIC = CanaryResult(
    witness="fanotify",
    places=3,
    awake=True,
    complete=True,
    files=9,
    octets=1000,
    unseen=0,
    by_media=(),
    hits=(),
    viewings=(Viewing("p0.canary", 100, 80, True, True, ""),),
    setups=("video",),
    processes=(canary_run.Watched(7, (replace(SEARCH, tokens=19, oldest_ms=1900), SEARCH), SEARCH, 0, 0, False),),
    others=(SEARCH,),
    others_refused=False,
    logs=LogTargets(("/srv/vigil.log",), (), ("file",)),
    log_files=1,
    log_octets=100,
    swaps=(),
    state_dir="/var/lib/vigil",
    window_ms=2000,
    watched_ms=8000,
    took_ms=12_000,
)
PROCESS = SYNTHETIC.processes[0]
OLD = replace(SEARCH, tokens=3, oldest_ms=3501)


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"hits": (hit("/tmp/a", "media"),)}, 1),
        ({"hits": (hit("/tmp/a", "media", "ours"),)}, 1),
        ({"hits": (hit("/var/log/a", "media"),)}, 1),
        ({"by_media": (Written("/tmp/a", False, (7,)),)}, 1),
        ({"processes": (replace(PROCESS, written_after=4096),)}, 1),
        ({"hits": (hit("/run/a", "media", in_memory=True),)}, 4),
        ({"by_media": (Written("/dev/shm/a", True, (7,)),)}, 4),
        ({"hits": (hit("/dev/shm/a", "unknown", in_memory=True),)}, 4),
        ({"swaps": (SwapSearch("/dev/sda2", 1 << 30, 1 << 30, ("raw",)),)}, 5),
        ({"hits": (hit("/var/log/journal/a.journal", "log"),)}, 8),
        ({"hits": (hit("/srv/vigil.log", "ours", pattern="hex"),)}, 8),
        ({"hits": (hit("/var/lib/docker/x-json.log", "log"),)}, 8),
        ({"hits": (hit("/var/lib/vigil/x", "unknown"),)}, 9),
        ({"hits": (hit("/dev/shm/x", "ours", in_memory=True),)}, 9),
        ({"hits": (hit("/tmp/x", "ours", pattern="header JPEG"),)}, 9),
        ({"hits": (hit("/srv/x", "unknown"),)}, 9),
        ({"others": (replace(SEARCH, found=("base64+1",)),)}, 9),
        ({"processes": (replace(PROCESS, during=(*PROCESS.during, OLD)),)}, 15),
        ({"processes": (replace(PROCESS, after=replace(SEARCH, tokens=1)),)}, 16),
        ({"setups": ("video", "sound")}, 17),
        ({"viewings": (replace(SYNTHETIC.viewings[0], sound_refused=False),)}, 17),
    ],
)
def test_each_planted_finding_breaks_its_row_and_no_other(changes: dict[str, object], row: int) -> None:
    assert verdicts(judge(SYNTHETIC)) == expected()
    findings = judge(replace(SYNTHETIC, **changes))  # type: ignore[arg-type]
    assert verdicts(findings) == expected(row)
    assert why(findings, row)


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({"viewings": ()}, ROWS),
        ({"viewings": (replace(SYNTHETIC.viewings[0], tokens=9),)}, ROWS),
        ({"viewings": (replace(SYNTHETIC.viewings[0], sps_as_sent=False),)}, ROWS),
        ({"processes": ()}, ROWS),
        ({"processes": (replace(PROCESS, ended=True),)}, ROWS),
        ({"awake": False}, (1, 4, 9)),
        ({"complete": False}, (1, 4, 8, 9)),
        ({"witness": "listing"}, (1, 4)),
        ({"processes": (replace(PROCESS, written_after=None),)}, (1,)),
        ({"logs": LogTargets((), (), ("unreadable",))}, (8,)),
        ({"logs": LogTargets((), (), ("pipe",))}, (8,)),
        ({"logs": LogTargets((), (5,), ("pipe",)), "witness": "listing"}, (1, 4, 8)),
        ({"others": (), "others_refused": True}, (9,)),
        ({"processes": (replace(PROCESS, during=(), after=None),)}, (15, 16)),
        ({"processes": (replace(PROCESS, during=(SEARCH,)),)}, (15, 16)),
    ],
)
def test_what_was_not_seen_is_never_taken_for_clean(changes: dict[str, object], rows: tuple[int, ...]) -> None:
    findings = judge(replace(SYNTHETIC, **changes))  # type: ignore[arg-type]
    assert verdicts(findings) == {row: "not_checked" if row in rows else "holds" for row in ROWS}
    assert all(finding.possible for finding in findings if finding.verdict == "not_checked")
    assert all(why(findings, row) for row in ROWS)


def test_a_break_is_a_break_also_where_nothing_else_is_proved() -> None:
    blind = replace(SYNTHETIC, viewings=(), hits=(hit("/tmp/a", "media"),))
    assert verdicts(judge(blind)) == {row: "broken" if row == 1 else "not_checked" for row in ROWS}


def test_a_swap_area_that_is_clean_is_said() -> None:
    swap = SwapSearch("/dev/sda2", 1 << 30, 1 << 20, ())
    findings = judge(replace(SYNTHETIC, swaps=(swap,)))
    assert verdicts(findings) == expected() | {5: "holds"}
    assert "/dev/sda2" in why(findings, 5)


def test_a_run_that_was_not_made() -> None:
    assert verdicts(not_run(said("canary.no-process"))) == dict.fromkeys(ROWS, "not_checked")


def test_a_log_below_the_state_directory_is_a_log() -> None:
    logs = LogTargets(("/var/lib/vigil/log",), (), ("file",))
    assert row_of(hit("/var/lib/vigil/log", "ours"), logs, "/var/lib/vigil") == 8
