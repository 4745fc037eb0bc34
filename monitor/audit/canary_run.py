"""The canary run: a camera of the auditor's own is read by every media process and watched through the real door, and
then everything that was modified meanwhile is searched for it.

Real bays are not touched, and no real picture is looked at. The run must leave nothing behind: the canaries are removed
whatever happens, and the site removes them itself after a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monitor.audit import canary_picture
from monitor.audit.canary_camera import CanaryCamera
from monitor.audit.canary_judge import CanaryResult, SwapSearch, Viewing, Watched, Written, judge, not_run
from monitor.audit.canary_logs import FOLDERS, LogTargets, log_targets
from monitor.audit.canary_viewer import CanaryViewer
from monitor.audit.memory import MemorySearch, search_memory
from monitor.audit.search import RAW, patterns, read_fd, search
from monitor.audit.site_client import SiteClient
from monitor.audit.witness import Hit, Modified, Witness, Writer, WriterOf
from monitor.audit.witness_listing import ListingWitness, open_witness
from monitor.core.errors import Unavailable, VigilError
from monitor.evidence.proc import MEDIA_MODULE, SiteFacts, read_process

__all__ = ["CanaryResult", "judge", "not_run", "run"]

WATCH_SECONDS = 8.0
FIRST_SEARCH_SECONDS = 3.0
"""After the viewers are connected: the window is full by then."""
SEARCHES = 3
"""Moments at which each media process's memory is searched while the canary is watched."""
GONE_SECONDS = 1.0
"""From the removal to the search: what was in hand when the connection closed is freed, and so overwritten."""
TEMPORARY = ("/dev/shm", "/run", "/var/tmp", "/tmp")  # noqa: S108  (looked through, never written to)
MAX_SWAP_OCTETS = 1 << 30
MAX_SWAP_SECONDS = 3.0


async def run(
    site: SiteFacts,
    client: SiteClient,
    state_dir: Path,
    *,
    window_seconds: float,
    watch_seconds: float = WATCH_SECONDS,
    say: Callable[[str], None] = lambda step: None,
) -> CanaryResult:
    """Make the run: some 15 s with two media processes. `client` has a token that may `audit` and speaks to this
    machine; `window_seconds` is the configuration's; `say` is told each step: `begin`, `watch`, `gone`, `search`.

    Raises Unavailable where the site does not begin a run, OSError where this machine lets no camera listen.
    """
    began = time.monotonic()
    picture = await asyncio.to_thread(canary_picture.draw, canary_picture.make_token())
    wanted = patterns(picture.token, picture.sps, picture.lines)
    logs = await asyncio.to_thread(log_targets, site.control_pid, os.getpid())
    camera = CanaryCamera(picture)
    port = await camera.start()
    # Those that matter most come first, should time run out.
    listing = ListingWitness(wanted, list(dict.fromkeys([str(state_dir), *logs.files, *FOLDERS, *TEMPORARY])))
    listing.start()
    witness = open_witness(wanted, _writers(site, logs))
    watch = _Watch(site, client, wanted, camera, watch_seconds, say)
    try:
        say("begin")
        await watch.run(port)
    finally:
        await camera.stop()
        say("search")
        await asyncio.to_thread(_stop_both, witness, listing)
    swaps = await asyncio.to_thread(_search_swaps, wanted)
    files = _merged(witness, listing)
    log_files = [path for path, file in files.items() if logs.is_log(path) or "log" in file.writers]
    return CanaryResult(
        witness=witness.name,
        places=len(witness.places),
        awake=any(path.startswith(f"{state_dir}/") for path in witness.modified),
        complete=witness.complete,
        files=len(files),
        octets=witness.searched_octets + listing.searched_octets,
        unseen=witness.unseen + listing.unseen,
        by_media=tuple(
            Written(path, file.in_memory, tuple(sorted(file.pids)))
            for path, file in witness.modified.items()
            if "media" in file.writers
        ),
        hits=_all_hits(witness, listing, files),
        viewings=tuple(watch.viewings()),
        setups=tuple(camera.setups),
        processes=tuple(watch.watched()),
        others=tuple(watch.others),
        others_refused=watch.refused,
        logs=logs,
        log_files=len(log_files),
        log_octets=sum(_size(path) for path in log_files),
        swaps=swaps,
        state_dir=str(state_dir),
        window_ms=round(window_seconds * 1000),
        watched_ms=round(watch_seconds * 1000),
        took_ms=round((time.monotonic() - began) * 1000),
    )


@dataclass
class _Process:
    """A media process while the run is on."""

    pid: int
    during: list[MemorySearch] = field(default_factory=list)
    after: MemorySearch | None = None
    written_before: int | None = None
    written_after: int | None = None
    ended: bool = False


