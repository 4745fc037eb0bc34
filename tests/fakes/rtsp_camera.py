"""A real RTSP camera for tests: GStreamer's RTSP server, sending a picture that was encoded once.

Run it with Debian's python3 (it has `gi`); `camera.py` is its driver. It prints `ready PORT`, and then obeys lines on
its standard input: `freeze` (the connections stand, no packet is sent), `thaw`, `quit`. The encoded loop is made by
ffmpeg through pipes; with `--canary HEX` each access unit carries the token as SEI user data and the picture shows it
as a grid of black and white squares. Unlike Vigil, a camera may write; this one does not.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from monitor.media import h264  # noqa: E402

AUD = {"h264": 9, "h265": 35}
LOOP_SECONDS = 2


def nal_type(nal: bytes, codec: str) -> int:
    return nal[0] & 0x1F if codec == "h264" else (nal[0] >> 1) & 0x3F


def encode(options: argparse.Namespace) -> list[list[bytes]]:
    """The loop: whole groups of pictures, as the NAL units of each access unit in decoding order."""
    frames = options.keyint * -(-LOOP_SECONDS * options.fps // options.keyint)
    size = f"{options.width}x{options.height}"
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error"]
    command += ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={options.fps}"]
    grid = b""
    if options.canary:
        token = bytes.fromhex(options.canary)
        bits = b"".join(bytes([255 if byte >> bit & 1 else 0]) for byte in token for bit in range(8))
        grid = b"P5 16 %d 255\n" % (len(bits) // 16) + bits
        command += ["-f", "image2pipe", "-c:v", "pgm", "-i", "pipe:0"]
        command += ["-filter_complex", "[1]scale=iw*8:ih*8:flags=neighbor[g];[0][g]overlay=16:16:eof_action=repeat"]
    common = f"keyint={options.keyint}:min-keyint={options.keyint}:scenecut=0:bframes={options.bframes}:b-adapt=0:aud=1"
    command += ["-frames:v", str(frames), "-pix_fmt", "yuv420p", "-b:v", f"{options.kbits}k", "-preset", "superfast"]
    if options.codec == "h264":
        more = ":threads=1:b-pyramid=none:open-gop=0:repeat-headers=1"
        command += ["-c:v", "libx264", "-profile:v", options.profile, "-x264-params", common + more, "-f", "h264"]
    else:
        more = ":b-pyramid=0:open-gop=0:repeat-headers=1:log-level=none"
        command += ["-c:v", "libx265", "-x265-params", common + more, "-f", "hevc"]
    done = subprocess.run([*command, "pipe:1"], input=grid, stdout=subprocess.PIPE, check=True)
    units: list[list[bytes]] = []
    for nal in h264.split_annexb(done.stdout):
        if nal_type(nal, options.codec) == AUD[options.codec]:
            units.append([])
        else:
            units[-1].append(nal)
    if options.canary and options.codec == "h264":
        sei = h264.insert_sei(bytes.fromhex(options.canary))
        for unit in units:  # before the first slice (H.264 section 7.4.1.2.3)
            first = next(at for at, nal in enumerate(unit) if nal_type(nal, "h264") in (1, 5))
            unit.insert(first, sei)
    return units


def display_order(units: list[list[bytes]]) -> list[int]:
    """When each access unit is shown, in frames: an anchor is shown behind the B-frames that follow it."""
    is_b = [any(h264.slice_is_b(nal) for nal in unit) for unit in units]
    order = list(range(len(units)))
    for at, b in enumerate(is_b):
        if not b:
            following = sum(1 for _ in itertools.takewhile(bool, is_b[at + 1 :]))
            order[at] = at + following
            for offset in range(following):
                order[at + 1 + offset] = at + offset
    return order


class Loop:
    """The access units as GStreamer buffers, for ever."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.fps = options.fps
        units = encode(options)
        self.order = display_order(units) if options.codec == "h264" else list(range(len(units)))
        kind = f"video/x-{options.codec}"
        framerate = f"framerate={options.fps}/1,width={options.width},height={options.height}"
        if options.sprop_only:
            sps = next(nal for nal in units[0] if nal_type(nal, "h264") == h264.SPS)
            pps = next(nal for nal in units[0] if nal_type(nal, "h264") == h264.PPS)
            record = b"\x01" + sps[1:4] + b"\xff\xe1" + len(sps).to_bytes(2, "big") + sps
            record += b"\x01" + len(pps).to_bytes(2, "big") + pps
            self.caps = f"{kind},stream-format=avc,alignment=au,codec_data=(buffer){record.hex()},{framerate}"
            kept = [[nal for nal in unit if nal_type(nal, "h264") not in (h264.SPS, h264.PPS)] for unit in units]
            self.data = [b"".join(len(nal).to_bytes(4, "big") + nal for nal in unit) for unit in kept]
        else:
            self.caps = f"{kind},stream-format=byte-stream,alignment=au,{framerate}"
            self.data = [b"".join(b"\0\0\0\1" + nal for nal in unit) for unit in units]


