"""How a report writes moments, spans, shares and amounts, in Danish and in English.

It must never make something look better than it is: a share is rounded down, so that 100 % is the whole of it.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from monitor.evidence.finding import Value
from monitor.evidence.words import Language, word

_MONTHS: dict[Language, tuple[str, ...]] = {
    "da": ("januar", "februar", "marts", "april", "maj", "juni", "juli", "august", "september", "oktober", "november",
           "december"),
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
           "December"),
}  # fmt: skip
_UNITS: dict[Language, tuple[str, str, str, str]] = {
    "da": ("døgn", "t", "min", "s"),
    "en": ("days", "h", "min", "s"),
}
_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000


class Words:
    """A language and a clock (minutes east of UTC)."""

    def __init__(self, language: Language, utc_offset_minutes: int) -> None:
        self.language = language
        self._zone = timezone(timedelta(minutes=utc_offset_minutes))
        self._offset = utc_offset_minutes

    def word(self, key: str, **values: Value) -> str:
        """One sentence."""
        return word(self.language, key, **values)

    def moment(self, ms: int) -> str:
        """`24. november 2026 kl. 18.53`."""
        at = datetime.fromtimestamp(ms // 1000, tz=self._zone)
        month = _MONTHS[self.language][at.month - 1]
        if self.language == "da":
            return f"{at.day}. {month} {at.year} kl. {at:%H.%M}"
        return f"{at.day} {month} {at.year}, {at:%H:%M}"

    def short(self, ms: int) -> str:
        """`24.11.2026 18.53.07`: for tables."""
        at = datetime.fromtimestamp(ms // 1000, tz=self._zone)
        if self.language == "da":
            return f"{at:%d.%m.%Y %H.%M.%S}"
        return f"{at.day} {_MONTHS['en'][at.month - 1][:3]} {at:%Y %H:%M:%S}"

    def offset(self) -> str:
        """`+1` or `+5:30`: what the clock is ahead of UTC."""
        hours, minutes = divmod(abs(self._offset), 60)
        return f"{'-' if self._offset < 0 else '+'}{hours}" + (f":{minutes:02d}" if minutes else "")

    def span(self, ms: int) -> str:
        """`2 døgn 4 t`: the two greatest units that are there. A span that is not nothing is never `0 s`."""
        if 0 < ms < _SECOND:
            return f"{'under' if self.language == 'da' else 'less than'} 1 s"
        left, parts = ms, []
        for size, unit in zip((_DAY, _HOUR, _MINUTE, _SECOND), _UNITS[self.language], strict=True):
            count, left = divmod(left, size)
            if count:
                name = "day" if unit == "days" and count == 1 else unit
                parts.append(f"{count}\xa0{name}")
            elif parts:
                break
            if len(parts) == 2:
                break
        return " ".join(parts) or "0\xa0s"

    def share(self, part: int, whole: int) -> str:
        """`99,97 %`, rounded down; what is there but under a hundredth is said to be."""
        if not whole:
            return "-"
        if part in {0, whole}:
            return f"{100 if part else 0}\xa0%"
        hundredths = part * 10_000 // whole
        if not hundredths:
            return f"under {self._number(1)}\xa0%"
        return f"{self._number(hundredths)}\xa0%"

    def _number(self, hundredths: int) -> str:
        return f"{hundredths // 100}{',' if self.language == 'da' else '.'}{hundredths % 100:02d}"

    def count(self, number: int) -> str:
        """`1.234.567`, as the language groups digits."""
        grouped = f"{number:,}"
        return grouped.replace(",", ".") if self.language == "da" else grouped

    def octets(self, number: int) -> str:
        """`12,3 MB`."""
        for factor, unit in ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")):
            if number >= factor:
                tenths = number * 10 // factor
                return f"{tenths // 10}{',' if self.language == 'da' else '.'}{tenths % 10}\xa0{unit}"
        return f"{number}\xa0{'byte' if self.language == 'da' or number == 1 else 'bytes'}"
