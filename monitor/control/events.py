"""Server-sent events: what pages are told the moment it happens (WHATWG HTML, section 9.2).

    call       a change of a call, with an id: pages resume after it with Last-Event-ID
    snapshot   all open calls, where a page is new or was away for too long; calls that are not in it are over
    camera     a bay's camera as in /api/bays, with `bay`
    curtain    a bay's curtain as in /api/bays, with `bay`
    button     a button as in /api/bays, with `bay`
    guarantee  whether it holds, which rows and bays not, and each media process's state (`guarantee.summary`)
    clock      each second: service time and version. Its absence is how a page notices a lost server.

The hub must never wait for a page: each has a bounded queue, and one that overflows is ended, so that the page comes
back and resumes. An event reaches only those whose role may know it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from monitor.control.accounts import Identity
from monitor.control.call_journal import Change
from monitor.core.access import Action, permits

logger = logging.getLogger(__name__)

QUEUE = 512
"""Events that may wait for a slow page: at 36 bays, some ten seconds."""

NEEDS: dict[str, Action | None] = {
    "camera": "see-bays",
    "curtain": "see-bays",
    "button": "see-bays",
    "guarantee": "guarantee",
    "clock": None,
}
"""What an event's receiver must be permitted; `call` has its own rule."""


def encode(type_: str, data: str, id_: int | None = None) -> bytes:
    """One event on the wire. `data` is JSON, so it holds no line break."""
    number = "" if id_ is None else f"id: {id_}\n"
    return f"event: {type_}\n{number}data: {data}\n\n".encode()


@dataclass(eq=False)
class Subscriber:
    """One open page."""

    identity: Identity
    bay: str | None
    """For a button: its bay, the only one whose calls it is told."""
    queue: asyncio.Queue[tuple[int | None, bytes] | None] = field(default_factory=lambda: asyncio.Queue(QUEUE + 1))
    ended: bool = False

    def put(self, id_: int | None, data: bytes) -> None:
        """Queue an event; end the stream where the page does not read."""
        if self.ended:
            return
        if self.queue.qsize() >= QUEUE:
            logger.warning("a page of %s does not read its events: ended, so that it resumes", self.identity.name)
            self.end()
        else:
            self.queue.put_nowait((id_, data))

    def end(self) -> None:
        """End the stream after what waits."""
        if not self.ended:
            self.ended = True
            self.queue.put_nowait(None)  # the one place that QUEUE leaves free

    def call_event(self, change: Change) -> bytes | None:
        """What this page is told of a call's change."""
        if permits(self.identity.role, "see-calls"):
            return encode("call", change.data, change.id)
        if self.identity.role == "button" and change.bay == self.bay:
            return encode("call", change.patient_data, change.id)
        return None


class EventHub:
    """All open pages. `on_change` is told of who came or went, for the state of web buttons."""

    def __init__(self, on_change: Callable[[Identity], None] = lambda identity: None) -> None:
        self._subscribers: set[Subscriber] = set()
        self._closed = False
        self.on_change = on_change

    @contextlib.contextmanager
    def subscribed(self, identity: Identity, bay: str | None) -> Iterator[Subscriber]:
        """A page for as long as its stream lasts."""
        subscriber = Subscriber(identity, bay)
        if self._closed:
            subscriber.end()
        self._subscribers.add(subscriber)
        self.on_change(identity)
        try:
            yield subscriber
        finally:
            subscriber.end()
            self._subscribers.discard(subscriber)
            self.on_change(identity)

    def call(self, change: Change) -> None:
        """Tell a change of a call. The order is the journal's, for the desk makes one change at a time."""
        for subscriber in tuple(self._subscribers):
            data = subscriber.call_event(change)
            if data is not None:
                subscriber.put(change.id, data)

    def publish(self, type_: str, data: Mapping[str, object]) -> None:
        """Tell an event without an id: a page that missed it gets the state afresh when it comes back."""
        needs = NEEDS[type_]
        encoded = encode(type_, json.dumps(data))
        for subscriber in tuple(self._subscribers):
            if needs is None or permits(subscriber.identity.role, needs):
                subscriber.put(None, encoded)

    def identities(self) -> set[Identity]:
        """Who has a page open."""
        return {subscriber.identity for subscriber in self._subscribers if not subscriber.ended}

    def buttons_online(self) -> set[str]:
        """Buttons whose page is open."""
        return {identity.button for identity in self.identities() if identity.button is not None}

    def end(self, identities: Collection[Identity]) -> None:
        """End the streams of these: their sign-in is over."""
        for subscriber in tuple(self._subscribers):
            if subscriber.identity in identities:
                subscriber.end()

    def close(self) -> None:
        """End all streams, now and from now on: the server stops."""
        self._closed = True
        for subscriber in tuple(self._subscribers):
            subscriber.end()


async def stream(subscriber: Subscriber, first: list[tuple[int | None, bytes]]) -> AsyncGenerator[bytes, None]:
    """The stream of a page: `first`, then what the hub tells; a change that `first` holds is not told twice."""
    last = 0
    yield b"retry: 1000\n\n"
    for id_, data in first:
        last = max(last, id_ or 0)
        yield data
    while (item := await subscriber.queue.get()) is not None:
        id_, data = item
        if id_ is None or id_ > last:
            yield data
