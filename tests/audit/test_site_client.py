"""The audit's HTTP client: what comes back, what is refused, and whose certificate is trusted; and where a site's logs
go."""

from __future__ import annotations

import asyncio
import datetime
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.audit.canary_logs import log_targets
from monitor.audit.site_client import SiteClient
from monitor.core.errors import Unavailable
from monitor.core.problem import problem
from monitor.setup.certificates import CERTIFICATE, ensure_certificate

NAME = "vigil.clinic.example"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with what came, or with a refusal."""

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length).decode()
        status = {"/refused": 409, "/broken": 500}.get(self.path, 200)
        seen = {"method": self.command, "token": self.headers.get("authorization"), "body": body}
        content: object = problem(409, "conflict", "a run is on", "wait") if status == 409 else seen
        data = b"<html>" if self.path in ("/broken", "/html") else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("X-Seen", "yes")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_DELETE = do_GET

    def log_message(self, *words: object) -> None:
        pass


def certificate(folder: Path, name: str) -> tuple[str, str]:
    folder.mkdir()
    return ensure_certificate(folder, name, datetime.datetime.now(datetime.UTC))


@pytest.fixture
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """A server; with TLS where the test asks for it (`indirect`), for another name than its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if getattr(request, "param", False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate(tmp_path / "site", NAME))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_comes_back(port: int) -> None:
    client = SiteClient(f"http://127.0.0.1:{port}", token="secret")
    assert client.get_json("/a") == {"method": "GET", "token": "Bearer secret", "body": ""}
    assert client.post("/a", {"port": 1})["body"] == '{"port": 1}'
    assert client.headers("/html")["x-seen"] == "yes"
    client.delete("/a")
    assert asyncio.run(client.aget_json("/a"))["method"] == "GET"
    assert SiteClient(f"http://127.0.0.1:{port}").get_json("/a")["token"] is None


def test_what_is_refused(port: int) -> None:
    client = SiteClient(f"http://127.0.0.1:{port}", token="secret")
    with pytest.raises(Unavailable, match="POST /refused was answered 409: a run is on") as refused:
        client.post("/refused")
    assert refused.value.hint == "wait"
    with pytest.raises(Unavailable, match="500: no reason was given"):
        client.delete("/broken")
    with pytest.raises(Unavailable, match="not answered in JSON"):
        client.get_json("/html")
    assert client.request("GET", "/refused").status == 409, "an answer that refuses is an answer"


def test_nobody_is_there(port: int) -> None:
    client = SiteClient("http://127.0.0.1:1", token="secret", timeout=1)
    with pytest.raises(Unavailable, match="does not answer") as refused:
        client.get_json("/a")
    assert "secret" not in str(refused.value) + refused.value.hint


@pytest.mark.parametrize("port", [True], indirect=True)
def test_the_sites_own_certificate_is_trusted_by_its_name(port: int, tmp_path: Path) -> None:
    own = str(tmp_path / "site" / CERTIFICATE)
    for name in (NAME, ""):  # its names include the loopback address
        client = SiteClient(f"https://127.0.0.1:{port}", own, name=name)
        assert client.get_json("/a")["method"] == "GET"


@pytest.mark.parametrize("port", [True], indirect=True)
def test_another_certificate_and_another_name_are_refused(port: int, tmp_path: Path) -> None:
    own = str(tmp_path / "site" / CERTIFICATE)
    other, _ = certificate(tmp_path / "other", NAME)
    for cafile, name in ((other, NAME), (own, "elsewhere.example"), (None, NAME)):
        with pytest.raises(Unavailable, match="not the site's own"):
            SiteClient(f"https://127.0.0.1:{port}", cafile, name=name).get_json("/a")


def test_a_certificate_that_is_not_there() -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        SiteClient("https://127.0.0.1:1", "/nowhere/tls.crt")


# ---- where logs go ---------------------------------------------------------------------------------------------------


def test_a_log_that_is_a_file_and_one_that_goes_through_a_pipe(tmp_path: Path) -> None:
    wait = [sys.executable, "-c", "import sys; print('ready', file=sys.stderr, flush=True); sys.stdin.readline()"]
    read = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(read, stdin=subprocess.PIPE) as keeper,
        subprocess.Popen(wait, stdin=subprocess.PIPE, stdout=log, stderr=keeper.stdin) as site,
    ):
        try:
            targets = log_targets(site.pid, os.getpid())
        finally:
            site.communicate(b"\n")
            keeper.communicate()
    assert targets.files == (str(tmp_path / "log"),)
    assert targets.kinds == ("file", "pipe")
    assert keeper.pid in targets.keepers
    assert not {site.pid, os.getpid()} & set(targets.keepers)
    assert targets.is_log(str(tmp_path / "log"))
    assert targets.is_log("/var/log/journal/x")
    assert not targets.is_log("/var/logs")
    assert not targets.is_log(str(tmp_path / "other"))


def test_a_process_that_cannot_be_looked_at() -> None:
    assert log_targets(1 << 30, os.getpid()).kinds == ("unreadable",)
