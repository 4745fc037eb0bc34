"""Page 2 of a report: every check with its verdict and what was seen, and what the report rests on.

It must never leave out a row, nor cut what is wrong with one before what merely was seen.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.audit.report import Report, told
from monitor.audit.report_paper import AMBER, BOTTOM, GREY, INK, MARGIN, RED, WIDTH, Cell, Paper, Row
from monitor.audit.report_words import Words
from monitor.evidence.finding import Finding
from monitor.evidence.keys import fingerprint
from monitor.evidence.words import row_name


@dataclass(frozen=True)
class ChecksPlan:
    """How much room things get on page 2."""

    text: float
    seen_lines: int
    """Lines of what was seen in a row."""
    why_lines: int
    """… in a row that is broken or was not checked."""


class ChecksPage:
    """Page 2, drawn on `paper` by `plan`; `fits` says whether nothing ran over its foot."""

    def __init__(self, paper: Paper, report: Report, words: Words, plan: ChecksPlan, public: str) -> None:
        self._paper, self._report, self._words, self._plan, self._public = paper, report, words, plan, public
        paper.add_page()
        self._rows()
        self._basis()
        self.fits = paper.y <= BOTTOM

    def _rows(self) -> None:
        paper, report = self._paper, self._report
        paper.y = MARGIN
        paper.heading(self._words.word("report.rows", count=len(report.findings)), 13)
        paper.ink(self._plan.text, colour=GREY)
        paper.paragraph(self._words.word("report.rows.text"))
        paper.y += 0.6
        widths = (8.0, 46.0, 31.0, WIDTH - 85.0)
        head = [self._words.word(f"report.rows.head.{each}") for each in ("row", "what", "verdict", "seen")]
        paper.columns(widths, head, [self._row(each) for each in report.findings], self._plan.text)

    def _row(self, found: Finding) -> Row:
        named = {
            "holds": ("report.verdict.holds", INK),
            "broken": ("report.verdict.broken", RED),
            "not_checked": ("report.verdict.not-checked", AMBER),
        }
        key, colour = named[found.verdict]
        held = found.verdict == "holds"
        words = found.seen if held else (*found.why, *found.seen)
        return Row(
            [
                Cell(str(found.row), bold=True),
                Cell(row_name(self._words.language, found.row), max_lines=3),
                Cell(self._words.word(key), found.verdict, bold=not held, colour=colour),
                Cell(
                    told(self._words.language, words), max_lines=self._plan.seen_lines if held else self._plan.why_lines
                ),
            ]
        )

    def _basis(self) -> None:
        paper, report = self._paper, self._report
        paper.heading(self._words.word("report.basis"))
        paper.ink(self._plan.text)
        versions = ", ".join(
            f"{name} {value}" for name, value in sorted(report.versions.items()) if name not in {"vigil", "program"}
        )
        settings = ", ".join(f"{name} = {value}" for name, value in sorted(report.settings.items()))
        for text, most in (
            (self._canary(), 4),
            (self._chain(), 4),
            (self._words.word("report.program", version=report.versions["vigil"], hash=report.versions["program"]), 3),
            (self._words.word("report.versions", versions=versions), 3),
            (self._words.word("report.settings", settings=settings) if settings else "", 2),
            (
                self._words.word(
                    "report.key", public=self._public, fingerprint=fingerprint(self._public), host=report.public_host
                ),
                4,
            ),
            (self._words.word("report.check"), 3),
        ):
            if text:
                paper.paragraph(text, max_lines=most)
                paper.y += 0.5

    def _canary(self) -> str:
        canary = self._report.canary
        if canary is None:
            return self._words.word("report.canary.none")
        named = {"fanotify": "report.witness.fanotify", "listing": "report.witness.listing"}
        return self._words.word(
            "report.canary",
            tokens=self._words.count(canary.tokens),
            witness=self._words.word(named[canary.witness]) if canary.witness in named else canary.witness,
            files=self._words.count(canary.files),
            octets=self._words.octets(canary.octets),
            memory=self._words.octets(canary.memory_octets),
            hits=self._words.count(canary.hits),
        )

    def _chain(self) -> str:
        chain = self._report.chain
        if chain is None:
            return self._words.word("report.chain.none")
        said_of_it = self._words.word(
            "report.chain.ok" if chain.ok else "report.chain.bad",
            entries=self._words.count(chain.entries),
            seq=self._words.count(chain.seq),
            head=chain.head or "-",
        )
        return said_of_it if chain.ok else f"{said_of_it} {told(self._words.language, chain.words)}"
