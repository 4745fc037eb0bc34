"""Paper: an A4 page in Helvetica on which words are broken into lines, tables keep their columns, and a verdict has a
form as well as a colour, so that a copy in black and white says the same.

It must never fetch or embed a font (the PDF's own 14 are enough for Danish and English), and never drop a character
without a sign: what Helvetica cannot show is written with its nearest letters, else as `?`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

from fpdf import FPDF

MARGIN = 14.0
"""mm on all sides."""
WIDTH = 210.0 - 2 * MARGIN
BOTTOM = 297.0 - 13.0

Colour = tuple[int, int, int]
INK: Colour = (20, 24, 28)
GREY: Colour = (92, 99, 107)
LINE: Colour = (188, 194, 200)
GREEN: Colour = (21, 112, 62)
RED: Colour = (176, 24, 24)
AMBER: Colour = (140, 92, 0)
PALE: Colour = (240, 242, 244)
WHITE: Colour = (255, 255, 255)

Sign = Literal["holds", "broken", "not_checked", "off"]
SIGN_COLOUR: dict[Sign, Colour] = {"holds": GREEN, "broken": RED, "not_checked": AMBER, "off": GREY}

_MOST_IN_LINE = 500
"""Letters: even of the narrowest no line on A4 has more."""

_NEAREST = str.maketrans(
    {
        "Ł": "L", "ł": "l", "Đ": "D", "đ": "d", "Ħ": "H", "ħ": "h", "ı": "i", "ĸ": "k", "ŋ": "n", "Ŋ": "N",
        "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "≠": "!=", "−": "-", "‐": "-", "‑": "-", "\u202f": "\xa0",
        "\u2009": " ", "✓": "ok", "✗": "x", "\u200b": "", "\ufeff": "",
    }
)  # fmt: skip


@lru_cache(maxsize=2048)
def printable(text: str) -> str:
    """`text` with nothing but what Helvetica can show (Windows-1252)."""
    found = []
    for each in unicodedata.normalize("NFC", text).translate(_NEAREST):
        if each.isprintable() or each == "\xa0":
            found.append(_letter(each))
        else:
            found.append(" " if each.isspace() else "?")
    return "".join(found)


def _letter(each: str) -> str:
    for attempt in (
        each,
        "".join(one for one in unicodedata.normalize("NFKD", each) if not unicodedata.combining(one)),
    ):
        try:
            attempt.encode("cp1252")
        except UnicodeEncodeError:
            continue
        if attempt:
            return attempt
    return "?"


@dataclass(frozen=True)
class Cell:
    """What stands in a table's cell."""

    text: str
    sign: Sign | None = None
    bold: bool = False
    colour: Colour = INK
    max_lines: int = 99


@dataclass(frozen=True)
class Row:
    """A table's row; `note` stands under its cells, over the whole width but the first column's indent."""

    cells: Sequence[Cell]
    note: str = ""
    note_lines: int = 1
    note_indent: float = 0.0


