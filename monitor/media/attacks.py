"""One attack on the seal by `vigil prove`: what it is given, how it is tried, and what its answer may be.

The attacks themselves stand in `attacks_*.py`, as tables. An attack really tries to leave a picture (a synthetic one)
somewhere: in a file, a name, a segment, a queue, another process. It must touch nothing but what the prover made for
it, and holds what it made in `Ground.hold` until the prover has looked from outside; then it is let go of. Here nothing
is judged: a call that failed answers with the kernel's errno, and the prover decides.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Thread = Literal["first", "second", "early"]

SUCCEEDED = "succeeded"
REFUSALS = frozenset({"EPERM", "EACCES", "EROFS", "EFBIG"})
"""The seal's own answers. Any other errno means that it was not the seal that was in the way."""


class SaidNo(Exception):
    """A library says no and not why. `answer` is what it says, in a word."""

    def __init__(self, answer: str) -> None:
        super().__init__(answer)
        self.answer = answer


@dataclass(frozen=True)
class Prover:
    """What the prover offers as a target, and what it gives to a process that is to inherit something."""

    existing: str
    """Name of a file that it puts into each directory: 4 KiB of zeros, for attacks that change what is there."""
    folder: str
    """Name of an empty directory that it puts beside it."""
    shared: str
    """A name for what is shared by name, without a slash."""
    pid: int
    address: int
    """Of a buffer of its own, as long as the token."""
    descriptor: int
    """Of a file that it has open for writing."""
    datagrams: str
    """Path of a local socket that stands for /dev/log."""
    stream: str
    """Path of a local socket that stands for a recorder."""
    abstract: str
    """Name of an abstract local socket, without its leading zero."""
    block: str
    """A block device of the machine; it is opened and never written."""
    file: int = -1
    """Inherited: a file open for reading and writing."""
    pipe: int = -1
    """Inherited: a pipe that somebody reads and stores."""


@dataclass(frozen=True)
class Ground:
    """What one attempt works with."""

    directory: str
    token: bytes
    picture: bytes
    """A few thousand octets with the token in them."""
    prover: Prover
    hold: contextlib.ExitStack
    take: Callable[[], list[int]]
    """Ask the prover to pass descriptors (a file, a pipe), and receive them. Raises OSError."""

    def path(self, name: str) -> str:
        """A name in the scratch directory."""
        return f"{self.directory}/{name}"

    @property
    def existing(self) -> str:
        """The file that is there already."""
        return self.path(self.prover.existing)

    def held(self, descriptor: int) -> int:
        """A descriptor, kept open until the prover has looked."""
        self.hold.callback(_close, descriptor)
        return descriptor

    def put(self, descriptor: int) -> None:
        """Write the picture, keep the descriptor open."""
        left = memoryview(self.picture)
        self.held(descriptor)
        while left:
            left = left[os.write(descriptor, left) :]


@dataclass(frozen=True)
class Answer:
    """What an attempt was answered: an errno's name, a library's word, or `succeeded`."""

    text: str
    refused: bool
    """By the seal's own answer, or by a library that says no and not why: then it counts what the prover finds."""


@dataclass(frozen=True)
class Attack:
    """An attack: its text is `attack.NAME`, its row GUARANTEE.md's."""

    name: str
    row: int
    attempt: Callable[[Ground], None]
    by_library: bool = False
    """A library's word that all went well is not the kernel's: then only what the prover finds counts."""

    def answer(self, ground: Ground) -> Answer:
        """Try it, and leave everything as it then is."""
        try:
            self.attempt(ground)
        except SaidNo as no:
            return Answer(no.answer, refused=True)
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0) or type(error).__name__
            return Answer(name, refused=name in REFUSALS)
        except Exception as error:  # noqa: BLE001  a library's own: its type is the answer, and it is no refusal
            return Answer(type(error).__name__, refused=False)
        return Answer(SUCCEEDED, refused=False)


def table(
    row: int, family: str, attempts: Mapping[str, Callable[[Ground], None]], *, by_library: bool = False
) -> list[Attack]:
    """Attacks of one family, named FAMILY.NAME."""
    return [Attack(f"{family}.{name}", row, attempt, by_library) for name, attempt in attempts.items()]


def _close(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)
