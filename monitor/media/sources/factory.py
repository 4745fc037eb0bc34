"""Which source reads which address. All sources are imported here, at the top: nothing is imported after the seal."""

from __future__ import annotations

from collections.abc import Callable

from monitor.core.messages import AddCamera
from monitor.media.sources.base import Source
from monitor.media.sources.file import FileSource
from monitor.media.sources.pattern import PatternSource
from monitor.media.sources.rtsp import RtspSource


def make_source(settings: AddCamera, clock_ms: Callable[[], float]) -> Source:
    """A fresh source for one connection to the camera. Raises ValueError for an address of a kind that none reads; the
    control process has checked that already."""
    scheme, _, rest = settings.source.partition(":")
    if scheme == "rtsp":
        return RtspSource(settings.source, settings.transport, clock_ms)
    if scheme == "pattern":
        return PatternSource(settings.label, clock_ms, outage_seconds=settings.outage_seconds)
    if scheme == "file":
        return FileSource(rest, clock_ms)
    raise ValueError(f"no source reads addresses of the kind {scheme!r}")
