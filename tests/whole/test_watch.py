"""The watch of a whole site: a real break while somebody watches, in a process and of the machine, and what follows.

The site is the product with two changes: its watch looks every other second instead of twice a minute, so that the test
is short, and its media process has a leak that a nurse's opening of a curtain sets off.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from monitor.control import watch
from monitor.control.evidence_log import read_file
from monitor.control.journal import FILE_NAME
from monitor.evidence.chain import verify_chain
from monitor.evidence.keys import load_key, public_hex
from tests.audit.builds import Patch, build
from tests.fakes.site import VigilSite

pytestmark = [pytest.mark.whole, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SOON = Patch("monitor/control/watch.py", "\nEVERY_SECONDS = 30.0\n", "\nEVERY_SECONDS = 2.0\n")
LEAK = Patch(
    "monitor/media/process.py",
    "            self._relay.handle(message)\n",
    "            self._relay.handle(message)\n"
    '            if message.kind == "set_curtain" and not message.closed:\n'
    '                self._kept = open(__file__, "rb")\n',
)
"""A file that is open to be read: only who looks from outside finds fault with it, no proof of its own does."""
SECONDS = 15.0
"""What the product has a minute for: the round comes fifteen times as often here."""
SWAP_MB = 16


class Screen(threading.Thread):
    """A wall, as far as it is told of the guarantee."""

    def __init__(self, site: VigilSite) -> None:
        super().__init__(daemon=True)
        self.told: list[dict[str, Any]] = []
        self._site = site
        self._token = site.token("display")
        self.start()

    def run(self) -> None:
        headers = {"authorization": f"Bearer {self._token}"}
        with (
            contextlib.suppress(httpx2.HTTPError),  # the site ends
            httpx2.stream("GET", f"{self._site.url}/api/events", headers=headers, timeout=10) as answer,
        ):
            kind = ""
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data" and kind == "guarantee":
                    self.told.append(json.loads(value))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VigilSite]:
    folder = tmp_path_factory.mktemp("watched")
    copy = build(folder, SOON, LEAK)
    bays = [{"id": f"bay-{number}", "name": f"Leje {number}", "camera": "pattern:"} for number in (1, 2)]
    running = VigilSite(folder, bays, media={"processes": 2}, cwd=copy, env={"PYTHONPATH": str(copy)})
    try:
        running.start()
        for bay in ("bay-1", "bay-2"):
            running.wait_for(bay, "live", 30)
        yield running
    finally:
        running.stop()
    kinds = [entry.kind for entry in read_file(running.state_dir / FILE_NAME).entries]
    assert (kinds[0], kinds[-1]) == ("start", "stop")


def until(what: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Wait until it is true, and give it."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.05)
    return found


def guarantee(http: httpx2.Client) -> Any:
    return http.get("/api/guarantee").json()


def entries(site: VigilSite, row: int) -> list[str]:
    evidence = read_file(site.state_dir / FILE_NAME)
    key = public_hex(load_key(site.state_dir))
    assert verify_chain(evidence.entries, key, evidence.head) == []
    told = [one for one in evidence.entries if one.kind in ("break", "mended")]
    return [one.kind for one in told if json.loads(one.body)["row"] == row]


def test_a_break_in_a_process_is_told_and_ends_it(site: VigilSite) -> None:
    screen = Screen(site)
    with site.http("it") as http, site.http("nurse") as nurse:
        until(lambda: guarantee(http)["audit"])
        until(lambda: guarantee(http)["ok"])
        before = {one["process"]: one["pid"] for one in guarantee(http)["processes"]}
        nurse.post("/api/bays/bay-1/curtain", json={"closed": True})
        began = time.monotonic()
        nurse.post("/api/bays/bay-1/curtain", json={"closed": False})
        broken = until(lambda: next((told for told in screen.told if told["broken"]), None))
        print(f"told after {time.monotonic() - began:.1f} s (a round every 2 s; in the product every 30 s)")
        assert (broken["ok"], broken["broken"]) == (False, [18])
        row = next(row for row in http.get("/api/audit?lang=en").json()["rows"] if row["row"] == 18)
        assert row["verdict"] == "broken" and "process.py" in row["why"]
        assert 'vigil_guarantee_row_ok{row="18"} 0.0' in http.get("/metrics").text
        site.wait_for("bay-1", "live", 30)
        until(lambda: guarantee(http)["ok"], 30)
        after = {one["process"]: one["pid"] for one in guarantee(http)["processes"]}
        changed = [number for number in before if before[number] != after[number]]
        assert len(changed) == 1  # the other bay's pictures went on
        assert not Path(f"/proc/{before[changed[0]]}").exists()
        until(lambda: screen.told[-1]["ok"] and screen.told[-1]["broken"] == [])
        until(lambda: entries(site, 18) == ["break", "mended"])
        assert "vigil_guarantee_ok 1.0" in http.get("/metrics").text
    assert site.log.read_text().count("the guarantee is broken, row 18") == 1


def test_a_limit_that_is_lifted_from_outside(site: VigilSite) -> None:
    """The same, planted in the running process itself, where this machine allows it."""
    with site.http("it") as http:
        until(lambda: guarantee(http)["ok"], 30)
        pid = guarantee(http)["processes"][0]["pid"]
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        try:
            resource.prlimit(pid, resource.RLIMIT_CORE, unlimited)
        except PermissionError:
            pytest.skip("this machine keeps CAP_SYS_RESOURCE from its root: nobody here can lift a limit")
        until(lambda: guarantee(http)["processes"][0]["pid"] not in (pid, None))
        until(lambda: guarantee(http)["ok"], 30)
        assert entries(site, 6) == ["break", "mended"]


@contextlib.contextmanager
def swap(folder: Path) -> Iterator[None]:
    """A real swap area, for as long as the block lasts."""
    area = folder / "swap"
    area.write_bytes(bytes(SWAP_MB << 20))
    area.chmod(0o600)
    subprocess.run(["mkswap", str(area)], check=True, capture_output=True)
    libc = ctypes.CDLL(None, use_errno=True)
    path = str(area).encode()
    if libc.swapon(path, 0):
        pytest.skip(f"this machine takes no swap: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        libc.swapoff(path)  # nothing where the block did it
        area.unlink()


@pytest.mark.alone
def test_swap_takes_all_pictures_away_until_it_is_off(site: VigilSite, tmp_path: Path) -> None:
    screen = Screen(site)
    with site.http("it") as http:
        until(lambda: guarantee(http)["ok"], 30)
        http.post("/api/audit/proof", timeout=20)  # the next proof of their own comes in a minute: the watch is first
        with swap(tmp_path):
            began = time.monotonic()
            for bay in ("bay-1", "bay-2"):
                site.wait_for(bay, "failed", SECONDS, "guarantee-broken")
            print(f"no picture after {time.monotonic() - began:.1f} s (a round every 2 s; in the product every 30 s)")
            assert until(lambda: next((told for told in screen.told if told["broken"] == [5]), None))["ok"] is False
            ready = http.get("/readyz")
            assert ready.status_code == 503 and "no media process may run" in ready.json()["detail"]
            audit = http.get("/api/audit?lang=da").json()
            assert "swap" in audit["held"] and audit["ok"] is False
            time.sleep(3)  # another round: no process is there, and it stays held
            assert {one["pid"] for one in guarantee(http)["processes"]} == {None}
            assert guarantee(http)["audit"]["broken"] == [5]
        for bay in ("bay-1", "bay-2"):
            site.wait_for(bay, "live", 30)
        until(lambda: guarantee(http)["ok"], 30)
        assert http.get("/readyz").status_code == 200
        until(lambda: entries(site, 5) == ["break", "mended"])


def test_within_a_minute_in_the_product() -> None:
    """What the tests above measure, with the product's own constants."""
    assert watch.EVERY_SECONDS + watch.LOOK_SECONDS + watch.PAUSE_SECONDS < 60
