"""WHEP over HTTP, and the access log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from aiortc.sdp import SessionDescription

from monitor.control.candidates import Candidates
from monitor.core.errors import BadOffer, TooMany, VigilError
from tests.control.fake_media import NOT_READY, OFFER
from tests.control.harness import config, running

SDP = {"Content-Type": "application/sdp"}
LOG = "SELECT who, bay, stream, why FROM access_log"


def test_watching_from_offer_to_delete(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            anna = on.bearer("nurse", "Anna")
            answer = await on.client.post("/whep/bay-1?stream=sub", content=OFFER, headers=anna | SDP)
            assert (answer.status_code, answer.headers["content-type"]) == (201, "application/sdp")
            location = answer.headers["location"]
            viewer = location.removeprefix("/whep/bay-1/")
            assert len(viewer) == 32
            assert on.media.viewers == {viewer: "bay-1.sub"}
            video = SessionDescription.parse(answer.text).media[0]
            assert [(one.ip, one.port) for one in video.ice_candidates] == [("127.0.0.1", 8555)]
            assert on.query("SELECT who, role, bay, stream, to_ms FROM access_log") == [
                ("Anna", "nurse", "bay-1", "sub", None)
            ]
            assert viewer not in str(on.query("SELECT * FROM access_log"))
            stranger = on.bearer("nurse", "Bo")
            assert (await on.client.delete(location, headers=stranger)).status_code == 404
            assert on.media.closed == []
            assert (await on.client.delete(location, headers=anna)).status_code == 200
            assert on.media.closed == [viewer]
            await on.until(LOG, [("Anna", "bay-1", "sub", "asked")])
            ((begin, end),) = on.query("SELECT from_ms, to_ms FROM access_log")
            assert 0 <= end - begin < 5000
            assert (await on.client.delete(location, headers=anna)).status_code == 404

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "content", "type_", "status"),
    [
        ("/whep/nowhere", OFFER, "application/sdp", 404),
        ("/whep/toilet", OFFER, "application/sdp", 404),
        ("/whep/bay-1", OFFER, "text/plain", 415),
        ("/whep/bay-1", OFFER, "application/json", 415),
        ("/whep/bay-1", "not SDP", "application/sdp", 400),
        ("/whep/bay-1", "", "application/sdp", 400),
        ("/whep/bay-1", "v=0\r\n" + "é", "application/sdp", 400),
        ("/whep/bay-1", OFFER.replace("H264", "VP8"), "application/sdp", 422),
        ("/whep/bay-1", OFFER + "a=x:" + "y" * 40000, "application/sdp", 413),
        ("/whep/bay-1?stream=other", OFFER, "application/sdp", 422),
    ],
    ids=["bay", "camera", "text", "json", "junk", "empty", "not-ascii", "no-h264", "too-large", "stream"],
)
def test_offers_that_are_refused(tmp_path: Path, path: str, content: str, type_: str, status: int) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            headers = on.bearer("nurse") | {"Content-Type": type_}
            answer = await on.client.post(path, content=content.encode(), headers=headers)
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == status
            assert answer.json()["type"].startswith("urn:vigil:problem:")
            await asyncio.sleep(0.05)
            assert on.query("SELECT count(*) FROM access_log WHERE to_ms IS NULL") == [(0,)]

    asyncio.run(run())


def test_a_chunked_body_beyond_the_limit(tmp_path: Path) -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        for _ in range(100):
            yield b"a" * 1000

    async def run() -> None:
        async with running(tmp_path) as on:
            answer = await on.client.post("/whep/bay-1", content=chunks(), headers=on.bearer("nurse") | SDP)
            assert answer.status_code == 413

    asyncio.run(run())


@pytest.mark.parametrize(
    ("error", "status"), [(NOT_READY, 503), (TooMany("full"), 429), (BadOffer("no fingerprint"), 422)]
)
def test_what_the_media_room_refuses(tmp_path: Path, error: VigilError, status: int) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            on.media.refuse = error
            answer = await on.client.post("/whep/bay-1", content=OFFER, headers=on.bearer("nurse") | SDP)
            assert answer.status_code == status
            assert ("retry-after" in answer.headers) == (status == 503)
            assert len(on.services.viewers) == 0

    asyncio.run(run())


def test_too_many_sessions(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path, config(tmp_path, max_viewers=2)) as on:
            headers = on.bearer("nurse") | SDP
            answers = [await on.client.post("/whep/bay-1", content=OFFER, headers=headers) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [201, 201, 429]
            await on.client.delete(answers[0].headers["location"], headers=headers)
            assert (await on.client.post("/whep/bay-1", content=OFFER, headers=headers)).status_code == 201

    asyncio.run(run())


def test_methods_that_are_not_there(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            headers = on.bearer("nurse")
            watch = await on.client.post("/whep/bay-1", content=OFFER, headers=headers | SDP)
            patched = await on.client.patch(watch.headers["location"], headers=headers)
            assert (patched.status_code, patched.headers["allow"]) == (405, "DELETE")
            assert (await on.client.get("/whep/bay-1", headers=headers)).status_code == 405
            assert patched.headers["content-type"] == "application/problem+json"
            options = await on.client.request("OPTIONS", "/whep/bay-1")
            assert (options.status_code, options.headers["accept-post"]) == (204, "application/sdp")

    asyncio.run(run())


def test_a_session_that_ends_by_itself_or_before_its_answer(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            headers = on.bearer("nurse", "Anna") | SDP
            await on.client.post("/whep/bay-1", content=OFFER, headers=headers)
            on.media.end(next(iter(on.media.viewers)), "consent-lost")
            await on.until(LOG, [("Anna", "bay-1", "main", "consent-lost")])
            on.media.close_before_answer = True
            await on.client.post("/whep/bay-2", content=OFFER, headers=headers)
            await on.until(f"{LOG} WHERE bay = 'bay-2'", [("Anna", "bay-2", "main", "never-connected")])
            assert len(on.services.viewers) == 0

    asyncio.run(run())


def test_a_media_process_that_died_ends_its_accesses(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            headers = on.bearer("nurse", "Anna") | SDP
            await on.client.post("/whep/bay-1", content=OFFER, headers=headers)
            on.media.set("bay-2", incarnation=2)
            assert len(on.services.viewers) == 1, "another camera's process is none of its business"
            on.media.set("bay-1", incarnation=2)
            await on.until(LOG, [("Anna", "bay-1", "main", "process-lost")])

    asyncio.run(run())


def test_stopping_the_server_ends_accesses_in_the_log(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            await on.client.post("/whep/bay-1", content=OFFER, headers=on.bearer("nurse", "Anna") | SDP)
        assert on.query(LOG) == [("Anna", "bay-1", "main", "server-stopped")]
        assert on.query("SELECT to_ms >= from_ms FROM access_log") == [(1,)]

    asyncio.run(run())


def test_an_access_that_a_crash_cut_off_ends_when_the_server_was_last_alive(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            await on.client.post("/whep/bay-1", content=OFFER, headers=on.bearer("nurse", "Anna") | SDP)
            begin = on.services.clock.now_ms() - 60_000
        with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as db:
            db.execute("UPDATE access_log SET to_ms = NULL, why = '', from_ms = ?", (begin,))
            db.execute("UPDATE alive SET at_ms = ?", (begin + 31_000,))
            db.commit()
        async with running(tmp_path) as on:
            assert on.query("SELECT from_ms, to_ms, why FROM access_log") == [(begin, begin + 31_000, "server-lost")]

    asyncio.run(run())


def test_no_password_in_answers_or_logs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def run() -> str:
        async with running(tmp_path) as on:
            token = on.token("nurse")
            headers = {"Authorization": f"Bearer {token}"}
            texts = [(await on.client.get(path, headers=headers)).text for path in ("/api/bays", "/api/guarantee")]
            texts.append((await on.client.post("/whep/bay-1", content=OFFER, headers=headers | SDP)).text)
            texts.append((await on.client.get("/metrics")).text)
            assert on.media.cameras["bay-1"].source.count("s3cret"), "negative control: the camera has a password"
            assert token not in (tmp_path / "journal.sqlite3").read_bytes().decode("latin-1")
            assert token not in (tmp_path / "journal.sqlite3-wal").read_bytes().decode("latin-1")
            return "".join(texts) + token

    texts = asyncio.run(run())
    said = texts + caplog.text
    assert "s3cret" not in said
    assert "192.0.2.11" not in said
    token = texts[-60:]
    assert "vigil_token_" in token
    assert "vigil_token_" not in caplog.text
    assert "watches" in caplog.text, "negative control: the log was caught"


def test_candidates() -> None:
    async def run() -> None:
        any_address = Candidates("192.0.2.9", "0.0.0.0")
        assert await any_address.for_request("127.0.0.1") == ["127.0.0.1"]
        assert await any_address.for_request("192.0.2.4") == ["192.0.2.4", "192.0.2.9"]
        assert await any_address.for_request("192.0.2.9") == ["192.0.2.9"]
        assert await any_address.for_request("::ffff:192.0.2.4") == ["192.0.2.4", "192.0.2.9"]
        assert await any_address.for_request("2001:db8::1") == ["192.0.2.9"], "nobody listens on IPv6"
        assert await any_address.for_request(None) == ["192.0.2.9"]
        assert await Candidates("192.0.2.9", "::").for_request("2001:db8::1") == ["2001:db8::1", "192.0.2.9"]
        assert await Candidates("no-such-host.invalid", "0.0.0.0").for_request("192.0.2.4") == ["192.0.2.4"]

    asyncio.run(run())
