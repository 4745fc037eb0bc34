"""Row 8: with faults injected while pictures flow, nothing of a picture is in a log, the journal or an answer.

Cameras send the token inside everything that may end in an error message: rubbish between frames, headers of answers,
an SDP, packets that are cut, forged or of the wrong kind. Strangers send it to the UDP port, viewers in offers and
bodies. The control shows that the same rubbish does end in the log of the library whose error path we replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiortsp.rtsp.connection import RTSPConnection

from monitor.audit.search import patterns, search, search_tree
from tests.fakes.camera import RtspCamera
from tests.fakes.faulty_rtsp import SDP, ScriptedCamera, interleaved, reply, rtp
from tests.fakes.site import running_site

pytestmark = [pytest.mark.sealed, pytest.mark.whole]

TOKEN = ("Q" + secrets.token_hex(15) + "Z").encode()
"""Printable, so that it may stand in text, too."""
WORD = TOKEN.decode()
GOOD = interleaved(0, rtp(1, b"\x65" + TOKEN * 4))
FAULTY: dict[str, dict[str, object]] = {
    "rubbish": {"stream": GOOD + TOKEN * 50 + GOOD},
    "short": {"stream": interleaved(0, TOKEN[:7]) + interleaved(0, b"\x80" + TOKEN[:5]) + GOOD},
    "version": {"stream": interleaved(0, b"\x00" + TOKEN * 3) * 20 + GOOD},
    "channel": {"stream": interleaved(9, TOKEN * 9) * 20 + GOOD},
    "nals": {"stream": b"".join(interleaved(0, rtp(n, bytes([n]) + TOKEN)) for n in range(256))},
    "stap": {"stream": b"".join(interleaved(0, rtp(n, b"\x78\xff\xff" + TOKEN)) for n in range(50))},
    "sps": {"stream": b"".join(interleaved(0, rtp(n, b"\x67" + TOKEN[n:])) for n in range(30))},
    "rtcp": {"stream": interleaved(1, b"\x80\xc8" + TOKEN) + interleaved(1, TOKEN) + GOOD},
    "greeting": {"greeting": TOKEN * 20},
    "sdp": {"sdp": SDP + f"a=fmtp:96 sprop-parameter-sets={WORD},{WORD}\na={WORD}\n"},
    "status": {"answers": {"DESCRIBE": lambda request: reply(request, f"500 {WORD}", X_Why=WORD)}},
    "header": {"answers": {"SETUP": lambda request: reply(request, Session=WORD, Transport=WORD)}},
}


@contextlib.contextmanager
def cameras() -> Iterator[dict[str, str]]:
    """All faulty cameras, in an event loop of their own; their addresses."""
    addresses: dict[str, str] = {}
    ready, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for name, options in FAULTY.items():
                camera = await stack.enter_async_context(ScriptedCamera(**options))
                addresses[name] = camera.url()
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert ready.wait(10)
    try:
        yield addresses
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


def test_faults_put_nothing_of_a_picture_into_logs_journal_or_answers(tmp_path):
    wanted = patterns(TOKEN)
    with cameras() as addresses, RtspCamera(auth="none", canary=TOKEN.hex(), keyint=25, kbits=300) as real:
        bays = [{"id": name, "name": name, "camera": address} for name, address in addresses.items()]
        bays.append({"id": "real", "name": "real", "camera": real.url(user="")})
        with running_site(tmp_path, bays) as site, site.http() as nurse, site.http("it") as it:
            site.wait_for("real", "live", 15)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                for first in (0, 1, 22, 23, 128, 200, 255):
                    for size in (1, 20, 600):
                        stranger.sendto(bytes([first]) + (TOKEN * 20)[:size], ("127.0.0.1", site.udp_port))
            sdp = {"content-type": "application/sdp"}
            for body in (TOKEN * 9, b"v=0\r\n" + TOKEN, f"v=0\r\no=- 1 1 IN IP4 0\r\nm=video {WORD}\r\n".encode()):
                assert nurse.post("/whep/real", content=body, headers=sdp).status_code in (400, 422)
            assert nurse.post("/api/bays/real/calls", content=TOKEN).status_code in (400, 403, 415, 422)
            real.freeze()
            time.sleep(3)
            real.kill()
            time.sleep(2)
            answers = [it.get(path).content for path in ("/api/bays", "/api/guarantee", "/metrics")]
            reasons = {bay["id"]: bay["camera"]["reason"] for bay in it.get("/api/bays").json()}
    assert reasons["rubbish"] or reasons["greeting"], "the faults were not even noticed"
    log = site.log.read_bytes()
    assert len(log) > 1000
    assert b"Traceback" not in log
    for name, text in {"log": log, **dict(zip(("bays", "guarantee", "metrics"), answers, strict=True))}.items():
        assert list(search([text], wanted)) == [], name
    assert search_tree(tmp_path, wanted) == []


def test_the_library_we_do_not_use_so_would_have_logged_it(caplog, capsys):
    """The negative control: aiortsp's own connection, given the same rubbish."""

    async def run() -> None:
        connection = RTSPConnection("127.0.0.1", 1, logger=logging.getLogger("stock"))
        connection.data_received(b"GET_PARAMETER " + TOKEN)
        connection.data_received(TOKEN * 3 + b"\r\n\r\n")
        with contextlib.suppress(Exception):
            await asyncio.wait_for(connection.result, 0.1)

    caplog.set_level(logging.DEBUG, "stock")
    asyncio.run(run())
    shown = caplog.text + capsys.readouterr().err
    assert list(search([shown.encode()], patterns(TOKEN))) == ["raw"]


def test_the_search_would_find_it(tmp_path):
    log = Path(tmp_path / "vigil.log")
    log.write_bytes(b"x" * 5000 + TOKEN)
    assert search_tree(tmp_path, patterns(TOKEN)) == [(str(log), "raw")]
