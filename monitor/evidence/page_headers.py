"""What the server's answers forbid browsers: to keep anything, to run foreign code, to capture the screen or to lift a
picture out of the page (GUARANTEE.md row 11).

It must never pass a header for its name alone: its value is read as the standards define it (RFC 9111 section 5.2.2,
CSP level 3 section 2.2, Permissions Policy section 5.2, Fetch section 3.6).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitor.evidence.finding import Finding, Said, broken, holds, said, skipped

ROW = 11
NAMED = 5
"""How many faults are named."""

REFUSED_FEATURES = ("camera", "display-capture", "microphone", "picture-in-picture")
"""Each must stand in Permissions-Policy with an empty list: nobody may use it, not even our own page."""
SOURCES = frozenset({"'none'", "'self'"})
"""All that a fetch directive may allow."""
OTHER_LISTS = frozenset({"base-uri", "form-action", "frame-ancestors"})
"""Directives whose values are lists of sources, beside those whose names end in -src, -src-elem or -src-attr."""


def judge_headers(answers: Mapping[str, Mapping[str, str]]) -> list[Finding]:
    """Findings of row 11: `answers` is address → headers (names in any case), pages and answers of the API alike;
    empty where there is no server to ask."""
    if not answers:
        return [skipped(ROW, said("browser.not-served"))]
    faults = [fault for address, headers in sorted(answers.items()) for fault in _faults(address, headers)]
    if faults:
        return [broken(ROW, fault) for fault in faults[:NAMED]]
    return [holds(ROW, said("browser.headers", count=len(answers)))]


def _faults(address: str, headers: Mapping[str, str]) -> Iterator[Said]:
    known = {name.lower(): value for name, value in headers.items()}

    def fault(header: str, wanted: str) -> Said:
        return said(
            "browser.header", address=address, header=header, found=known.get(header.lower(), "–"), wanted=wanted
        )

    kept = {directive.strip().lower() for directive in known.get("cache-control", "").split(",")}
    if "no-store" not in kept:
        yield fault("Cache-Control", "no-store")
    if known.get("x-content-type-options", "").strip().lower() != "nosniff":
        yield fault("X-Content-Type-Options", "nosniff")
    open_features = [name for name in REFUSED_FEATURES if not _is_refused(name, known.get("permissions-policy", ""))]
    if open_features:
        yield fault("Permissions-Policy", ", ".join(f"{name}=()" for name in open_features))
    wanted = _lacking(known.get("content-security-policy", ""))
    if wanted:
        yield fault("Content-Security-Policy", wanted)


def _is_refused(feature: str, policy: str) -> bool:
    """Whether every word of a Permissions-Policy (a dictionary, RFC 8941) on a feature is the empty list."""
    words = [entry.partition("=") for entry in policy.split(",")]
    values = [value.strip() for name, _, value in words if name.strip() == feature]
    return bool(values) and all(value == "()" for value in values)


def _lacking(header: str) -> str:
    """What a Content-Security-Policy would have to say and does not; empty where it is strict enough. Where there are
    several policies, each has to be."""
    for policy in header.split(","):
        directives: dict[str, list[str]] = {}
        for words in (part.split() for part in policy.lower().split(";")):
            if words:
                directives.setdefault(words[0], words[1:])  # CSP: the first of a name counts
        for name in ("default-src", "base-uri", "frame-ancestors"):
            if name not in directives:
                return f"{name} 'none'"
        for name, values in directives.items():
            lists_sources = name in OTHER_LISTS or "-src" in name
            if lists_sources and not SOURCES.issuperset(values):
                return f"{name} 'self'"
        if directives["default-src"] != ["'none'"]:
            return "default-src 'none'"
    return ""
