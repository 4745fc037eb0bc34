"""A media process whose seal has one lock left off: the negative control for what the supervisor does about it."""

from __future__ import annotations

import sys

from monitor.media import process
from monitor.media.seal import SealReport, SealSpec, seal
from tests.sealed.stub_media import StubRelay


def _half_seal(spec: SealSpec) -> SealReport:
    return seal(spec, without=frozenset({"landlock"}))


if __name__ == "__main__":
    process.seal = _half_seal
    process.main(sys.argv[1:], StubRelay)
