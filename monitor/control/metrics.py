"""Figures for IT in Prometheus's text form: cameras, viewers, calls, the guarantee. No names of people or screens.

Counters of cameras begin anew with their media process, as Prometheus expects of a restart. Whatever has no value yet
is left out rather than shown as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.control import guarantee
from monitor.control.media_room import MediaRoom
from monitor.control.watch import WatchReport
from monitor.core.call_state import Call, CallEvent
from monitor.core.camera_state import TABLE
from monitor.core.config import Config

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, float("inf"))
"""Seconds. 30 and 60 s are the steps of escalation, 180 s the reopening (DOMAIN.md, times)."""


class Metrics(Collector):
    """All figures of one site. Asks the parts when it is asked: nothing is counted twice."""

    def __init__(
        self,
        config: Config,
        media: MediaRoom,
        now_ms: Callable[[], int],
        ringing: Callable[[], int],
        viewers: Callable[[], int],
        watch: Callable[[], WatchReport] = WatchReport,
    ) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._ack = Histogram(
            "vigil_call_ack_seconds",
            "From the first press to the first acknowledgement or attendance",
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._registry.register(self)
        self._cameras = [camera for camera, _, _ in config.cameras()]
        self._media = media
        self._now_ms = now_ms
        self._ringing = ringing
        self._viewers = viewers
        self._watch = watch

    def on_step(self, call: Call, event: CallEvent) -> None:
        """A step of a call that stands in the journal."""
        first = event == "acknowledge" or (event == "attend" and call.acknowledged_at is None)
        at_ms = call.acknowledged_at if event == "acknowledge" else call.attended_at
        if first and at_ms is not None:
            self._ack.observe(max(0, at_ms - call.pressed_at) / 1000)

    def text(self) -> bytes:
        """All figures now."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """All families that are asked for, by the registry."""
        yield from self._camera_families()
        yield GaugeMetricFamily("vigil_viewer_sessions", "Viewers that are connected or connecting", self._viewers())
        yield GaugeMetricFamily("vigil_calls_ringing", "Calls that sound on screens", self._ringing())
        yield from self._guarantee_families()

    def _guarantee_families(self) -> Iterator[Metric]:
        processes, watch = self._media.guarantee(), self._watch()
        sealed = GaugeMetricFamily(
            "vigil_media_sealed", "Whether the media process has proved its seal in time", labels=["process"]
        )
        written = GaugeMetricFamily(
            "vigil_media_written_bytes",
            "What the kernel counts as written to storage by it, since its first proof",
            labels=["process"],
        )
        for number, process in enumerate(processes):
            sealed.add_metric([str(number)], 1.0 if process.state == "proved" else 0.0)
            if process.proofs:
                written.add_metric([str(number)], process.written_octets)
        whole = guarantee.ok(processes, watch.watched)
        yield from (sealed, written)
        yield GaugeMetricFamily("vigil_guarantee_ok", "Whether all is proved and nothing broken", float(whole))
        row = GaugeMetricFamily(
            "vigil_guarantee_row_ok", "Whether a row of the guarantee holds; without those not checked", labels=["row"]
        )
        for finding in watch.findings:
            if finding.verdict != "not_checked":
                row.add_metric([str(finding.row)], float(finding.verdict == "holds"))
        yield row
        checked = GaugeMetricFamily("vigil_guarantee_checked_timestamp_seconds", "When the watch looked last")
        if watch.watched.checked_ms:
            checked.add_metric([], watch.watched.checked_ms / 1000)
        yield checked

    def _camera_families(self) -> Iterator[Metric]:
        state = GaugeMetricFamily("vigil_camera_state", "1 for the state the camera has", labels=["camera", "state"])
        age = GaugeMetricFamily(
            "vigil_camera_last_frame_age_seconds", "Age of the newest complete picture", labels=["camera"]
        )
        residency = GaugeMetricFamily(
            "vigil_frame_residency_seconds_max", "The longest that a byte has lived in the window", labels=["camera"]
        )
        counters = {
            "frames": CounterMetricFamily("vigil_camera_frames", "Complete pictures", labels=["camera"]),
            "octets": CounterMetricFamily("vigil_camera_inbound_bytes", "Payload bytes", labels=["camera"]),
            "lost": CounterMetricFamily("vigil_camera_packets_lost", "RTP packets that never came", labels=["camera"]),
            "reconnects": CounterMetricFamily(
                "vigil_camera_reconnects", "Connections after the first", labels=["camera"]
            ),
            "viewer_packets": CounterMetricFamily("vigil_viewer_packets", "Packets sent to viewers", labels=["camera"]),
            "viewer_skips": CounterMetricFamily(
                "vigil_viewer_skips", "Viewers that were skipped forward to the next keyframe", labels=["camera"]
            ),
            "retransmitted": CounterMetricFamily(
                "vigil_viewer_retransmitted", "Packets sent again on request", labels=["camera"]
            ),
        }
        for camera in self._cameras:
            status = self._media.camera(camera)
            for name in TABLE:
                state.add_metric([camera, name], 1.0 if status.state == name else 0.0)
            report = status.report
            if report is None:
                continue
            if report.picture_ms:
                age.add_metric([camera], max(0, self._now_ms() - report.picture_ms) / 1000)
            residency.add_metric([camera], report.residency_max_ms / 1000)
            for field, family in counters.items():
                family.add_metric([camera], getattr(report, field))
        yield from (state, age, residency, *counters.values())
