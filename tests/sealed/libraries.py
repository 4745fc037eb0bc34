"""What the media process does with its libraries, all of it once: none of it may need what the seal takes away."""

from __future__ import annotations

import asyncio
import importlib
import socket
import sys
from collections.abc import Callable
from fractions import Fraction

import av
import cv2
import numpy as np
import pylibsrtp
from aiortc import RTCCertificate
from aiortc.rtcdtlstransport import SRTP_PROFILES
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from OpenSSL import SSL


def use_all() -> list[str]:
    """Names of what worked; raises what did not."""
    for use in USES:
        use()
    return [use.__name__ for use in USES]


def event_loop() -> None:
    async def ping() -> bytes:
        loop = asyncio.get_running_loop()
        assert await loop.getaddrinfo("localhost", 554)
        arrived: asyncio.Future[bytes] = loop.create_future()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
            loop.add_reader(sock, lambda: arrived.set_result(sock.recv(10)))
            sock.sendto(b"ping", sock.getsockname())
            answer = await asyncio.wait_for(arrived, 5)
            loop.remove_reader(sock)
        return answer

    assert asyncio.run(ping()) == b"ping"


def unresolvable_name() -> None:
    try:
        socket.getaddrinfo("camera.invalid", 554)
    except socket.gaierror as error:
        assert error.errno in (socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL)
    else:
        raise AssertionError("a name that cannot exist was found")


def encode_and_decode() -> None:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 320, 240, "yuv420p"
    encoder.time_base, encoder.thread_count = Fraction(1, 25), 2
    decoder = av.CodecContext.create("h264", "r")
    picture = np.zeros((240, 320, 3), np.uint8)
    cv2.putText(picture, "12:00", (10, 100), cv2.FONT_HERSHEY_SIMPLEX, 2, (255, 255, 255))
    picture = cv2.GaussianBlur(cv2.resize(picture, (320, 240)), (5, 5), 2)
    decoded = 0
    for at in range(30):
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        frame.pts = at
        for packet in encoder.encode(frame):
            decoded += len(decoder.decode(packet))
    for packet in encoder.encode(None):
        decoded += len(decoder.decode(packet))
    assert decoded > 0


def dtls() -> None:
    certificate = RTCCertificate.generateCertificate()
    context = certificate._create_ssl_context(srtp_profiles=SRTP_PROFILES)
    connection = SSL.Connection(context)
    connection.set_connect_state()
    try:
        connection.do_handshake()
    except SSL.WantReadError:
        assert connection.bio_read(4000)


def srtp() -> None:
    assert len(AESGCM(bytes(16)).encrypt(bytes(12), b"x", b"")) == 17
    policy = pylibsrtp.Policy(key=bytes(30), ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
    assert len(pylibsrtp.Session(policy=policy).protect(b"\x80\x60" + bytes(40))) == 52


def late_import() -> None:
    name = "wave"
    assert name not in sys.modules, "choose a module that nothing has imported yet"
    importlib.import_module(name)


USES: tuple[Callable[[], None], ...] = (event_loop, unresolvable_name, encode_and_decode, dtls, srtp, late_import)
