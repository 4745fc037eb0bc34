"""Page 1 of a report: the answer in large letters, the period and its breaks, the cameras, what the operator must take
care of, and room for a signature.

It must never say more than was proved: "not stored" stands there only where every check that can be made was made and
holds. What it has no room for it counts, and says where it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.audit.report import Break, Camera, Period, Report, told
from monitor.audit.report_paper import AMBER, BOTTOM, GREEN, GREY, INK, MARGIN, PALE, RED, WIDTH, Cell, Paper, Row, Sign
from monitor.audit.report_words import Words
from monitor.evidence.finding import ROWS, Finding, said
from monitor.evidence.words import row_name

_ANSWER_COLOUR = {"holds": GREEN, "broken": RED, "incomplete": AMBER}
_ANSWER_SIGN: dict[str, Sign] = {"holds": "holds", "broken": "broken", "incomplete": "not_checked"}
_WORST_FIRST = {"broken": 0, "not_checked": 1, "holds": 2}


@dataclass(frozen=True)
class FrontPlan:
    """How much room things get on page 1."""

    text: float
    """Points."""
    breaks: int
    """At most so many are listed; the others are counted."""
    cameras: int
    note_lines: int
    """Lines on why a break was one, and on what is amiss with a camera."""
    duty_lines: int


class FrontPage:
    """Page 1, drawn on `paper` by `plan`; `fits` says whether nothing ran over its foot."""

    def __init__(self, paper: Paper, report: Report, words: Words, plan: FrontPlan) -> None:
        self._paper, self._report, self._words, self._plan = paper, report, words, plan
        paper.add_page()
        self._title()
        self._answer()
        self._period()
        self._breaks()
        self._cameras()
        self._duties()
        self._signature()
        self.fits = paper.y <= BOTTOM

    def _title(self) -> None:
        paper, report = self._paper, self._report
        paper.ink(9.5, colour=GREY)
        paper.paragraph(self._words.word("report.subject"))
        paper.y += 0.5
        paper.ink(22, bold=True)
        paper.paragraph(self._words.word("report.title"))
        paper.ink(13, bold=True)
        paper.paragraph(report.clinic, max_lines=2)
        paper.y += 0.6
        paper.ink(self._plan.text, colour=GREY)
        auditor = (
            self._words.word("report.auditor.user", uid=report.auditor_uid)
            if report.auditor_uid
            else self._words.word("report.auditor.root")
        )
        made = self._words.word(
            "report.made",
            when=self._words.moment(report.made_ms),
            host=report.public_host,
            auditor=auditor,
            version=report.versions["vigil"],
        )
        paper.paragraph(f"{made} {self._words.word('report.clock', offset=self._words.offset())}", max_lines=3)
        paper.y += 2.0

    def _answer(self) -> None:
        paper, report = self._paper, self._report
        answer = report.answer
        colour = _ANSWER_COLOUR[answer]
        top, inset, sign = paper.y, 5.0, 12.0
        x, width = MARGIN + inset + sign + 4.0, WIDTH - 2 * inset - sign - 4.0
        paper.ink(16, bold=True, colour=colour)
        large = paper.broken_into(self._answer_large(), width)
        height = len(large) * paper.line_height
        paper.ink(self._plan.text)
        small = [line for text in self._answer_more() for line in paper.broken_into(text, width)]
        height += 1.5 + len(small) * paper.line_height + 7.0
        with paper.local_context():
            paper.set_draw_color(*colour)
            paper.set_line_width(0.9)
            paper.set_fill_color(*PALE)
            paper.rect(MARGIN, top, WIDTH, height, style="DF")
        paper.mark(MARGIN + inset, top + 4.0, sign, _ANSWER_SIGN[answer])
        paper.y = top + 3.5
        paper.ink(16, bold=True, colour=colour)
        for line in large:
            paper.put(x, paper.y, line)
            paper.y += paper.line_height
        paper.y += 1.5
        paper.ink(self._plan.text)
        for line in small:
            paper.put(x, paper.y, line)
            paper.y += paper.line_height
        paper.y = top + height + 1.5

    def _answer_large(self) -> str:
        report = self._report
        if report.answer == "holds":
            past = report.period is not None and report.period.breaks
            return self._words.word("report.answer.holds-now" if past else "report.answer.holds")
        if report.answer == "incomplete":
            return self._words.word("report.answer.incomplete")
        return self._words.word("report.answer.broken" if report.broken else "report.answer.chain")

    def _answer_more(self) -> list[str]:
        report, period = self._report, self._report.period
        more = []
        counts = {"holding": report.holding, "rows": len(ROWS)}
        if report.answer == "holds":
            more.append(self._words.word("report.answer.holds.more", **counts))
        if report.broken:
            more.append(self._words.word("report.answer.broken.more", names=self._named(report.broken)))
        if report.chain is not None and not report.chain.ok:
            if report.broken:
                more.append(self._words.word("report.answer.chain"))
            more.append(self._words.word("report.answer.chain.more"))
        if report.skipped:
            more.append(self._words.word("report.answer.incomplete.more", names=self._named(report.skipped), **counts))
        if report.impossible:
            more.append(self._words.word("report.answer.impossible", names=self._named(report.impossible)))
        if period is not None and period.breaks:
            more.append(
                self._words.word(
                    "report.answer.past", breaks=len(period.breaks), duration=self._words.span(period.broken_ms)
                )
            )
        if period is not None and period.unknown_ms:
            more.append(self._words.word("report.answer.unknown", duration=self._words.span(period.unknown_ms)))
        return more

    def _named(self, findings: Sequence[Finding], most: int = 4) -> str:
        names = [
            self._words.word("report.row.named", row=each.row, name=row_name(self._words.language, each.row))
            for each in findings
        ]
        if len(names) > most:
            names = [*names[: most - 1], self._words.word("report.list.more", count=len(names) - most + 1)]
        return self._words.word("report.list.and").join(filter(None, [", ".join(names[:-1]), names[-1]]))

    def _period(self) -> None:
        paper, period = self._paper, self._report.period
        if period is None:
            paper.heading(self._words.word("report.period.none"))
            paper.ink(self._plan.text)
            paper.paragraph(self._words.word("report.period.none.text"))
            return
        start, end = (self._words.moment(each) for each in (period.from_ms, period.to_ms))
        paper.heading(self._words.word("report.period", start=start, end=end))
        parts = self._parts(period)
        paper.shares([(ms, sign) for ms, sign, _ in parts], 4.5)
        paper.y += 1.4
        x = MARGIN
        whole = period.to_ms - period.from_ms
        for ms, sign, name in parts:
            paper.share(x, paper.y + 0.3, 3.6, 2.8, sign)
            paper.ink(8.0, bold=True)
            paper.put(x + 4.8, paper.y, self._words.share(ms, whole))
            paper.ink(8.0)
            paper.put(x + 4.8, paper.y + paper.line_height, name)
            paper.ink(8.0, colour=GREY)
            paper.put(x + 4.8, paper.y + 2 * paper.line_height, self._words.span(ms))
            x += WIDTH / len(parts)
        paper.y += 3 * paper.line_height

    def _parts(self, period: Period) -> list[tuple[int, Sign, str]]:
        return [
            (period.held_ms, "holds", self._words.word("report.period.held")),
            (period.broken_ms, "broken", self._words.word("report.period.broken")),
            (period.off_ms, "off", self._words.word("report.period.off")),
            (period.unknown_ms, "not_checked", self._words.word("report.period.unknown")),
        ]

    def _breaks(self) -> None:
        paper, period = self._paper, self._report.period
        paper.heading(self._words.word("report.breaks"))
        paper.ink(self._plan.text)
        if period is None or not period.breaks:
            paper.paragraph(self._words.word("report.breaks.none" if period is not None else "report.breaks.unknown"))
            return
        newest = sorted(period.breaks, key=lambda each: (each.to_ms is not None, -each.from_ms))
        listed = sorted(newest[: self._plan.breaks], key=lambda each: each.from_ms)
        widths = (9.0, 79.0, 32.0, 32.0, WIDTH - 152.0)
        head = [self._words.word(f"report.breaks.head.{each}") for each in ("row", "what", "from", "to", "duration")]
        paper.columns(widths, head, [self._break(each, period) for each in listed], self._plan.text - 0.5)
        left = newest[self._plan.breaks :]
        if left:
            total = self._words.span(sum((each.to_ms or period.to_ms) - each.from_ms for each in left))
            paper.y += 0.6
            paper.ink(self._plan.text - 0.5, colour=GREY)
            paper.paragraph(self._words.word("report.breaks.more", count=len(left), duration=total))

    def _break(self, each: Break, period: Period) -> Row:
        end = self._words.short(each.to_ms) if each.to_ms is not None else self._words.word("report.breaks.open")
        cells = [
            Cell(str(each.row), bold=True),
            Cell(row_name(self._words.language, each.row), max_lines=2),
            Cell(self._words.short(each.from_ms)),
            Cell(end, bold=each.to_ms is None),
            Cell(self._words.span((each.to_ms if each.to_ms is not None else period.to_ms) - each.from_ms)),
        ]
        return Row(cells, told(self._words.language, each.why), self._plan.note_lines, note_indent=9.0)

    def _cameras(self) -> None:
        paper, cameras = self._paper, self._report.cameras
        paper.heading(self._words.word("report.cameras", count=len(cameras)))
        if not cameras:
            paper.ink(self._plan.text)
            paper.paragraph(self._words.word("report.cameras.none"))
            return
        worst_first = sorted(
            cameras, key=lambda each: min((_WORST_FIRST[one.verdict] for one in each.findings), default=1)
        )
        listed = set(map(id, worst_first[: self._plan.cameras]))
        widths = (58.0, WIDTH - 58.0 - 2 * 31.0, 31.0, 31.0)
        head = [self._words.word(f"report.cameras.head.{each}") for each in ("name", "address", "storage", "direct")]
        paper.ink(self._plan.text - 0.5)
        rows = [self._camera(each) for each in cameras if id(each) in listed]
        paper.columns(widths, head, rows, self._plan.text - 0.5)
        if len(cameras) > len(rows):
            paper.y += 0.6
            paper.ink(self._plan.text - 0.5, colour=GREY)
            paper.paragraph(self._words.word("report.cameras.more", count=len(cameras) - len(rows)))

    def _camera(self, camera: Camera) -> Row:
        found = {each.row: each for each in camera.findings}
        cells = [
            Cell(f"{camera.name} ({camera.bay})", bold=True, max_lines=2),
            Cell(camera.address, max_lines=2),
            self._camera_cell(found.get(12), good="report.no", bad="report.yes"),
            self._camera_cell(found.get(13), good="report.yes", bad="report.no"),
        ]
        why = [one for row in (12, 13) if row in found for one in found[row].why]
        return Row(cells, told(self._words.language, why), self._plan.note_lines)

    def _camera_cell(self, found: Finding | None, *, good: str, bad: str) -> Cell:
        if found is None or found.verdict == "not_checked":
            return Cell(self._words.word("report.unchecked"), "not_checked")
        is_good = found.verdict == "holds"
        return Cell(self._words.word(good if is_good else bad), found.verdict, bold=not is_good)

    def _duties(self) -> None:
        paper = self._paper
        paper.heading(self._words.word("report.duties"))
        paper.ink(self._plan.text)
        paper.paragraph(self._words.word("report.duties.text"))
        paper.y += 0.6
        for duty in self._report.duties:
            paper.box(MARGIN, paper.y + 0.3, 3.4)
            what, setting = (told(self._words.language, [said(f"duty.{duty}.{part}")]) for part in ("what", "do"))
            for text, bold in ((what, True), (setting, False)):
                paper.ink(self._plan.text, bold=bold)
                paper.paragraph(text, x=MARGIN + 6.0, width=WIDTH - 6.0, max_lines=self._plan.duty_lines)
            paper.y += 0.8

    def _signature(self) -> None:
        paper = self._paper
        paper.heading(self._words.word("report.sign"))
        paper.ink(self._plan.text)
        paper.paragraph(self._words.word("report.sign.text"))
        paper.y += 9.0
        gap = 5.0
        x = MARGIN
        for name, width in (("place", 38.0), ("date", 26.0), ("name", 55.0), ("signature", WIDTH - 119.0 - 3 * gap)):
            with paper.local_context():
                paper.set_draw_color(*INK)
                paper.line(x, paper.y, x + width, paper.y)
            paper.ink(7.5, colour=GREY)
            paper.put(x, paper.y + 0.6, self._words.word(f"report.sign.{name}"))
            x += width + gap
        paper.y += 5.0
