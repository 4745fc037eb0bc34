"""A real Firefox, driven over its own Marionette protocol: no driver program is needed.

The protocol (Firefox source docs, remote/doc/marionette): messages over TCP, each `length:json` with the length in
decimal octets; a command is `[0, id, name, parameters]`, its answer `[1, id, error or null, result]`.
Must never speak to anything but 127.0.0.1: whatever Firefox wants from elsewhere is sent to a proxy that is not there.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

START_SECONDS = 60.0
ANSWER_SECONDS = 40.0
DISCARD_PORT = 9

PREFERENCES: dict[str, str | int | bool] = {
    "marionette.port": 0,  # any free one: it is written to the profile
    # a server and its browser on one machine: a loopback address is used only where asked for, and where the page may
    # know more addresses than the one of the default route, as one that may use the camera does
    "media.peerconnection.ice.loopback": True,
    "permissions.default.camera": 1,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.autoplay.default": 0,
    # nothing but 127.0.0.1 is ever spoken to: loopback goes direct, all else to a port where nobody listens
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": DISCARD_PORT,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": DISCARD_PORT,
    "network.proxy.no_proxies_on": "127.0.0.1, localhost",
    "network.trr.mode": 5,
    "network.dns.disablePrefetch": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "app.update.disabledForTesting": True,
    "app.normandy.enabled": False,
    "app.shield.optoutstudies.enabled": False,
    "browser.region.update.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.search.update": False,
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.push.connection.enabled": False,
    "extensions.blocklist.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "media.gmp-provider.enabled": False,
    "services.settings.server": "data:,nothing",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "data:,nothing",
    "toolkit.telemetry.unified": False,
    # a profile for one test: no first-run pages, nothing restored
    "browser.aboutwelcome.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage": "about:blank",
    "browser.startup.page": 0,
    "intl.accept_languages": "da-DK, da",
}


def find_firefox() -> str | None:
    """The browser of tools/need-browser.sh. Ubuntu's is a snap, which may not use the profile that a test makes."""
    for name in ("firefox-esr", "firefox"):
        path = shutil.which(name)
        if path and not path.startswith("/snap/") and b"snap" not in _head(path):
            return path
    return None


def on_ubuntu() -> bool:
    """Where tools/need-browser.sh installs no Firefox."""
    release = Path("/etc/os-release")
    return release.exists() and "ID=ubuntu" in release.read_text().splitlines()


def _head(path: str) -> bytes:
    """The beginning of a program: Ubuntu's `firefox` is a script that hands over to the snap."""
    with Path(path).open("rb") as file:
        head = file.read(4096)
    return head if head.startswith(b"#!") else b""


LIBAVCODEC_H264: dict[str, str | int | bool] = {
    "media.webrtc.hw.h264.enabled": True,
    "gfx.blacklist.webrtc.hw.acceleration.h264": 1,  # nsIGfxInfo's FEATURE_STATUS_OK: what a known card would get
    "media.navigator.mediadatadecoder_h264_enabled": True,
}
"""Debian's Firefox has no H.264 for WebRTC in its package: it fetches Cisco's plug-in after its first start, which no
test may. With these its H.264 is libavcodec's, the same that plays a file's."""


class MarionetteError(Exception):
    """Firefox refused a command."""


class Firefox:
    """One browser with one window. `with running_firefox(folder) as firefox: firefox.goto(url)`."""

    def __init__(self, folder: Path, h264: bool) -> None:
        path = find_firefox()
        assert path, "no Firefox: `make setup-test` installs it"
        self._folder = folder
        self._profile = folder / "profile"
        self._profile.mkdir(parents=True)
        preferences = PREFERENCES | (LIBAVCODEC_H264 if h264 else {})
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items()]
        (self._profile / "user.js").write_text("\n".join(lines) + "\n")
        with (folder / "firefox.log").open("ab") as log:
            self._process = subprocess.Popen(
                [path, "--headless", "--marionette", "--no-remote", "--profile", str(self._profile)],
                env={**os.environ, "HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._socket: socket.socket | None = None
        self._count = 0
        self._buffer = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def connect(self) -> None:
        """Wait until it listens, and begin the session."""
        deadline = time.monotonic() + START_SECONDS
        while self._socket is None:
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, f"Firefox does not listen: {self.log()}"
            with contextlib.suppress(OSError, ValueError):
                port = int((self._profile / "MarionetteActivePort").read_text())
                self._socket = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)
            if self._socket is None:
                time.sleep(0.1)
        hello = self._receive()
        assert hello["marionetteProtocol"] == 3, hello
        self.command("WebDriver:NewSession", {"pageLoadStrategy": "eager"})

    def log(self) -> str:
        return (self._folder / "firefox.log").read_text(errors="replace")[-3000:]

    def command(self, name: str, parameters: dict[str, Any] | None = None) -> Any:
        """One command; its result. Raises MarionetteError where Firefox refuses it."""
        assert self._socket
        self._count += 1
        data = json.dumps([0, self._count, name, parameters or {}]).encode()
        self._socket.sendall(f"{len(data)}:".encode() + data)
        kind, number, error, result = self._receive()
        assert (kind, number) == (1, self._count)
        if error:
            raise MarionetteError(f"{name}: {error['error']}: {error['message']}")
        return result

    def goto(self, url: str) -> None:
        self.command("WebDriver:Navigate", {"url": url})

    def evaluate(self, script: str, *arguments: object) -> Any:
        """Run a function body in the page; what it returns. The page's CSP does not hold for it."""
        return self.command("WebDriver:ExecuteScript", {"script": script, "args": list(arguments)})["value"]

    def evaluate_async(self, script: str, *arguments: object) -> Any:
        """The body of an async function; what it resolves to."""
        wrapped = (
            "const done = arguments[arguments.length - 1];"
            f"(async (...args) => {{ {script} }})(...arguments)"
            ".then((value) => done([value, null]), (error) => done([null, String(error)]))"
        )
        parameters = {"script": wrapped, "args": list(arguments)}
        value, error = self.command("WebDriver:ExecuteAsyncScript", parameters)["value"]
        if error:
            raise MarionetteError(error)
        return value

    def wait_for(self, script: str, seconds: float, *arguments: object) -> float:
        """Until the script returns something true; how many seconds that took."""
        began = time.monotonic()
        while not self.evaluate(script, *arguments):
            assert time.monotonic() - began < seconds, f"not within {seconds} s: {script}"
            time.sleep(0.05)
        return time.monotonic() - began

    def screenshot(self) -> bytes:
        """PNG of what is seen of the page."""
        return base64.b64decode(self.command("WebDriver:TakeScreenshot", {"full": False})["value"])

    def stop(self) -> None:
        with contextlib.suppress(OSError, MarionetteError, AssertionError):
            self.command("Marionette:Quit", {"flags": ["eForceQuit"]})
        if self._socket:
            self._socket.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _receive(self) -> Any:
        assert self._socket
        while b":" not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(b":")
        length = int(head)
        while len(self._buffer) < length:
            self._more()
        data, self._buffer = self._buffer[:length], self._buffer[length:]
        return json.loads(data)

    def _more(self) -> None:
        assert self._socket
        data = self._socket.recv(65536)
        if not data:
            raise MarionetteError(f"Firefox closed the connection: {self.log()}")
        self._buffer += data


@contextlib.contextmanager
def running_firefox(folder: Path, *, h264: bool = True) -> Iterator[Firefox]:
    """A Firefox with a profile of its own in `folder`; without `h264` as it is right after its installation."""
    firefox = Firefox(folder, h264)
    try:
        firefox.connect()
        yield firefox
    finally:
        firefox.stop()
