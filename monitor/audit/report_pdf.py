"""The page for the file: two sheets that a person without technical training can follow.

Page 1 (`report_front`) answers the question; page 2 (`report_checks`) has every check. The signed report itself is
attached. This module must never give a page whose words run over its foot, nor two files for one report: the same
report, key and language give the same bytes.
"""

from __future__ import annotations

from monitor.audit.report import Report
from monitor.audit.report_checks import ChecksPage, ChecksPlan
from monitor.audit.report_front import FrontPage, FrontPlan
from monitor.audit.report_paper import Paper
from monitor.audit.report_words import Words
from monitor.evidence.words import Language

ATTACHMENT = "vigil-report.json"

# The first that fits on its page is taken. The last of each fits whatever there is to be said (a test tries).
_FRONTS = (
    FrontPlan(text=10.0, breaks=12, cameras=12, note_lines=3, duty_lines=9),
    FrontPlan(text=9.5, breaks=12, cameras=12, note_lines=3, duty_lines=9),
    FrontPlan(text=9.0, breaks=12, cameras=12, note_lines=2, duty_lines=9),
    FrontPlan(text=8.5, breaks=8, cameras=12, note_lines=2, duty_lines=9),
    FrontPlan(text=8.0, breaks=6, cameras=12, note_lines=1, duty_lines=8),
    FrontPlan(text=7.5, breaks=5, cameras=10, note_lines=1, duty_lines=6),
    FrontPlan(text=7.5, breaks=4, cameras=8, note_lines=0, duty_lines=6),
    FrontPlan(text=7.0, breaks=3, cameras=8, note_lines=0, duty_lines=4),
    FrontPlan(text=7.0, breaks=2, cameras=4, note_lines=0, duty_lines=2),
)
_CHECKS = (
    ChecksPlan(text=9.0, seen_lines=5, why_lines=9),
    ChecksPlan(text=8.5, seen_lines=4, why_lines=8),
    ChecksPlan(text=8.0, seen_lines=4, why_lines=7),
    ChecksPlan(text=7.5, seen_lines=3, why_lines=6),
    ChecksPlan(text=7.0, seen_lines=3, why_lines=5),
    ChecksPlan(text=7.0, seen_lines=2, why_lines=3),
    ChecksPlan(text=6.5, seen_lines=1, why_lines=2),
    ChecksPlan(text=6.0, seen_lines=1, why_lines=1),
)


def render(report: Report, language: Language, public: str, envelope: bytes) -> bytes:
    """The page as a PDF, the signed `envelope` embedded in it; `public` is the key (hex) that signs it.

    Raises KeyError where a word is missing in `language`."""
    words = Words(language, report.utc_offset_minutes)
    front = next(
        (each for each in _FRONTS if FrontPage(_paper(report, words), report, words, each).fits),
        _FRONTS[-1],
    )
    checks = next(
        (each for each in _CHECKS if ChecksPage(_paper(report, words), report, words, each, public).fits),
        _CHECKS[-1],
    )
    paper = _paper(report, words)
    FrontPage(paper, report, words, front)
    ChecksPage(paper, report, words, checks, public)
    paper.footers(f"{report.clinic}, {words.moment(report.made_ms)}", words.word("report.page", page="{}", pages="{}"))
    paper.embed_file(
        bytes=envelope, basename=ATTACHMENT, mime_type="application/json", desc=words.word("report.subject")
    )
    return paper.whole()


def _paper(report: Report, words: Words) -> Paper:
    title = f"{words.word('report.title')} {report.clinic}"
    return Paper(title=title, author=report.clinic, language=words.language, made_ms=report.made_ms)
