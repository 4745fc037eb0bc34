"""What IT is told of the guarantee: /api/audit, a proof on request, and how the watch reaches screens and figures."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from monitor.control import proof_desk
from monitor.evidence.finding import ROWS, broken, skipped
from monitor.evidence.keys import fingerprint, load_key, public_hex
from tests.control.fake_watch import BREAKS, wrong
from tests.control.harness import events, running


def _verdicts(audit: dict[str, Any]) -> dict[int, str]:
    return {row["row"]: row["verdict"] for row in audit["rows"]}


def test_every_row_has_a_verdict_in_both_languages(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            it = on.bearer("it")
            await on.services.watch.look_now()
            danish = (await on.client.get("/api/audit", headers=it)).json()
            english = (await on.client.get("/api/audit?lang=en", headers=it)).json()
            assert danish["ok"] is True
            assert [row["row"] for row in danish["rows"]] == list(ROWS)
            verdicts = _verdicts(danish)
            assert {row for row, verdict in verdicts.items() if verdict == "holds"} == {1, 3, 5}
            assert set(verdicts.values()) == {"holds", "not_checked"}
            unseen = next(row for row in english["rows"] if row["row"] == 17)
            assert "vigil audit" in unseen["why"] and unseen["possible"] is True
            assert all(
                ours["name"] != theirs["name"] for ours, theirs in zip(danish["rows"], english["rows"], strict=True)
            )
            assert danish["checked_ms"] > 0 and danish["held"] == "" and danish["bays"] == []
            key = public_hex(load_key(tmp_path))
            assert (danish["public_key"], danish["fingerprint"]) == (key, fingerprint(key))
            (head,) = on.query("SELECT seq, hash FROM evidence_head")
            assert (danish["chain"]["entries"], danish["chain"]["head"]) == head
            for period in danish["period"].values():
                parts = sum(period[name] for name in ("held_ms", "broken_ms", "off_ms", "unknown_ms"))
                assert parts == period["to_ms"] - period["from_ms"]
            assert [process["pid"] for process in danish["processes"]] == [4242]
            odd = await on.client.get("/api/audit?lang=fr", headers=it)
            assert odd.status_code == 422

    asyncio.run(run())


def test_a_break_is_on_the_page_in_the_event_in_the_figures_and_in_the_journal(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on, events(on, on.bearer("display")) as screen:
            it = on.bearer("it")
            await on.services.watch.look_now()
            text = (await on.client.get("/metrics")).text
            assert "vigil_guarantee_ok 1.0" in text
            assert 'vigil_guarantee_row_ok{row="3"} 1.0' in text
            assert 'vigil_guarantee_row_ok{row="6"}' not in text  # nobody looked at it
            assert 'vigil_media_written_bytes{process="0"} 0.0' in text
            on.look.of_process[0] = [wrong(6)]
            await on.services.watch.look_now()
            while not (told := await screen.until("guarantee")).data["broken"]:
                pass
            assert (told.data["ok"], told.data["broken"], told.data["bays"]) == (False, [6], [])
            audit = (await on.client.get("/api/audit?lang=en", headers=it)).json()
            assert audit["ok"] is False
            row = next(row for row in audit["rows"] if row["row"] == 6)
            assert (row["verdict"], "9000 ms" in row["why"]) == ("broken", True)
            full = (await on.client.get("/api/guarantee", headers=it)).json()
            assert (full["ok"], full["audit"]["ok"], full["audit"]["broken"]) == (False, False, [6])
            assert on.media.ended_processes[0][0] == 0
            text = (await on.client.get("/metrics")).text
            assert "vigil_guarantee_ok 0.0" in text and 'vigil_guarantee_row_ok{row="6"} 0.0' in text
            (checked,) = re.findall(r"^vigil_guarantee_checked_timestamp_seconds (\S+)$", text, re.MULTILINE)
            assert float(checked) * 1000 == pytest.approx(audit["checked_ms"])
            (one,) = audit["period"]["day"]["breaks"]
            assert (one["row"], one["to_ms"], "9000 ms" in one["why"]) == (6, None, True)
            on.look.of_process.clear()
            await on.services.watch.look_now()
            while (told := await screen.until("guarantee")).data["broken"]:
                pass
            assert told.data["ok"] is True
            audit = (await on.client.get("/api/audit", headers=it)).json()
            assert _verdicts(audit)[6] == "not_checked" and audit["ok"] is True
            assert audit["period"]["day"]["breaks"][0]["to_ms"] is not None
            kinds = [kind for (kind,) in on.query("SELECT kind FROM evidence ORDER BY seq")]
            assert kinds[0] == "start" and [kind for kind in kinds if kind in ("break", "mended")] == [
                "break",
                "mended",
            ]

    asyncio.run(run())
    assert _kinds(tmp_path)[-1] == "stop"


def _kinds(state_dir: Path) -> list[str]:
    import contextlib
    import sqlite3

    with contextlib.closing(sqlite3.connect(state_dir / "journal.sqlite3")) as db:
        return [kind for (kind,) in db.execute("SELECT kind FROM evidence ORDER BY seq")]


def test_while_the_machine_is_held_nothing_is_ready(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            assert (await on.client.get("/readyz")).status_code == 200
            on.look.machine = [wrong(5)]
            await on.services.watch.look_now()
            waiting = await on.client.get("/readyz")
            assert waiting.status_code == 503 and "no media process may run" in waiting.json()["detail"]
            it = on.bearer("it")
            audit = (await on.client.get("/api/audit", headers=it)).json()
            assert audit["held"] and audit["ok"] is False and _verdicts(audit)[5] == "broken"
            assert (await on.client.get("/api/notice")).json()["ok"] is False
            assert (await on.client.post("/api/audit/proof", headers=it)).status_code == 503
            on.look.machine = []
            await on.services.watch.look_now()
            assert (await on.client.get("/readyz")).status_code == 200
            assert (await on.client.get("/api/notice")).json()["ok"] is True

    asyncio.run(run())


def test_a_camera_that_records_is_named_by_its_bay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with running(tmp_path) as on, events(on, on.bearer("nurse")) as screen:
            storage = on.services.storage
            monkeypatch.setattr(storage, "findings", lambda: [broken(12, BREAKS), skipped(13, BREAKS)])
            monkeypatch.setattr(storage, "recording_bays", lambda: ["bay-2"])
            await on.services.watch.look_now()
            while not (told := await screen.until("guarantee")).data["broken"]:
                pass  # the bays are told at once, the row with the round that looks at it
            assert (told.data["ok"], told.data["broken"], told.data["bays"]) == (False, [12], ["bay-2"])
            assert on.media.ended_processes == [] and on.media.held == ""

    asyncio.run(run())


def test_a_proof_on_request_is_a_new_one_and_not_to_be_had_in_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof_desk, "PAUSE_SECONDS", 0.3)

    async def run() -> None:
        async with running(tmp_path) as on:
            it = on.bearer("it")
            answer = await on.client.post("/api/audit/proof", headers=it)
            (process,) = answer.json()["processes"]
            assert (process["pid"], process["proved_ms"]) == (4242, 1)
            assert [proof["thread"] for proof in process["proofs"]] == ["first", "second"]
            soon = await on.client.post("/api/audit/proof", headers=it)
            assert (soon.status_code, soon.headers["retry-after"]) == (429, "1")
            assert on.media.proofs_asked == 1
            await asyncio.sleep(0.35)
            again = await on.client.post("/api/audit/proof", headers=it)
            assert again.json()["processes"][0]["proved_ms"] == 2

    asyncio.run(run())


def test_a_proof_that_does_not_come_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_desk, "PROOF_SECONDS", 0.2)

    async def run() -> None:
        async with running(tmp_path) as on:
            asked = []
            on.media.prove = lambda: asked.append(1)  # type: ignore[method-assign]
            answer = await on.client.post("/api/audit/proof", headers=on.bearer("admin"))
            assert answer.status_code == 503 and "does not prove its seal" in answer.json()["detail"]
            assert asked == [1]

    asyncio.run(run())
