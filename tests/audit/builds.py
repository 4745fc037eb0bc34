"""Test builds: a copy of the product with one leak patched in, which the audit must find.

A leak is one or more replacements in the copy's own source, so that it needs no switch, argument or variable: the
product has none (GUARANTEE.md row 19). The site and its auditor both run from the copy, as both would at a clinic.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Patch:
    """In `file`, `old` (which must stand there once) becomes `new`."""

    file: str
    old: str
    new: str


def build(folder: Path, *patches: Patch) -> Path:
    """A copy of the product below `folder`, patched. To be used as working directory and in PYTHONPATH."""
    copy = folder / "build"
    for name in ("monitor", "web"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    for patch in patches:
        path = copy / patch.file
        text = path.read_text()
        assert text.count(patch.old) == 1, (patch.file, patch.old, text.count(patch.old))
        path.write_text(text.replace(patch.old, patch.new))
    return copy


def lock_off(name: str) -> Patch:
    """A media process that never closes one lock, and says that it did."""
    return Patch(
        "monitor/media/seal.py",
        "        if name in without:\n            missing.append(name)\n            continue\n",
        f"        if name == {name!r}:\n            locks.append(name)\n            continue\n",
    )


def before_the_seal(code: str) -> Patch:
    """A media process that does something just before it seals itself."""
    return Patch(
        "monitor/media/process.py",
        "        report = seal(spec)\n",
        f"        {code}\n        report = seal(spec)\n",
    )


TOKEN_OF_PAYLOAD = "bytes(payload[19:51])"
"""Of a payload that is an SEI NAL unit: its head, type, size and UUID stand before the token."""


def at_each_sei(code: str) -> Patch:
    """A stream that does something with each SEI that comes."""
    return Patch(
        "monitor/media/stream.py",
        "        self._look(payload, arrival_ms)\n",
        "        if payload[0] & 31 == 6 and len(payload) > 60:\n"
        f"            {code}\n        self._look(payload, arrival_ms)\n",
    )
