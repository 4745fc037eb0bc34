"""A site from its start to its end: journal, media room, HTTP, the clocks that tick, and the way down.

Order at the start: the journal (calls that were open ring again), the media processes, HTTP; `banner` speaks once the
seals are proved. Order at the end: streams, sessions (so that the access log is complete), then media processes and
HTTP together, the journal last. It must never leave a process or an open access behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.control import retention
from monitor.control.accounts import Identity
from monitor.control.app import create_app, with_headers
from monitor.control.building import MakeMedia, MediaEvents, build
from monitor.control.clock import ServiceClock, wall_ms
from monitor.control.guarantee import words
from monitor.control.http_server import HttpServer
from monitor.control.journal import FILE_NAME, Journal
from monitor.control.media_room import MediaRoom
from monitor.control.routes_events import clock_json
from monitor.control.services import Services
from monitor.control.watch import Look
from monitor.core.config import Config
from monitor.core.errors import Conflict, SealError, Unavailable, VigilError
from monitor.core.messages import AddCamera

logger = logging.getLogger(__name__)

PROOF_SECONDS = 20.0
"""How long the banner waits for the seals' proofs."""
ALIVE_SECONDS = 30.0
"""How far the end of an access that a crash cut off may be from the truth."""


@dataclass(frozen=True)
class SiteReady:
    """What can be said once the site serves."""

    base_url: str
    udp_ports: tuple[int, ...]
    proof_summary: str
    site: Site