class Paper(FPDF):
    """A4, written from top to bottom; `y` is where the next thing goes (mm)."""

    def __init__(self, *, title: str, author: str, language: str, made_ms: int) -> None:
        super().__init__(format="A4", unit="mm")
        self.core_fonts_encoding = "windows-1252"
        self.set_compression(False)  # the words can be searched in the file, and what is signed can be read
        self.set_margins(MARGIN, MARGIN, MARGIN)
        self.set_auto_page_break(False)
        self.c_margin = 0
        self.set_title(printable(title))
        self.set_author(printable(author))
        self.set_creator("Vigil")
        self.set_lang(language)
        self.set_creation_date(datetime.fromtimestamp(made_ms // 1000, tz=UTC))
        self.set_draw_color(*LINE)
        self.set_line_width(0.2)

    def footers(self, left: str, number_of: str) -> None:
        """At the foot of each page, when all are there: `left`, and the page's number of all (`number_of` has two
        places for them)."""
        for number in range(1, self.pages_count + 1):
            self.page = number
            self.ink(7.5, colour=GREY)
            text = printable(number_of.format(number, self.pages_count))
            right = float(self.get_string_width(text))
            self.put(MARGIN, 297 - 9.0, self.broken_into(left, WIDTH - right - 6.0, 1)[0])
            self.put(MARGIN + WIDTH - right, 297 - 9.0, text)

    def ink(self, size: float, *, bold: bool = False, colour: Colour = INK, mono: bool = False) -> None:
        """Letters of `size` points from here on."""
        self.set_font("Courier" if mono else "Helvetica", "B" if bold else "", size)
        self.set_text_color(*colour)

    @property
    def line_height(self) -> float:
        """mm from one line to the next at the size of now."""
        return float(self.font_size) * 1.2

    def put(self, x: float, y: float, text: str) -> None:
        """One line of printable text, its upper left corner at x, y."""
        self.text(x, y + float(self.font_size) * 0.85, text)

    def broken_into(self, text: str, width: float, max_lines: int = 99) -> list[str]:
        """`text` as printable lines no wider than `width`; what is beyond `max_lines` ends in `…`."""
        lines: list[str] = []
        room = (max_lines + 1) * _MOST_IN_LINE
        for part in text[:room].split("\n"):
            self._break_part(printable(part), width, lines)
        if len(lines) > max_lines:
            last = lines[max_lines - 1]
            while last and self.get_string_width(f"{last} …") > width:
                last = last.rpartition(" ")[0] or last[:-1]
            lines = [*lines[: max_lines - 1], f"{last} …".strip()]
        return lines

    def _break_part(self, text: str, width: float, lines: list[str]) -> None:
        space = self.get_string_width(" ")
        line, used = "", 0.0
        for word in text.split(" "):
            wide = self.get_string_width(word)  # Helvetica's own widths add up: there is no kerning
            if line and used + space + wide <= width:
                line, used = f"{line} {word}", used + space + wide
                continue
            if line:
                lines.append(line)
            line, used = word, wide
            if wide > width:
                line = self._cut_long(word, width, lines)
                used = self.get_string_width(line)
        lines.append(line)

    def _cut_long(self, word: str, width: float, lines: list[str]) -> str:
        """A word that is wider than a line goes over several, at any letter: a hash, a path."""
        while self.get_string_width(word) > width and len(word) > 1:
            fits = max(1, int(len(word) * width / self.get_string_width(word)))
            while fits > 1 and self.get_string_width(word[:fits]) > width:
                fits -= 1
            lines.append(word[:fits])
            word = word[fits:]
        return word

    def paragraph(self, text: str, *, x: float = MARGIN, width: float = WIDTH, max_lines: int = 99) -> None:
        """Text from `y` down, in the letters of now."""
        for line in self.broken_into(text, width, max_lines):
            self.put(x, self.y, line)
            self.y += self.line_height

    def heading(self, text: str, size: float = 11.5) -> None:
        """A section's title."""
        self.y += size * 0.24
        self.ink(size, bold=True)
        self.put(MARGIN, self.y, printable(text))
        self.y += self.line_height + 0.4

    def columns(self, widths: Sequence[float], head: Sequence[str], rows: Iterable[Row], size: float) -> None:
        """Columns of `widths` mm under their titles, with a line under each row."""
        self._row(widths, Row([Cell(each, bold=True, colour=GREY) for each in head]), size)
        for row in rows:
            self._row(widths, row, size)

    def _row(self, widths: Sequence[float], row: Row, size: float) -> None:
        gap, pad = 2.0, size * 0.075
        broken: list[list[str]] = []
        for width, cell in zip(widths, row.cells, strict=True):
            self.ink(size, bold=cell.bold, colour=cell.colour)
            room = width - gap - (self.font_size + 1.0 if cell.sign else 0.0)
            broken.append(self.broken_into(cell.text, room, cell.max_lines))
        top, x = self.y + pad, MARGIN
        for width, cell, lines in zip(widths, row.cells, broken, strict=True):
            self.ink(size, bold=cell.bold, colour=cell.colour)
            indent = 0.0
            if cell.sign:
                self.mark(x, top + 0.05 * self.font_size, self.font_size, cell.sign)
                indent = self.font_size + 1.0
            for number, line in enumerate(lines):
                self.put(x + indent, top + number * self.line_height, line)
            x += width
        self.y = top + max(map(len, broken)) * self.line_height
        if row.note and row.note_lines:
            self.ink(size)
            start = MARGIN + row.note_indent
            self.paragraph(row.note, x=start, width=sum(widths) - row.note_indent, max_lines=row.note_lines)
        self.y += pad
        self.set_draw_color(*LINE)
        self.line(MARGIN, self.y, MARGIN + sum(widths), self.y)

    def mark(self, x: float, y: float, size: float, sign: Sign) -> None:
        """A verdict's form in a square of `size` mm: a tick in a disc, a cross in a square, a dash in a ring."""
        with self.local_context():
            self.set_line_width(size * 0.13)
            self.set_fill_color(*SIGN_COLOUR[sign])
            self.set_draw_color(*(SIGN_COLOUR[sign] if sign in {"not_checked", "off"} else WHITE))
            if sign == "holds":
                self.circle(x + size / 2, y + size / 2, size / 2, style="F")
                points = [(0.26, 0.52), (0.43, 0.70), (0.75, 0.32)]
                self.polyline([(x + size * a, y + size * b) for a, b in points])
            elif sign == "broken":
                self.rect(x, y, size, size, style="F")
                self.line(x + size * 0.25, y + size * 0.25, x + size * 0.75, y + size * 0.75)
                self.line(x + size * 0.75, y + size * 0.25, x + size * 0.25, y + size * 0.75)
            else:
                inset = size * 0.07
                self.circle(x + size / 2, y + size / 2, size / 2 - inset, style="D")
                self.line(x + size * 0.28, y + size / 2, x + size * 0.72, y + size / 2)

    def box(self, x: float, y: float, size: float) -> None:
        """A square to tick."""
        with self.local_context():
            self.set_draw_color(*INK)
            self.set_line_width(0.35)
            self.rect(x, y, size, size, style="D")

    def shares(self, parts: Sequence[tuple[int, Sign]], height: float) -> None:
        """A bar of the whole width, divided as `parts`; each part has a pattern of its own, and none is too small to
        be seen."""
        parts = [each for each in parts if each[0]]
        whole = sum(each[0] for each in parts)
        least = 1.2
        wide = [max(least, WIDTH * share / whole) for share, _ in parts]
        wide[wide.index(max(wide))] -= sum(wide) - WIDTH
        x = MARGIN
        for width, (_, sign) in zip(wide, parts, strict=True):
            self.share(x, self.y, width, height, sign)
            x += width
        self.y += height

    def share(self, x: float, y: float, width: float, height: float, sign: Sign) -> None:
        """A part of the bar, or its sample: full, crossed out, empty, or with a line through the middle."""
        with self.local_context():
            self.set_draw_color(*INK)
            self.set_line_width(0.2)
            self.set_fill_color(*(SIGN_COLOUR[sign] if sign in {"holds", "broken"} else WHITE))
            self.rect(x, y, width, height, style="DF")
            if sign == "broken":
                self.set_draw_color(*WHITE)
                self.set_line_width(0.3)
                self.line(x, y, x + width, y + height)
                self.line(x, y + height, x + width, y)
            elif sign == "not_checked":
                self.set_dash_pattern(dash=0.8, gap=0.6)
                self.line(x, y + height / 2, x + width, y + height / 2)

    def whole(self) -> bytes:
        """The PDF's bytes."""
        return bytes(self.output())