class Feeder:
    """Feeds one pipeline's appsrc at the camera's rate."""

    def __init__(self, loop: Loop, camera: Camera, element: Gst.Element) -> None:
        self.loop = loop
        self.camera = camera
        self.source = element.get_by_name("src")
        self.element = element
        self.sent = 0
        self.started_us = GLib.get_monotonic_time()
        self.zero_ns = None
        self.gone = False
        GLib.timeout_add(max(1, 250 // loop.fps), self.tick)

    def tick(self) -> bool:
        if self.gone:
            return False
        if self.sent == 1 and not self.running_ns():
            # The first picture lets the payloader make its caps; the others wait until it plays.
            self.started_us = GLib.get_monotonic_time() - 1_000_000 // self.loop.fps
            return True
        due = int((GLib.get_monotonic_time() - self.started_us) * self.loop.fps / 1_000_000)
        while self.sent <= due:
            if not self.camera.frozen:
                self.push(self.sent)
            self.sent += 1
        return True

    def push(self, number: int) -> None:
        running = self.running_ns()
        if running and self.zero_ns is None:
            self.zero_ns = max(0, running - number * Gst.SECOND // self.loop.fps)
        size = len(self.loop.data)
        shown = number - number % size + self.loop.order[number % size]
        buffer = Gst.Buffer.new_wrapped(self.loop.data[number % size])
        zero = self.zero_ns or 0
        buffer.pts = zero + shown * Gst.SECOND // self.loop.fps
        buffer.dts = zero + number * Gst.SECOND // self.loop.fps
        self.source.emit("push-buffer", buffer)

    def running_ns(self) -> int:
        """The pipeline's running time, 0 before it plays (its base time is set when it begins to)."""
        clock, base = self.element.get_clock(), self.element.get_base_time()
        if clock is None or not base or self.element.get_state(0).state != Gst.State.PLAYING:
            return 0
        return max(1, clock.get_time() - base)


class Camera:
    """The server, its one path, and the commands."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.frozen = False
        self.main = GLib.MainLoop()
        self.feeders: list[Feeder] = []
        self.video = None if options.codec == "none" else Loop(options)
        parts = []
        if self.video:
            pay = {"h264": "rtph264pay aggregate-mode=zero-latency config-interval=0", "h265": "rtph265pay"}
            parts.append(
                f'appsrc name=src is-live=true format=time block=false caps="{self.video.caps}"'
                f" ! {pay[options.codec]} name=pay0 pt=96 mtu={options.mtu}"
            )
        if options.audio or not self.video:
            parts.append(f"audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay{len(parts)} pt=8")
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch("( " + " ".join(parts) + " )")
        factory.set_shared(True)
        factory.set_latency(0)
        factory.set_eos_shutdown(False)
        factory.set_protocols(self.protocols(options.transport))
        if self.video:
            factory.connect("media-configure", self.configure)
        self.server = GstRtspServer.RTSPServer()
        self.server.set_address("127.0.0.1")
        self.server.set_service(str(options.port))
        if options.auth != "none":
            self.protect(factory, options)
        self.server.get_mount_points().add_factory(options.path, factory)
        self.setups: list[str] = []
        self.server.connect("client-connected", self.note_setups)
        self.server.attach(None)
        GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_IN | GLib.IO_HUP, self.command)

    def note_setups(self, _server: GstRtspServer.RTSPServer, client: GstRtspServer.RTSPClient) -> None:
        """What each client sets up, by the number of the track: 0 is the picture, 1 the sound."""
        client.connect("setup-request", lambda _client, context: self.setups.append(context.uri.abspath.split("=")[-1]))

    @staticmethod
    def protocols(transport: str) -> GstRtsp.RTSPLowerTrans:
        udp, tcp = GstRtsp.RTSPLowerTrans.UDP, GstRtsp.RTSPLowerTrans.TCP
        return {"both": udp | tcp, "udp": udp, "tcp": tcp}[transport]

    def configure(self, _factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
        feeder = Feeder(self.video, self, media.get_element())
        self.feeders.append(feeder)
        media.connect("prepared", self.hasten_reports)
        media.connect("unprepared", lambda _media: setattr(feeder, "gone", True))

    @staticmethod
    def hasten_reports(media: GstRtspServer.RTSPMedia) -> None:
        """A sender report about each second, not each five: tests are short."""
        for index in range(media.n_streams()):
            session = media.get_stream(index).get_rtpsession()
            if session is not None:
                session.set_property("rtcp-min-interval", Gst.SECOND)

    def protect(self, factory: GstRtspServer.RTSPMediaFactory, options: argparse.Namespace) -> None:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        if options.auth == "digest":
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(options.user, options.password, token)
        else:
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(options.user, options.password), token)
        permissions = GstRtspServer.RTSPPermissions()
        for right in ("access", "construct"):
            permissions.add_permission_for_role("viewer", f"media.factory.{right}", True)
        factory.set_permissions(permissions)
        self.server.set_auth(auth)

    def command(self, _fd: int, condition: GLib.IOCondition) -> bool:
        line = sys.stdin.readline()
        word = line.strip()
        if not line or word == "quit":
            self.main.quit()
            return False
        if word == "setups":
            print(" ".join(["setups", *self.setups]), flush=True)
            return True
        self.frozen = {"freeze": True, "thaw": False}.get(word, self.frozen)
        print(f"did {word}", flush=True)
        return True

    def run(self) -> None:
        print(f"ready {self.server.get_bound_port()}", flush=True)
        self.main.run()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--path", default="/main")
    parser.add_argument("--user", default="viewer")
    parser.add_argument("--password", default="secret")
    parser.add_argument("--auth", choices=["digest", "basic", "none"], default="digest")
    parser.add_argument("--codec", choices=["h264", "h265", "none"], default="h264")
    parser.add_argument("--transport", choices=["both", "tcp", "udp"], default="both")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--keyint", type=int, default=25)
    parser.add_argument("--profile", choices=["baseline", "main", "high"], default="high")
    parser.add_argument("--bframes", type=int, default=0)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--kbits", type=int, default=1000)
    parser.add_argument("--mtu", type=int, default=1400)
    parser.add_argument("--audio", action="store_true", help="sound beside the picture")
    parser.add_argument("--sprop-only", action="store_true", help="parameter sets only in the SDP")
    parser.add_argument("--canary", default="", help="32 bytes in hexadecimal")
    return parser.parse_args()


if __name__ == "__main__":
    Gst.init(None)
    Camera(arguments()).run()
