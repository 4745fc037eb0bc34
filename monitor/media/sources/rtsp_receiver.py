"""From an RTSP camera's packets to the sink: what is ours, in which run of numbers, and the camera's clock.

Gets RTP and RTCP from either transport. Must never hand on a packet of a channel or payload type that was not set up,
nor keep one, nor hand on anything after `stop`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from monitor.media.sources.base import PacketSink
from monitor.media.sources.rtp import Bye, ReceiverStats, iter_rtcp, parse_rtp
from monitor.media.sources.rtsp_sdp import VideoTrack


@dataclass
class RtspCounts:
    """What came. `foreign`: packets of channels or payload types that were not asked for, never handed on."""

    video: int = 0
    foreign: int = 0
    malformed: int = 0


class Receiver:
    """Takes RTP and RTCP of one session to the sink. `counts` goes on from session to session."""

    def __init__(self, sink: PacketSink, counts: RtspCounts) -> None:
        self._sink: PacketSink | None = sink
        self._counts = counts
        self._track: VideoTrack | None = None
        self._begun = False
        self.channels = (0, 1)
        self.stats = ReceiverStats()
        self.newest_ms: float | None = None
        self.said_bye = False
        self.on_new_run: Callable[[], None] = lambda: None

    def expect(self, track: VideoTrack) -> None:
        """Packets of this track may come from now on (some cameras send before they answer PLAY)."""
        self._track = track

    def begin(self) -> None:
        """The camera plays: tell the sink, once for each run."""
        if self._begun or self._sink is None or self._track is None:
            return
        self._begun = True
        self._sink.connected()
        if self._track.parameter_sets:
            self._sink.parameter_sets(*self._track.parameter_sets)

    def stop(self) -> None:
        """Hand nothing on any more."""
        self._sink = None

    def interleaved(self, channel: int, data: memoryview, arrival_ms: float) -> None:
        """A packet out of the RTSP connection."""
        if channel == self.channels[0]:
            self.rtp(data, arrival_ms)
        elif channel == self.channels[1]:
            self.rtcp(data, arrival_ms)
        else:
            self._counts.foreign += 1

    def rtp(self, data: memoryview, arrival_ms: float) -> None:
        """An RTP packet."""
        if self._sink is None or self._track is None:
            return
        packet = parse_rtp(data)
        if packet is None:
            self._counts.malformed += 1
            return
        kind, marker, seq, timestamp, ssrc, payload = packet
        if kind != self._track.payload_type:
            self._counts.foreign += 1
            return
        before = self.stats.ssrc
        if self.stats.packet(ssrc, seq, timestamp, arrival_ms) and before is not None:
            self._begun = False  # the camera began anew within the session
            self.on_new_run()
        self.begin()
        self.newest_ms = arrival_ms
        self._counts.video += 1
        if payload:
            self._sink.packet(seq, timestamp, marker, payload, arrival_ms)

    def rtcp(self, data: memoryview, arrival_ms: float) -> None:
        """An RTCP packet."""
        for item in iter_rtcp(data):
            if self._sink is None or not self._begun or self.stats.ssrc not in (None, item.ssrc):
                continue
            if isinstance(item, Bye):
                self.said_bye = True
            else:
                self.stats.report(item, arrival_ms)
                self._sink.sender_report(item.ntp_ms, item.timestamp, arrival_ms)