class _Watch:
    """From the canaries' beginning to their end, and the searches of memory."""

    def __init__(
        self,
        site: SiteFacts,
        client: SiteClient,
        wanted: Mapping[str, bytes],
        camera: CanaryCamera,
        seconds: float,
        say: Callable[[str], None],
    ) -> None:
        self._site = site
        self._client = client
        self._wanted = wanted
        self._camera = camera
        self._seconds = seconds
        self._say = say
        self._viewers: list[CanaryViewer] = []
        self._processes = [_Process(pid) for pid in site.media_pids]
        self.others: list[MemorySearch] = []
        self.refused = False
        """Whether memory may not be searched."""

    async def run(self, port: int) -> None:
        """Raises Unavailable where the site does not begin."""
        for process in self._processes:
            process.written_before = await self._written(process)
        begun = await self._client.apost("/api/audit/canary", {"port": port})
        cameras = [str(each) for each in begun["cameras"]]
        try:
            self._viewers = [CanaryViewer(self._client, each, self._wanted[RAW]) for each in cameras]
            await asyncio.gather(*(viewer.open() for viewer in self._viewers))
            self._say("watch")
            await self._look()
        finally:
            with contextlib.suppress(Unavailable):  # it may be over already: it ends by itself
                await self._client.adelete("/api/audit/canary")
        self._say("gone")
        await asyncio.sleep(GONE_SECONDS)
        for process in self._processes:
            process.after = await self._search(process.pid, self._token)
            process.written_after = await self._written(process)
        await self._search_others()
        await asyncio.gather(*(viewer.close() for viewer in self._viewers))

    async def _look(self) -> None:
        """Watch, and search each process's memory at several moments."""
        began = time.monotonic()
        gap = max(0.0, self._seconds - FIRST_SEARCH_SECONDS) / max(1, SEARCHES - 1)
        for number in range(SEARCHES):
            due = began + min(FIRST_SEARCH_SECONDS, self._seconds) + number * gap
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            for process in self._processes:
                found = await self._search(process.pid, self._token)
                if found is not None:
                    process.during.append(found)
            if number == 0:
                await self._search_others()

    @property
    def _token(self) -> dict[str, bytes]:
        return {RAW: self._wanted[RAW]}

    async def _search(self, pid: int, wanted: Mapping[str, bytes]) -> MemorySearch | None:
        try:
            return await asyncio.to_thread(search_memory, pid, wanted)
        except PermissionError:
            self.refused = True
        except OSError:
            for process in self._processes:
                process.ended |= process.pid == pid
        return None

    async def _search_others(self) -> None:
        """The control process in every form; the spare, which has no way to change one, for the token itself."""
        for pid in (self._site.control_pid, *self._site.spare_pids):
            wanted = self._wanted if pid == self._site.control_pid else self._token
            if (found := await self._search(pid, wanted)) is not None:
                self.others.append(found)

    async def _written(self, process: _Process) -> int | None:
        try:
            return (await asyncio.to_thread(read_process, process.pid)).written_octets
        except VigilError:
            process.ended = True
            return None

    def watched(self) -> list[Watched]:
        """What was seen of the media processes."""
        return [
            Watched(each.pid, tuple(each.during), each.after, each.written_before, each.written_after, each.ended)
            for each in self._processes
        ]

    def viewings(self) -> list[Viewing]:
        """What the viewers saw."""
        sps = self._camera.picture.sps
        return [
            Viewing(each.camera, each.packets, each.tokens, each.sound_refused, each.sps == sps, each.why)
            for each in self._viewers
        ]


# ---- who writes ------------------------------------------------------------------------------------------------------


def _writers(site: SiteFacts, logs: LogTargets) -> WriterOf:
    own = os.getpid()

    def writer_of(lineage: Sequence[int]) -> Writer | None:
        if not lineage:
            return "unknown"
        if lineage[0] in site.media_pids or (site.control_pid in lineage[1:] and _is_media(lineage[0])):
            return "media"
        if lineage[0] in logs.keepers:
            return "log"
        return "ours" if own in lineage or site.control_pid in lineage else None

    return writer_of


def _is_media(pid: int) -> bool:
    """Whether a child of the control process is a media process: one that is replaced during the run counts too."""
    try:
        return MEDIA_MODULE.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


# ---- what was modified -----------------------------------------------------------------------------------------------


def _stop_both(witness: Witness, listing: ListingWitness) -> None:
    witness.stop()
    listing.stop()


def _merged(witness: Witness, listing: ListingWitness) -> dict[str, Modified]:
    """Every file that changed; who wrote it is the witness's word where it has one."""
    return {**listing.modified, **witness.modified}


def _all_hits(witness: Witness, listing: ListingWitness, files: Mapping[str, Modified]) -> tuple[Hit, ...]:
    found = {(hit.path, hit.pattern) for hit in (*witness.hits, *listing.hits)}
    return tuple(
        Hit(path, pattern, frozenset(files[path].writers), files[path].in_memory) for path, pattern in sorted(found)
    )


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


# ---- swap ------------------------------------------------------------------------------------------------------------


def _bounded(fd: int, searched: list[int], deadline: float) -> Iterator[bytes]:
    """An area's data until a bound is reached; how much that was is added to `searched`."""
    for piece in read_fd(fd):
        searched[0] += len(piece)
        yield piece
        if searched[0] >= MAX_SWAP_OCTETS or time.monotonic() > deadline:
            return


def _search_swaps(wanted: Mapping[str, bytes], swaps: Path = Path("/proc/swaps")) -> tuple[SwapSearch, ...]:
    """Search the active swap areas from their beginnings, where the kernel fills them first (proc(5)); bounded by
    MAX_SWAP_OCTETS and MAX_SWAP_SECONDS."""
    try:
        lines = swaps.read_text().splitlines()[1:]
    except OSError:
        return ()
    found = []
    for words in (line.split() for line in lines):
        deadline, searched = time.monotonic() + MAX_SWAP_SECONDS, [0]
        try:
            fd = os.open(words[0], os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            found.append(SwapSearch(words[0], int(words[2]) * 1024, 0, ()))
            continue
        with os.fdopen(fd, "rb"):
            names = tuple(search(_bounded(fd, searched, deadline), wanted))
        found.append(SwapSearch(words[0], int(words[2]) * 1024, searched[0], names))
    return tuple(found)
