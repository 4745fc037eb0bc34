"""200 presses while the server is killed by SIGKILL at 20 random moments: every 2xx is in the journal, none twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
import uuid
from pathlib import Path

import httpx2

from monitor.control.accounts import Accounts
from monitor.control.journal import Journal
from tests.control.harness import free_port

PRESSES = 200
KILLS = 20
WORKERS = 4


class Victim:
    """The server, over all its lives."""

    def __init__(self, forker: asyncio.subprocess.Process) -> None:
        self._forker = forker
        self._pid = 0
        self.kills = 0

    async def live(self) -> None:
        """Begin a life."""
        assert self._forker.stdin
        assert self._forker.stdout
        self._forker.stdin.write(b"go\n")
        self._pid = int(await asyncio.wait_for(self._forker.stdout.readline(), 60))

    async def die(self) -> None:
        """SIGKILL, and a new life."""
        os.kill(self._pid, signal.SIGKILL)
        self.kills += 1
        await self.live()


async def until_answered(client: httpx2.AsyncClient, path: str, body: dict[str, object] | None, token: str) -> int:
    """Send the same request until something is answered, as the button's page does."""
    while True:
        with contextlib.suppress(httpx2.TransportError):
            answer = await client.post(path, json=body, headers={"Authorization": f"Bearer {token}"})
            if answer.status_code != 503:
                return answer.status_code
        await asyncio.sleep(0.03)


def faults(journal: Path, accepted: list[str]) -> list[str]:
    """What is wrong with the journal after `accepted` presses were answered 2xx."""
    with contextlib.closing(sqlite3.connect(journal)) as db:
        kept = [row[0] for row in db.execute("SELECT id FROM presses")]
        (grown,) = db.execute("SELECT sum(presses) FROM calls").fetchone()
        (events,) = db.execute("SELECT count(*) FROM call_events WHERE event = 'press'").fetchone()
        (check,) = db.execute("PRAGMA integrity_check").fetchone()
    wrong = [f"lost: {one}" for one in accepted if one not in kept]
    wrong += [f"not asked for: {one}" for one in kept if one not in accepted]
    if not len(kept) == len(set(kept)) == grown == events:
        wrong.append(f"counted twice: {len(kept)} presses, {grown} in calls, {events} events")
    return wrong + ([] if check == "ok" else [check])


def test_no_accepted_press_is_lost_or_doubled_when_the_server_is_killed(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    path = tmp_path / "journal.sqlite3"
    journal = Journal.open(path)
    button = Accounts(journal).create_token("button", "Tablet", "bay-1-tablet")[1]
    nurse = Accounts(journal).create_token("nurse", "Anna")[1]
    journal.close()
    killed_at = set(rng.sample(range(PRESSES), KILLS))
    accepted: list[str] = []

    async def run() -> int:
        port = free_port()
        forker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.control.forking_server",
            str(tmp_path),
            str(port),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        victim, killing, numbers = Victim(forker), asyncio.Lock(), iter(range(PRESSES))
        deaths: list[asyncio.Task[None]] = []

        async def die_soon(seconds: float) -> None:
            async with killing:
                await asyncio.sleep(seconds)
                await victim.die()

        async def work(client: httpx2.AsyncClient) -> None:
            for number in numbers:
                id_ = str(uuid.UUID(int=rng.getrandbits(128), version=4))
                if number in killed_at:
                    deaths.append(asyncio.create_task(die_soon(rng.uniform(0, 0.02))))
                body: dict[str, object] = {"id": id_, "button": "bay-1-tablet"}
                status = await until_answered(client, "/api/bays/bay-1/calls", body, button)
                assert status in (200, 201)
                accepted.append(id_)
                if number % 7 == 0:
                    # Meanwhile calls are closed, so that presses make new ones.
                    async with asyncio.timeout(30):
                        await close_open_call(client)

        async def close_open_call(client: httpx2.AsyncClient) -> None:
            with contextlib.suppress(httpx2.TransportError):
                answer = await client.get("/api/calls", headers={"Authorization": f"Bearer {nurse}"})
                for call in answer.json() if answer.status_code == 200 else []:
                    await until_answered(client, f"/api/calls/{call['id']}/close", {"presence": True}, nurse)

        try:
            await victim.live()
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
                await asyncio.gather(*(work(client) for _ in range(WORKERS)))
                await asyncio.gather(*deaths)
        finally:
            assert forker.stdin
            forker.stdin.close()
            await asyncio.wait_for(forker.wait(), 20)
        return victim.kills

    assert asyncio.run(run()) == KILLS
    assert len(accepted) == PRESSES
    assert faults(path, accepted) == []
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM calls").fetchone()[0] > 5, "calls were closed and made anew"
        # Negative control: what the check looks for, it finds.
        db.execute("DELETE FROM presses WHERE id = ?", (accepted[17],))
        db.commit()
    assert [fault.partition(":")[0] for fault in faults(path, accepted)] == ["lost", "counted twice"]
