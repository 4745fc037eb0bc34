"""Figures: how they are summed up, printed and kept.

This module must never print a figure without its spread, nor write the machine's name, address or paths anywhere.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from monitor import __version__

RESULTS = Path(__file__).with_name("results")
VIGIL = "Vigil"
PEER = "stock aiortc"


def quantile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least this part of all values does not exceed (nearest rank; never interpolated, so
    that a p99 of 50 values is the largest one and looks like it)."""
    ordered = sorted(values)
    rank = -int(-part * len(ordered) // 1)  # the ceiling
    return ordered[min(len(ordered), max(1, rank)) - 1]


@dataclass
class Row:
    """One quantity, in one unit, as measured for Vigil and, where there is one, for the peer."""

    label: str
    unit: str
    vigil: list[float]
    peer: list[float] = field(default_factory=list)
    tail: float | None = None
    """Which quantile is printed beside the median; without one only the range."""
    goal: float | None = None
    """What the median should stay under."""

    def cell(self, values: Sequence[float]) -> str:
        """`median (pNN x; least to most)`."""
        if not values:
            return "-"
        tail = f"p{self.tail * 100:.0f} {_figure(quantile(values, self.tail))}; " if self.tail else ""
        return f"{_figure(statistics.median(values))} ({tail}{_figure(min(values))} to {_figure(max(values))})"

    def ratio(self) -> str:
        """Peer to Vigil: of the medians, and between the nearest and the farthest pair."""
        if not self.peer or min(self.vigil) <= 0:
            return "-"
        middle = statistics.median(self.peer) / statistics.median(self.vigil)
        least, most = min(self.peer) / max(self.vigil), max(self.peer) / min(self.vigil)
        return f"{_figure(middle)} ({_figure(least)} to {_figure(most)})"


@dataclass
class Result:
    """One measurement. `conditions` are what a reader must know to judge it."""

    name: str
    conditions: dict[str, str | int | float]
    rows: list[Row]
    notes: list[str] = field(default_factory=list)

    def table(self) -> str:
        """For a terminal."""
        head = ("", VIGIL, PEER, f"{PEER} / {VIGIL}")
        lines = [
            (f"{row.label}, {row.unit}", row.cell(row.vigil), row.cell(row.peer), row.ratio()) for row in self.rows
        ]
        widths = [max(len(line[column]) for line in (head, *lines)) for column in range(len(head))]
        text = [f"\n{self.name}: " + ", ".join(f"{key} {value}" for key, value in self.conditions.items())]
        text += ["  " + "  ".join(map(str.ljust, line, widths)).rstrip() for line in (head, *lines)]
        for row in self.rows:
            if row.goal is not None:
                met = statistics.median(row.vigil) < row.goal
                text.append(f"  goal: {row.label} under {row.goal:g} {row.unit}: {'met' if met else 'NOT met'}")
        return "\n".join(text + [f"  {note}" for note in self.notes])

    def save(self, folder: Path = RESULTS) -> Path:
        """All values as JSON; the file."""
        content = {
            "measurement": self.name,
            "versions": versions(),
            "cores": os.cpu_count(),
            "conditions": self.conditions,
            "rows": [
                {
                    "label": row.label,
                    "unit": row.unit,
                    **{who: _summary(values) for who, values in (("vigil", row.vigil), ("peer", row.peer)) if values},
                }
                for row in self.rows
            ],
            "notes": self.notes,
        }
        folder.mkdir(exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(content, indent=1) + "\n")
        return path


def versions() -> dict[str, str]:
    """What was measured."""
    packages = ("aiortc", "aioice", "av", "cryptography", "pylibsrtp")
    return {"vigil": __version__, "python": platform.python_version(), **{p: metadata.version(p) for p in packages}}


def _summary(values: Iterable[float]) -> dict[str, object]:
    rounded = [round(value, 4) for value in values]
    return {
        "median": statistics.median(rounded),
        "p90": quantile(rounded, 0.9),
        "p99": quantile(rounded, 0.99),
        "values": rounded,
    }


def _figure(value: float) -> str:
    """Three significant digits, or whole numbers."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
