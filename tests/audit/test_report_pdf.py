"""The page for the file: everything that must stand on it does, in both languages, on two pages and within them."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor.audit.report import Break, Camera, Period, Report, told
from monitor.audit.report_paper import BOTTOM, MARGIN, WIDTH, Paper, printable
from monitor.audit.report_pdf import ATTACHMENT, render
from monitor.audit.report_words import Words
from monitor.audit.signed_report import sign, write
from monitor.evidence.finding import broken, said
from monitor.evidence.keys import fingerprint, public_hex
from monitor.evidence.words import LANGUAGES, Language, row_how, row_name, word
from tests.audit.sample_reports import (
    ALL,
    BREAKS,
    MADE,
    broken_report,
    camera,
    incomplete_report,
    large_report,
    period,
    report,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = public_hex(KEY)
POINT = 72 / 25.4

_SHOWN = re.compile(rb"BT ([\d.]+) (-?[\d.]+) Td \(((?:[^()\\]|\\.)*)\) Tj", re.DOTALL)
_STREAM = re.compile(rb"stream\n(.*?)\nendstream", re.DOTALL)


@cache
def worst_pdf(language: Language) -> bytes:
    return pdf_of(worst(), language)


def pdf_of(made: Report, language: Language) -> bytes:
    return render(made, language, PUBLIC, sign(made, KEY))


def lines_of(pdf: bytes) -> list[list[tuple[float, float, str]]]:
    """The words of each page with their places (mm from the left and from the top)."""
    pages = []
    for stream in _STREAM.findall(pdf):
        shown = _SHOWN.findall(stream)
        if shown:
            pages.append([(float(x) / POINT, 297 - float(y) / POINT, _text(text)) for x, y, text in shown])
    return pages


def _text(literal: bytes) -> str:
    return re.sub(rb"\\(.)", rb"\1", literal, flags=re.DOTALL).decode("cp1252")


def squeezed(text: str) -> str:
    """Without spaces: a line may end anywhere."""
    return "".join(printable(text).split())


def words_of(pdf: bytes) -> str:
    return squeezed(" ".join(text for page in lines_of(pdf) for _, _, text in page))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ALL)
def test_two_pages_with_all_that_matters(name: str, language: Language) -> None:
    made = ALL[name]()
    pdf = pdf_of(made, language)
    pages = lines_of(pdf)
    assert len(pages) == 2
    shown = words_of(pdf)
    words = Words(language, 60)

    must = [
        word(language, "report.title"),
        made.clinic,
        made.public_host,
        words.moment(MADE),
        PUBLIC,
        fingerprint(PUBLIC),
        made.versions["vigil"],
        made.versions["program"],
        "ab" * 32,
        "vigil audit verify",
        ATTACHMENT,
        word(language, "report.page", page=1, pages=2),
        word(language, "report.page", page=2, pages=2),
        *(word(language, f"report.sign.{each}") for each in ("text", "place", "date", "name", "signature")),
        *(word(language, f"report.period.{each}") for each in ("held", "broken", "off", "unknown")),
        *(f"{each} = {value}" for each, value in made.settings.items()),
    ]
    for duty in made.duties:
        must += [word(language, f"duty.{duty}.what"), word(language, f"duty.{duty}.do")]
    for each in made.cameras:
        must += [f"{each.name} ({each.bay})", each.address]
    assert made.period is not None
    for one in made.period.breaks:
        must += [row_name(language, one.row), words.short(one.from_ms)]
        must.append(words.short(one.to_ms) if one.to_ms is not None else word(language, "report.breaks.open"))
        must.append(words.span((one.to_ms or MADE) - one.from_ms))
    missing = [each for each in must if squeezed(each) not in shown]
    assert not missing


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ALL)
def test_every_row_has_its_number_name_verdict_and_reason(name: str, language: Language) -> None:
    made = ALL[name]()
    second = lines_of(pdf_of(made, language))[1]
    column = {text for x, _, text in second if abs(x - MARGIN) < 0.1}
    assert {str(row) for row in range(1, 21)} <= column
    shown = squeezed(" ".join(text for _, _, text in second))
    verdicts = {
        "holds": word(language, "report.verdict.holds"),
        "broken": word(language, "report.verdict.broken"),
        "not_checked": word(language, "report.verdict.not-checked"),
    }
    texts = [text for _, _, text in second]
    for verdict, its_word in verdicts.items():
        assert texts.count(its_word) == sum(each.verdict == verdict for each in made.findings), its_word
    for found in made.findings:
        assert squeezed(row_name(language, found.row)) in shown
        for why in found.why:
            assert squeezed(told(language, [why])) in shown, why


def test_the_words_of_every_row_are_known() -> None:
    assert all(row_name(language, row) and row_how(language, row) for language in LANGUAGES for row in range(1, 21))


@pytest.mark.parametrize(
    ("made", "key", "never"),
    [
        (report(), "report.answer.holds", ["report.answer.broken", "report.answer.incomplete"]),
        (report(period=period(*BREAKS[:2])), "report.answer.holds-now", ["report.answer.holds"]),
        (broken_report(), "report.answer.broken", ["report.answer.holds", "report.answer.holds-now"]),
        (incomplete_report(), "report.answer.incomplete", ["report.answer.holds", "report.answer.holds-now"]),
        (
            report(chain=report().chain.model_copy(update={"ok": False})),  # type: ignore[union-attr]
            "report.answer.chain",
            ["report.answer.holds", "report.answer.holds-now"],
        ),
        (large_report(), "report.answer.broken", ["report.answer.holds"]),
    ],
    ids=["holds", "held-not-always", "broken", "incomplete", "chain", "large"],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_answer_says_what_was_proved_and_no_more(
    made: Report, key: str, never: list[str], language: Language
) -> None:
    shown = words_of(pdf_of(made, language))
    assert squeezed(word(language, key)) in shown
    for each in never:
        assert squeezed(word(language, each)) not in shown


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_cannot_be_shown_of_the_period_is_said(language: Language) -> None:
    words = Words(language, 60)
    shown = words_of(pdf_of(broken_report(), language))
    assert squeezed(word(language, "report.answer.unknown", duration=words.span(7_440_000))) in shown
    shown = words_of(pdf_of(report(period=None, chain=None, canary=None), language))
    for key in ("report.period.none.text", "report.breaks.unknown", "report.chain.none", "report.canary.none"):
        assert squeezed(word(language, key)) in shown
    assert squeezed(word(language, "report.breaks.none")) not in shown


def test_a_camera_that_was_not_asked_is_not_shown_as_one_that_does_not_store() -> None:
    texts = [text for _, _, text in lines_of(pdf_of(report(cameras=(camera(1),)), "en"))[0]]
    assert texts.count("no") == texts.count("yes") == 1
    unasked = Camera(bay="x", name="X", address="rtsp://192.0.2.1/")
    texts = [text for _, _, text in lines_of(pdf_of(report(cameras=(unasked,)), "en"))[0]]
    assert texts.count("not checked") == 2
    assert "no" not in texts


def worst() -> Report:
    """More of everything than there is room for, in words that cannot be broken."""
    wide = "W" * 64
    why = [said("process.file", pid=1, path="/" + "W" * 480) for _ in range(10)]
    rows = []
    for row in range(1, 21):
        found = broken(row, why[0], *why)
        rows.append(type(found)(row, "broken", found.seen, tuple(why)))
    breaks = tuple(
        Break(row=1 + number % 20, from_ms=number * 1000, to_ms=number * 1000 + 900, why=tuple(why[:5]))
        for number in range(200)
    )
    return report(
        clinic="Ø" * 200,
        public_host="h" * 250,
        findings=tuple(rows),
        cameras=tuple(
            Camera(
                bay=f"{wide[:55]}{number:03}", name=wide, address=f"rtsp://{'W' * 400}/", findings=(rows[11], rows[12])
            )
            for number in range(60)
        ),
        period=Period(from_ms=0, to_ms=10**12, held_ms=1, broken_ms=10**12 - 3, off_ms=1, unknown_ms=1, breaks=breaks),
        versions={"vigil": "W" * 100, "program": "0" * 64} | {f"{wide[:50]}{n}": "W" * 100 for n in range(60)},
        settings={f"{wide[:50]}{n}": "W" * 100 for n in range(20)},
        chain=report().chain.model_copy(update={"ok": False, "words": tuple(why)}),  # type: ignore[union-attr]
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [*ALL, "worst"])
def test_nothing_runs_over_a_pages_edge(name: str, language: Language) -> None:
    pages = lines_of(worst_pdf(language) if name == "worst" else pdf_of(ALL[name](), language))
    assert len(pages) == 2
    for page in pages:
        body, foot = page[:-2], page[-2:]
        assert all(y > BOTTOM for _, y, _ in foot)
        assert max(y for _, y, _ in body) <= BOTTOM
        assert min(x for x, _, _ in page) >= MARGIN - 0.01


Box = tuple[float, float, float, float, str]


def boxes_of(made: Report, language: Language, monkeypatch: pytest.MonkeyPatch) -> list[list[Box]]:
    """What each piece of text covers on the finished pages: left, top, right, bottom (mm)."""
    pages: dict[tuple[Paper, int], list[Box]] = {}
    put = Paper.put

    def noted(self: Paper, x: float, y: float, text: str) -> None:
        box = (x, y, x + self.get_string_width(text), y + self.font_size, text)
        pages.setdefault((self, self.page), []).append(box)
        put(self, x, y, text)

    kept: list[Paper] = []
    monkeypatch.setattr(Paper, "put", noted)
    monkeypatch.setattr(Paper, "whole", lambda self: kept.append(self) or b"")
    pdf_of(made, language)
    return [pages[kept[0], number] for number in (1, 2)]


def overlapping(boxes: list[Box]) -> list[tuple[str, str]]:
    return [
        (a[4], b[4])
        for number, a in enumerate(boxes)
        for b in boxes[number + 1 :]
        if a[0] < b[2] - 0.1 and b[0] < a[2] - 0.1 and a[1] < b[3] - 0.1 and b[1] < a[3] - 0.1
    ]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [*ALL, "worst"])
def test_no_words_cover_others_or_leave_the_page(
    name: str, language: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = boxes_of(worst() if name == "worst" else ALL[name](), language, monkeypatch)
    assert len(pages) == 2
    for boxes in pages:
        assert len(boxes) > 40
        assert not overlapping(boxes)
        assert max(box[2] for box in boxes) <= MARGIN + WIDTH + 0.1


def test_words_that_cover_others_would_be_seen() -> None:
    one: Box = (10.0, 10.0, 40.0, 13.0, "one")
    assert overlapping([one, (30.0, 11.0, 60.0, 14.0, "two")]) == [("one", "two")]
    assert not overlapping([one, (41.0, 11.0, 60.0, 14.0, "beside"), (10.0, 13.5, 40.0, 16.0, "below")])


def test_a_row_that_runs_over_would_be_seen() -> None:
    """The negative control of the test above: without plans, the worst report does run over."""
    from monitor.audit import report_pdf

    made = worst()
    pages = []
    for plans in (report_pdf._FRONTS, report_pdf._CHECKS):
        words = Words("da", 0)
        paper = report_pdf._paper(made, words)
        if plans is report_pdf._FRONTS:
            report_pdf.FrontPage(paper, made, words, report_pdf._FRONTS[0])
        else:
            report_pdf.ChecksPage(paper, made, words, report_pdf._CHECKS[0], PUBLIC)
        pages += lines_of(paper.whole())
    assert all(max(y for _, y, _ in page) > BOTTOM for page in pages)


def test_what_there_is_no_room_for_is_counted() -> None:
    shown = words_of(worst_pdf("en"))
    listed = int(re.findall(r"Earlierbreaks:(\d+)", shown)[0])
    assert 190 <= listed < 200
    assert 48 <= int(re.findall(r"Furthercameras:(\d+)", shown)[0]) < 60


def test_the_same_report_gives_the_same_bytes() -> None:
    assert pdf_of(broken_report(), "da") == pdf_of(broken_report(), "da")
    assert pdf_of(broken_report(), "da") != pdf_of(broken_report(), "en")


def test_no_font_and_no_picture_is_embedded_and_nothing_is_fetched() -> None:
    pdf = pdf_of(report(), "da")
    assert b"/FontFile" not in pdf
    assert b"/Subtype /Image" not in pdf
    assert b"/URI" not in pdf
    assert set(re.findall(rb"/BaseFont /(\S+)", pdf)) == {b"Helvetica", b"Helvetica-Bold"}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Æblehøj på Ærø, €100 – „fint“ …", "Æblehøj på Ærø, €100 – „fint“ …"),
        ("Łódź Đakovo İzmir", "Lódz Dakovo Izmir"),
        ("e\u0301", "é"),
        ("a→b ≤ c", "a->b <= c"),
        ("日本", "??"),
        ("a\x00b\x1bc\u200bd", "a?b?cd"),
        ("line\nline", "line line"),
    ],
)
def test_letters_that_helvetica_lacks(given: str, shown: str) -> None:
    assert printable(given) == shown
    printable(given).encode("cp1252")


def test_danish_letters_stand_in_the_file() -> None:
    pdf = pdf_of(large_report(), "da")
    assert "Privathospitalet Sankt Ægidius af Løgstør".encode("cp1252") in pdf
    assert squeezed("Opvågningsafsnit Øst, leje ved vinduet mod gården, Æblehaven 4 (leje-4)") in words_of(pdf)


def test_lines_are_no_wider_than_they_may_be() -> None:
    paper = Paper(title="t", author="a", language="da", made_ms=0)
    paper.add_page()
    paper.ink(9)
    text = "et to tre " * 30 + "W" * 200 + " slut"
    lines = paper.broken_into(text, 60.0)
    assert all(paper.get_string_width(line) <= 60.0 for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    cut = paper.broken_into(text, 60.0, 3)
    assert len(cut) == 3
    assert cut[-1].endswith("…")
    assert paper.get_string_width(cut[-1]) <= 60.0
    assert paper.broken_into("kort", 60.0, 1) == ["kort"]


@pytest.mark.parametrize(
    ("ms", "da", "en"),
    [
        (0, "0 s", "0 s"),
        (1, "under 1 s", "less than 1 s"),
        (59_999, "59 s", "59 s"),
        (61_000, "1 min 1 s", "1 min 1 s"),
        (3_600_000, "1 t", "1 h"),
        (3_605_000, "1 t", "1 h"),
        (86_400_000, "1 døgn", "1 day"),
        (2 * 86_400_000 + 4 * 3_600_000 + 59, "2 døgn 4 t", "2 days 4 h"),
    ],
)
def test_spans(ms: int, da: str, en: str) -> None:
    assert Words("da", 0).span(ms).replace("\xa0", " ") == da
    assert Words("en", 0).span(ms).replace("\xa0", " ") == en


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 10, "0 %"),
        (10, 10, "100 %"),
        (999_999_999, 1_000_000_000, "99,99 %"),
        (1, 1_000_000_000, "under 0,01 %"),
        (1, 3, "33,33 %"),
        (0, 0, "-"),
    ],
)
def test_shares_are_never_better_than_they_are(part: int, whole: int, shown: str) -> None:
    assert Words("da", 0).share(part, whole).replace("\xa0", " ") == shown


def test_moments_and_amounts() -> None:
    da, en = Words("da", 60), Words("en", -330)
    assert da.moment(MADE) == "24. november 2026 kl. 19.53"
    assert da.short(MADE) == "24.11.2026 19.53.07"
    assert (da.offset(), en.offset()) == ("+1", "-5:30")
    assert en.moment(MADE) == "24 November 2026, 13:23"
    assert en.short(MADE) == "24 Nov 2026 13:23:07"
    assert (da.count(1_234_567), en.count(1_234_567)) == ("1.234.567", "1,234,567")
    assert [da.octets(each).replace("\xa0", " ") for each in (12, 1_999, 1_999_999_999)] == [
        "12 byte",
        "1,9 kB",
        "1,9 GB",
    ]


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler-utils is not installed")
def test_another_reader_finds_the_words_and_the_attachment(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    write(broken_report(), KEY, path, "da")
    read = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, text=True, check=True)
    assert not read.stderr
    assert word("da", "report.title") in read.stdout
    assert "CT Klinikken A/S" in read.stdout
    assert "Øjebliksbilleder" in read.stdout
    subprocess.run(["pdfdetach", "-saveall", "-o", str(tmp_path), str(path)], check=True, capture_output=True)
    assert (tmp_path / ATTACHMENT).read_bytes() == sign(broken_report(), KEY)
