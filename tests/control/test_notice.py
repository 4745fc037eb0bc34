"""The notice that anybody may read: what it says, when, and that it gives nothing else away."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import pytest

from monitor.control.media_slot import Question, Slot
from monitor.core.config import Config, Notice, Retention
from monitor.core.messages import Attempt, Proof
from monitor.core.process_state import ProcessState
from tests.control.harness import PASSWORD, Running, config, running

FIELDS = {
    "clinic",
    "controller",
    "policy_url",
    "legal_bases",
    "legitimate_interest",
    "article_9",
    "cameras_on",
    "written_octets",
    "since_ms",
    "proof_age_ms",
    "ok",
    "retention",
    "version",
}
PAGES = ("/notice", "/notice.js", "/notice-view.js", "/notice.css", "/text/da.json", "/text/en.json")


def configured(tmp_path: Path) -> Config:
    notice = Notice(
        controller="The Clinic A/S",
        legal_bases=("6(1)(d)", "6(1)(f)"),
        legitimate_interest="a calm recovery",
        article_9="9(2)(h)",
        policy_url="https://clinic.example/privacy",
    )
    return config(tmp_path, retention=Retention(calls_days=33, access_log_days=44)).model_copy(
        update={"notice": notice}
    )


async def ask(on: Running) -> dict[str, object]:
    """The notice, without any sign-in."""
    answer = await on.client.get("/api/notice")
    assert answer.status_code == 200, answer.text
    seen: dict[str, object] = answer.json()
    return seen


def proof(thread: str = "first") -> Proof:
    attempt = Attempt(name="open", where="/tmp", refused=True, answer="EACCES")
    return Proof.model_validate(
        {
            "nonce": "n" * 20,
            "thread": thread,
            "holds": True,
            "tried": 48,
            "refused": 48,
            "attempts": [attempt],
            "took_ms": 20,
        }
    )


def test_it_says_what_the_configuration_says_and_nothing_more(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path, configured(tmp_path)) as on:
            seen = await ask(on)
            assert set(seen) == FIELDS
            assert seen["clinic"] == "Test"
            assert seen["controller"] == "The Clinic A/S"
            assert seen["legal_bases"] == ["6(1)(d)", "6(1)(f)"]
            assert seen["legitimate_interest"] == "a calm recovery"
            assert seen["article_9"] == "9(2)(h)"
            assert seen["policy_url"] == "https://clinic.example/privacy"
            assert seen["retention"] == {"calls_days": 33, "access_log_days": 44}
        async with running(tmp_path) as on:  # nothing is invented
            seen = await ask(on)
            assert [seen[key] for key in ("controller", "legal_bases", "legitimate_interest")] == ["", [], ""]
            assert [seen[key] for key in ("article_9", "policy_url")] == ["", ""]

    asyncio.run(run())


def test_the_figures_are_of_this_moment(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            now = on.services.clock.now_ms()
            on.media.guarantee_is(since_ms=now - 5000, proved_ms=now - 3000, proofs=(proof(), proof("second")))
            seen = await ask(on)
            assert (seen["cameras_on"], seen["written_octets"], seen["since_ms"]) == (2, 0, now - 5000)
            assert 3000 <= int(str(seen["proof_age_ms"])) < 6000
            # A camera with two streams is one; one that shows no picture is none; the canary's is nobody's.
            on.media.set("bay-1.sub", state="stale")
            assert (await ask(on))["cameras_on"] == 2
            on.media.set("bay-2", state="curtain")
            assert (await ask(on))["cameras_on"] == 1

    asyncio.run(run())


def test_octets_that_were_written_are_said(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            on.media.guarantee_is(written_octets=8192)
            assert (await ask(on))["written_octets"] == 8192

    asyncio.run(run())


def test_several_processes_are_one_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            now = on.services.clock.now_ms()
            on.media.guarantee_is(since_ms=now - 90_000, proved_ms=now - 40_000, written_octets=512)
            first = on.media.process
            on.media.guarantee_is(since_ms=now - 5000, proved_ms=now - 1000, written_octets=1024)
            second = on.media.process
            monkeypatch.setattr(on.media, "guarantee", lambda: [first, second])
            seen = await ask(on)
            assert seen["written_octets"] == 1536
            assert seen["since_ms"] == now - 5000, "what ran before the newest one is not claimed"
            assert int(str(seen["proof_age_ms"])) >= 40_000, "the oldest of the newest proofs"

    asyncio.run(run())


def test_it_is_not_well_while_the_guarantee_is_not(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            assert (await ask(on))["ok"] is True
            on.media.guarantee_is(state="starting", proofs=(), proved_ms=0)
            seen = await ask(on)
            assert seen["ok"] is False
            assert [seen[key] for key in ("written_octets", "since_ms", "proof_age_ms")] == [None, None, None]
            on.media.guarantee_is(state="proved", proofs=(proof(),))
            assert (await ask(on))["ok"] is True
            on.media.hold("swap is on")
            assert (await ask(on))["ok"] is False

    asyncio.run(run())


def strings(value: object) -> list[str]:
    """Every string in JSON, keys too."""
    if isinstance(value, dict):
        return [*map(str, value), *(text for each in value.values() for text in strings(each))]
    if isinstance(value, list):
        return [text for each in value for text in strings(each)]
    return [value] if isinstance(value, str) else []


def given_away(text: str, secrets: list[str]) -> list[str]:
    return [secret for secret in secrets if secret in text]


def secrets_of(on: Running, call: str) -> list[str]:
    """What nobody learns from the notice: bays, buttons, addresses, calls, reasons, the state directory."""
    config = on.services.config
    names = [word for bay in config.bays for word in (bay.id, bay.name, *(button.id for button in bay.buttons))]
    return [*names, "192.0.2.", "rtsp:", PASSWORD, call, str(on.state_dir), "swap is on", "4242", "nurse-of-the-day"]


def test_it_gives_nothing_away(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path, configured(tmp_path)) as on:
            call = str(uuid.uuid4())
            body = {"id": call, "button": "bay-1-tablet"}
            await on.client.post("/api/bays/bay-1/calls", json=body, headers=on.bearer("button"))
            nurse = on.bearer("nurse", "nurse-of-the-day")
            (await on.client.post(f"/api/calls/{call}/acknowledge", headers=nurse)).raise_for_status()
            on.media.hold("swap is on")
            on.media.guarantee_is(why="swap is on")
            secrets = secrets_of(on, call)
            everything = await on.client.get("/api/bays", headers=nurse)
            assert given_away(everything.text, secrets), "negative control: they are there to be told"
            answer = await on.client.get("/api/notice")
            assert given_away("\n".join(strings(answer.json())), secrets) == []
            assert given_away(answer.text, secrets) == []
            for page in PAGES:
                shown = await on.client.get(page)
                assert shown.status_code == 200, page
                assert given_away(shown.text, secrets) == [], page
            assert json.loads(answer.text)["ok"] is False

    asyncio.run(run())


def test_the_pages_are_there_and_need_no_sign_in(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            for page in ("/notice", "/audit"):
                shown = await on.client.get(page)
                assert (shown.status_code, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")
                assert shown.headers["cache-control"] == "no-store"
            assert (await on.client.get("/api/audit")).status_code == 401, "what the page shows is not open"
            assert (await on.client.post("/api/notice")).status_code == 405

    asyncio.run(run())


def test_what_was_counted_before_the_first_proof_is_not_counted() -> None:
    """Reading its own program changes access times, which the kernel counts: that is before any camera is read."""
    slot = Slot(0, ProcessState(0))

    def counted(octets: int, nonce: str) -> int:
        slot.question = Question(nonce, 0)
        for thread in ("first", "second"):
            slot.take_proof(proof(thread).model_copy(update={"nonce": nonce, "written_octets": octets}), 1)
        return slot.guarantee().written_octets

    assert slot.guarantee().written_octets == 0
    assert counted(159_744, "a" * 20) == 0
    assert counted(159_744, "b" * 20) == 0
    assert counted(163_840, "c" * 20) == 4096
    slot.begin_life(2)
    assert counted(8192, "d" * 20) == 0, "another process counts from its own first proof"
