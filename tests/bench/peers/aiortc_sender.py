"""A WHEP server of stock aiortc parts, as its documentation puts them together. Run it with a port as its argument.

One MediaPlayer reads the camera without decoding, a MediaRelay hands its packets to everybody, and each viewer has an
RTCPeerConnection that packetises, encrypts and sends (aiortc's own example `webcam` with `--play-without-decoding`).
Nothing of it is slowed down or left out. The camera's address comes in the variable CAMERA, for it holds a password.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole, MediaPlayer, MediaRelay
from fastapi import FastAPI, HTTPException, Request, Response

from tests.fakes.whep_client import stay_on_loopback

WHEP_JS = Path(__file__).resolve().parents[3] / "web" / "whep.js"
PAGE = "<!doctype html><html lang=en><title>aiortc</title><video muted autoplay playsinline></video>"


class Peer:
    """The camera and all viewers."""

    def __init__(self, camera: str) -> None:
        options = {"rtsp_transport": "tcp", "fflags": "nobuffer"}
        video = MediaPlayer(camera, format="rtsp", options=options, decode=False).video
        assert video is not None, "the camera has no video that aiortc can pass on"
        self._video = video
        self._relay = MediaRelay()
        self._viewers: dict[str, RTCPeerConnection] = {}
        self._idle = MediaBlackhole()

    async def start(self) -> None:
        """Read the camera from now on, like a server that has always been there: MediaPlayer's queue has no bound, and
        what it holds before somebody watches would reach the first viewer late."""
        self._idle.addTrack(self._relay.subscribe(self._video))
        await self._idle.start()

    async def add(self, offer: str) -> tuple[str, str]:
        """A viewer: (its id, the answer)."""
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        viewer = secrets.token_urlsafe(16)
        self._viewers[viewer] = pc

        @pc.on("connectionstatechange")
        async def changed() -> None:
            if pc.connectionState in ("failed", "closed"):
                await self.remove(viewer)

        pc.addTrack(self._relay.subscribe(self._video))
        h264 = [c for c in RTCRtpSender.getCapabilities("video").codecs if c.mimeType.lower() == "video/h264"]
        pc.getTransceivers()[0].setCodecPreferences(h264)
        await pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await pc.setLocalDescription(await pc.createAnswer())
        return viewer, pc.localDescription.sdp

    async def remove(self, viewer: str) -> None:
        """End a viewer's connection."""
        if pc := self._viewers.pop(viewer, None):
            await pc.close()

    async def stop(self) -> None:
        """End all."""
        await asyncio.gather(*(self.remove(viewer) for viewer in list(self._viewers)))
        await self._idle.stop()


def make_app(peer: Peer) -> FastAPI:
    """The routes that Vigil has too."""

    @contextlib.asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        await peer.start()
        yield
        await peer.stop()

    app = FastAPI(lifespan=running)

    @app.get("/readyz")
    async def ready() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/")
    async def page() -> Response:
        return Response(PAGE, media_type="text/html")

    @app.get("/whep.js")
    async def script() -> Response:
        return Response(WHEP_JS.read_bytes(), media_type="text/javascript")

    @app.post("/whep/{bay}")
    async def watch(bay: str, request: Request) -> Response:
        try:
            viewer, answer = await peer.add((await request.body()).decode("ascii"))
        except ValueError as error:
            raise HTTPException(400, "this offer cannot be answered") from error
        return Response(answer, 201, {"Location": f"/whep/{bay}/{viewer}"}, "application/sdp")

    @app.delete("/whep/{bay}/{viewer}")
    async def leave(bay: str, viewer: str) -> Response:
        await peer.remove(viewer)
        return Response(status_code=200)

    return app


if __name__ == "__main__":
    stay_on_loopback()
    config = uvicorn.Config(
        make_app(Peer(os.environ["CAMERA"])), "127.0.0.1", int(sys.argv[1]), log_level="warning", http="h11"
    )
    uvicorn.Server(config).run()
