"""The web pages alone, served with the headers of the real server: the answers are what a test says they are."""

from __future__ import annotations

import contextlib
import json
import mimetypes
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from monitor.control.headers import HEADERS
from monitor.evidence.web_source import PAGES

WEB = Path(__file__).resolve().parents[2] / "web"
TICK_SECONDS = 0.5


class WebPages:
    """`answers` holds the JSON of the paths below `/api`; `/api/events` ticks a clock, tells each of `events` (type,
    data) once, and ends at each `renew`, so that the page connects and asks for everything afresh. `silent` answers
    nothing below `/api`, as a server that is lost."""

    def __init__(self) -> None:
        self.answers: dict[str, object] = {}
        self.events: list[tuple[str, object]] = []
        self.silent = False
        self.asked: list[str] = []
        """Method and path of every request below `/api`."""
        self._renewals = 0
        self._stopped = False
        pages = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages._answer(self)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                """Nothing: a test's output is its own."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def renew(self) -> None:
        """End all event streams."""
        self._renewals += 1

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        if path.startswith("/api/"):
            self.asked.append(f"{request.command} {request.path}")
        if path in PAGES:
            path = f"/{PAGES[path]}"
        with contextlib.suppress(ConnectionError):
            if path.startswith("/api/") and self.silent:
                request.send_error(503)
            elif path == "/api/events":
                self._events(request)
            elif path in self.answers:
                self._send(request, "application/json", json.dumps(self.answers[path]).encode())
            elif path == "/blank":
                self._send(request, "text/html", b"<!doctype html><title>blank</title>")
            elif (file := (WEB / path[1:]).resolve()).is_file() and file.is_relative_to(WEB):
                self._send(request, mimetypes.guess_type(file)[0] or "application/json", file.read_bytes())
            else:
                request.send_error(404)

    def _send(self, request: BaseHTTPRequestHandler, kind: str, body: bytes | None) -> None:
        request.send_response(200)
        for name, value in HEADERS.items():
            request.send_header(name, value)
        request.send_header("Content-Type", kind)
        request.end_headers()
        request.wfile.write(body or b"")

    def _events(self, request: BaseHTTPRequestHandler) -> None:
        self._send(request, "text/event-stream", None)
        renewals = self._renewals
        sent, told = 0.0, 0
        while renewals == self._renewals and not self._stopped and not self.silent:
            for type_, data in self.events[told:]:
                told += 1
                request.wfile.write(f"event: {type_}\ndata: {json.dumps(data)}\n\n".encode())
                request.wfile.flush()
            if time.monotonic() - sent > TICK_SECONDS:
                sent = time.monotonic()
                clock = json.dumps({"now_ms": round(time.time() * 1000)})
                request.wfile.write(f"event: clock\ndata: {clock}\n\n".encode())
                request.wfile.flush()
            time.sleep(0.02)


@contextlib.contextmanager
def running_pages() -> Iterator[WebPages]:
    pages = WebPages()
    pages.start()
    try:
        yield pages
    finally:
        pages.stop()