class Site:
    """One site. `run` does it all; `stop` ends it from inside."""

    def __init__(
        self,
        config: Config,
        *,
        tls: tuple[str, str] | None,
        banner: Callable[[SiteReady], None] | None = None,
        outages: Mapping[str, float] | None = None,
        make_media: MakeMedia | None = None,
        look: Look | None = None,
    ) -> None:
        """`tls`: paths of certificate and key. `make_media` and `look` are for tests; without them the real media room
        is made, and the watch looks at this machine."""
        self.config = config
        self._tls = tls
        self._banner = banner
        self._outages = outages or {}
        self._make_media = make_media or supervised
        self._look = look
        self._stop = asyncio.Event()
        self.services: Services | None = None
        """While it runs."""

    def stop(self) -> None:
        """End the site; to be called in its event loop."""
        self._stop.set()

    async def run(self) -> None:
        """Run until SIGINT, SIGTERM or `stop`, then end everything within two seconds.

        Raises Unavailable (journal, port), Conflict (state directory in use), SealError (a media process that cannot be
        sealed under `enforce = "strict"`), InputError (certificate, signing key).
        """
        state_dir = Path(self.config.server.state_dir)
        with self._signals(), _only_server(state_dir), _opened(state_dir / FILE_NAME) as journal:
            services = build(
                self.config,
                journal,
                self._make_media,
                tls=self._tls is not None,
                outages=self._outages,
                look=self._look,
            )
            await services.evidence.record_start(services.version)
            await services.viewers.restore()
            await services.calls.restore()
            server = self.config.server
            app = with_headers(create_app(services), tls=services.tls)
            http = HttpServer(app, server.host, server.port, self._tls)
            self.services = services
            try:
                await services.media.start()
                async with _background(self._tasks(services, http)) as tasks:
                    stopped = asyncio.ensure_future(self._stop.wait())
                    done, _ = await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
                    stopped.cancel()
                    await self._wind_down(services, http)
                for task in done - {stopped}:
                    await task  # raises what ended it
                await services.evidence.record_stop()
            finally:
                await self._wind_down(services, http)
                self.services = None

    def _tasks(self, services: Services, http: HttpServer) -> list[Coroutine[object, object, None]]:
        """What runs until the end. One that ends by itself ends the site with its error."""
        return [
            _serve(http),
            _tick_clock(services),
            _tick(services),
            _keep_retention(services),
            services.watch.run(),
            services.storage.run(),
            self._announce(services, http.port),
        ]

    async def _announce(self, services: Services, port: int) -> None:
        """Wait for the proofs, then speak; never returns. Raises SealError under `strict`."""
        strict = self.config.media.enforce == "strict"
        deadline = asyncio.get_running_loop().time() + PROOF_SECONDS
        while not all(
            process.state in {"proved", "failed"} or (process.proofs and not strict)
            for process in services.media.guarantee()
        ):
            if asyncio.get_running_loop().time() > deadline:
                logger.error("the media processes did not prove their seal within %d s", PROOF_SECONDS)
                break
            await asyncio.sleep(0.05)
        processes = services.media.guarantee()
        failed = next((process for process in processes if process.state == "failed"), None)
        if failed is not None and strict:
            raise SealError(
                f"a media process cannot be sealed: {failed.why or 'it ended again and again'}",
                'see the log above; under media.enforce = "warn" it starts unsealed and every screen says so',
            )
        if self._banner is not None:
            ports = tuple(sorted(process.hello.udp_port for process in processes if process.hello))
            self._banner(SiteReady(self._base_url(port), ports, words(processes), self))
        await asyncio.Event().wait()

    def _base_url(self, port: int) -> str:
        host = self.config.server.public_host
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self._tls else 'http'}://{shown}:{port}"

    @staticmethod
    async def _wind_down(services: Services, http: HttpServer) -> None:
        """End everything that outside can see. May be called twice."""
        services.hub.close()
        await services.viewers.stop()
        ended = await asyncio.gather(services.media.stop(), http.stop(), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                logger.error("a part did not end as it should: %s", type(error).__name__)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM stop the site, where this is the main thread."""
        loop = asyncio.get_running_loop()
        taken: list[signal.Signals] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(RuntimeError, ValueError):
                loop.add_signal_handler(number, self.stop)
                taken.append(number)
        try:
            yield
        finally:
            for number in taken:
                loop.remove_signal_handler(number)


def supervised(config: Config, clock: ServiceClock, cameras: list[AddCamera], events: MediaEvents) -> MediaRoom:
    """The real media room: sealed processes under the supervisor."""
    from monitor.control.media_slot import SupervisorSettings
    from monitor.control.supervisor import Supervisor

    settings = SupervisorSettings(
        enforce=config.media.enforce,
        udp_host=config.server.host,
        udp_port=config.server.udp_port,
        processes=config.media.processes,
        max_viewers=config.media.max_viewers,
        clock_offset_ms=clock.offset_ms,
    )
    return Supervisor(
        settings,
        cameras,
        on_camera=events.on_camera,
        on_viewer_closed=events.on_viewer_closed,
        on_guarantee=events.on_guarantee,
    )


async def _serve(http: HttpServer) -> None:
    await http.start()
    raise Unavailable("the HTTP server ended by itself", "see the log")


async def _tick_clock(services: Services) -> None:
    """The heartbeat of all pages. Alone in its loop: nothing that waits for a disk may hold it up."""
    while True:
        services.hub.publish("clock", clock_json(services))
        await asyncio.sleep(1.0)


async def _tick(services: Services) -> None:
    """Each second: curtains whose time is over, sign-ins that ended; now and then the sign of life."""
    said = ""
    beat = 0
    while True:
        try:
            await services.curtains.tick()
            await end_what_is_over(services)
            if beat % ALIVE_SECONDS == 0:
                await services.viewers.stay_alive()
            said = ""
        except VigilError as error:
            if error.message != said:  # once, not each second
                logger.error("%s", error.message)  # noqa: TRY400 (our own error says it all)
            said = error.message
        beat += 1
        await asyncio.sleep(1.0)


async def end_what_is_over(services: Services) -> None:
    """End streams and sessions whose token was revoked or whose sign-in is over, whoever revoked it."""
    standing: set[Identity] = services.hub.identities() | services.viewers.identities()
    if standing:
        over = standing - await services.accounts.still_valid(standing)
        if over:
            services.hub.end(over)
            services.viewers.end(over, "signed-out")


async def _keep_retention(services: Services) -> None:
    while True:
        await retention.run_logged(services.journal, services.evidence, services.config.retention, wall_ms())
        await asyncio.sleep(retention.EVERY_SECONDS)


@contextlib.asynccontextmanager
async def _background(work: list[Coroutine[object, object, None]]) -> AsyncIterator[set[asyncio.Task[None]]]:
    """Tasks that are gone when this ends."""
    loop = asyncio.get_running_loop()
    tasks = {loop.create_task(one) for one in work}
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Journal]:
    journal = Journal.open(path)
    try:
        yield journal
    finally:
        journal.close()


@contextlib.contextmanager
def _only_server(state_dir: Path) -> Iterator[None]:
    """Hold the state directory: two servers on one journal would each ring half of the calls. Raises Conflict."""
    try:
        lock = os.open(state_dir / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"the state directory {state_dir} cannot be used: {error.strerror}", "check it") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise Conflict(f"another server uses the state directory {state_dir}", "end it, or set another") from None
    try:
        yield
    finally:
        os.close(lock)  # lets the lock go
