"""Sign-in of browsers, foreign pages, failures, and what ends with a sign-in."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from http.cookies import SimpleCookie
from pathlib import Path

import httpx2

from monitor.control.clock import wall_ms
from monitor.control.failure_limit import FailureLimit
from tests.control.fake_media import OFFER
from tests.control.harness import Running, events, running

SDP = {"Content-Type": "application/sdp"}


async def signed_in(on: Running, code: str, **headers: str) -> dict[str, str]:
    """Sign in with a code or token; headers that show the cookie and our own origin."""
    answer = await on.client.post("/api/session", json={"code": code}, headers=headers)
    assert answer.status_code == 200, answer.text
    cookie = SimpleCookie(answer.headers["set-cookie"])["vigil_session"]
    on.client.cookies.clear()
    return {"Cookie": f"vigil_session={cookie.value}", "Origin": on.base}


def test_a_code_signs_in_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            token_id, _ = on.services.accounts.create_token("nurse", "Anna")
            code = on.services.accounts.create_sign_in_code(token_id)
            answer = await on.client.post("/api/session", json={"code": code})
            cookie = SimpleCookie(answer.headers["set-cookie"])["vigil_session"]
            assert cookie["httponly"]
            assert (cookie["samesite"], cookie["path"], cookie["secure"]) == ("strict", "/", "")
            assert int(cookie["max-age"]) == 16 * 3600
            assert (answer.json()["role"], answer.json()["name"]) == ("nurse", "Anna")
            assert cookie.value not in answer.text
            assert (await on.client.get("/api/bays")).status_code == 200, "the cookie is enough"
            on.client.cookies.clear()
            again = await on.client.post("/api/session", json={"code": code})
            assert again.status_code == 401
            assert code not in again.text
            assert [row[0] for row in on.query("SELECT event FROM security_log ORDER BY id")] == [
                "token-created",
                "sign-in",
                "sign-in-failed",
            ]
            assert on.query("SELECT address FROM security_log WHERE event = 'sign-in-failed'") == [("127.0.0.1",)]

    asyncio.run(run())


def test_a_token_signs_in_and_signs_out(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            token = on.token("nurse", "Anna")
            headers = await signed_in(on, token)
            async with events(on, headers) as stream:
                await stream.until("clock")
                await on.client.post("/whep/bay-1", content=OFFER, headers=headers | SDP)
                out = await on.client.delete("/api/session", headers=headers)
                assert out.status_code == 204
                assert "Max-Age=0" in out.headers["set-cookie"]
                await stream.ended(2)
            assert (await on.client.get("/api/me", headers=headers)).status_code == 401
            assert on.media.viewers == {}
            bearer = {"Authorization": f"Bearer {token}"}
            assert (await on.client.get("/api/me", headers=bearer)).status_code == 200, "the token stays"

    asyncio.run(run())


def test_a_foreign_page_cannot_use_the_cookie(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            headers = await signed_in(on, on.token("nurse"))
            cookie = {"Cookie": headers["Cookie"]}
            for origin in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {}, {"Origin": on.base + "0"}):
                refused = await on.client.post(
                    "/api/bays/bay-1/curtain", json={"closed": True}, headers=cookie | origin
                )
                assert refused.status_code == 403, origin
                assert (
                    await on.client.post("/whep/bay-1", content=OFFER, headers=cookie | origin | SDP)
                ).status_code == 403
                assert (await on.client.delete("/api/session", headers=cookie | origin)).status_code == 403
            assert on.media.curtains == []
            assert (await on.client.get("/api/bays", headers=cookie)).status_code == 200, "reading needs no origin"
            own = await on.client.post("/api/bays/bay-1/curtain", json={"closed": True}, headers=headers)
            assert own.status_code == 200, "negative control: our own page may"
            token = on.token("nurse")
            foreign = await on.client.post(
                "/api/session", json={"code": token}, headers={"Origin": "http://evil.example"}
            )
            assert foreign.status_code == 403, "nobody is signed in by a foreign page"

    asyncio.run(run())


def test_secrets_of_the_wrong_kind(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            token_id, token = on.services.accounts.create_token("nurse", "Anna")
            code = on.services.accounts.create_sign_in_code(token_id)
            session = (await signed_in(on, token))["Cookie"].partition("=")[2]
            for value in (code, session, token_id, "Bearer"):
                answer = await on.client.get("/api/me", headers={"Authorization": f"Bearer {value}"})
                assert answer.status_code == 401, value
            for value in (token, code, token_id):
                answer = await on.client.get("/api/me", headers={"Cookie": f"vigil_session={value}"})
                assert answer.status_code == 401, value
            basic = await on.client.get("/api/me", headers={"Authorization": f"Basic {token}"})
            assert basic.status_code == 401

    asyncio.run(run())


def test_failures_are_limited_and_nobody_is_locked_out(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            token = on.token("nurse")
            answers = [await on.client.post("/api/session", json={"code": "wrong"}) for _ in range(12)]
            assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
            assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
            bearer = await on.client.get("/api/me", headers={"Authorization": "Bearer wrong"})
            assert bearer.status_code == 429
            assert on.query("SELECT count(*) FROM security_log WHERE event = 'sign-in-failed'") == [(10,)]
            assert (await on.client.post("/api/session", json={"code": token})).status_code == 200

    asyncio.run(run())


def test_the_limit_itself() -> None:
    limit = FailureLimit()
    assert [limit.failed("a", now) for now in range(10)] == [0.0] * 10
    assert limit.failed("a", 10.0) == 50.0
    assert limit.failed("b", 10.0) == 0.0
    assert limit.failed("a", 60.5) == 0.0
    for number in range(5000):
        limit.failed(f"x{number}", 61.0)
    assert len(limit._failures) == 4096


def test_revocation_by_another_process_ends_everything_within_a_second(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            token = on.token("nurse", "Anna")
            cookie = await signed_in(on, token)
            bearer = {"Authorization": f"Bearer {token}"}
            other = on.bearer("nurse", "Bo")
            async with events(on, cookie) as one, events(on, bearer) as two, events(on, other) as three:
                for stream in (one, two, three):
                    await stream.until("clock")
                for headers in (cookie, bearer, other):
                    await on.client.post("/whep/bay-1", content=OFFER, headers=headers | SDP)
                script = (
                    "import sys, pathlib\n"
                    "from monitor.control.accounts import Accounts\n"
                    "from monitor.control.journal import Journal\n"
                    "journal = Journal.open(pathlib.Path(sys.argv[1]))\n"
                    "print(Accounts(journal).revoke('Anna'))\n"
                    "journal.close()\n"
                )
                path = str(tmp_path / "journal.sqlite3")
                cli = await asyncio.create_subprocess_exec(sys.executable, "-c", script, path, stdout=subprocess.PIPE)
                out, _ = await cli.communicate()
                assert (cli.returncode, out) == (0, b"1\n")
                assert (await on.client.get("/api/me", headers=bearer)).status_code == 401
                assert (await on.client.get("/api/me", headers=cookie)).status_code == 401
                await asyncio.gather(one.ended(2), two.ended(2))
                assert len(on.media.viewers) == 1
                assert (await on.client.get("/api/me", headers=other)).status_code == 200
                await three.until("clock")
            await on.until("SELECT count(*) FROM access_log WHERE who = 'Anna' AND why = 'signed-out'", [(2,)])

    asyncio.run(run())


def test_sessions_and_tokens_that_are_over(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            now = wall_ms()
            on.services.accounts._now_ms = lambda: now
            token_id, token = on.services.accounts.create_token("nurse", "Anna", expires_days=1)
            late_code = on.services.accounts.create_sign_in_code(token_id, minutes=10)
            headers = await signed_in(on, token)
            now += 11 * 60_000
            assert (await on.client.post("/api/session", json={"code": late_code})).status_code == 401
            assert (await on.client.get("/api/me", headers=headers)).status_code == 200
            now += 16 * 3_600_000
            assert (await on.client.get("/api/me", headers=headers)).status_code == 401
            bearer = {"Authorization": f"Bearer {token}"}
            assert (await on.client.get("/api/me", headers=bearer)).status_code == 200
            now += 8 * 3_600_000
            assert (await on.client.get("/api/me", headers=bearer)).status_code == 401

    asyncio.run(run())


def test_the_cookie_is_secure_under_tls(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as on:
            from dataclasses import replace

            from monitor.control.app import create_app, with_headers

            app = with_headers(create_app(replace(on.services, tls=True)), tls=True)
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url="https://vigil.test") as client:
                answer = await client.post("/api/session", json={"code": on.token("nurse")})
                assert "; Secure" in answer.headers["set-cookie"]
                assert answer.headers["strict-transport-security"] == "max-age=31536000"

    asyncio.run(run())
