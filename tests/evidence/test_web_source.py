"""Row 11: what browsers are given can keep nothing, is what lies on the disk, and comes with headers that forbid the
rest. Each judge is shown a site that is right and sites with one planted fault, which it must find."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.control.headers import HEADERS
from monitor.control.routes_pages import TYPES
from monitor.evidence import page_headers, web_source
from monitor.evidence.finding import Finding, combined
from monitor.evidence.words import LANGUAGES, say_all

FILES = web_source.files_on_disk()


def served(files: dict[str, bytes]) -> dict[str, bytes]:
    """What a server that has these files on its disk sends."""
    return {address: files[name] for address, name in web_source.addresses(files).items()}


def one(findings: list[Finding]) -> Finding:
    """The one finding of row 11; its words exist in both languages."""
    (finding,) = combined(findings)
    assert finding.row == 11
    for language in LANGUAGES:
        assert "{" not in say_all(language, (*finding.seen, *finding.why))
    return finding


def whys(finding: Finding) -> list[str]:
    return [each.key for each in finding.why]


# ---- sources --------------------------------------------------------------------------------------------------------


def test_our_own_pages_hold() -> None:
    finding = one(web_source.judge_sources(served(FILES), FILES))
    assert finding.verdict == "holds", finding
    assert finding.seen[0].values["files"] == len(FILES) > 30


def test_every_kind_that_is_served_is_read() -> None:
    assert set(TYPES) == web_source.SUFFIXES
    assert set(web_source.PAGES.values()) <= set(FILES)
    assert web_source.CODE < web_source.SUFFIXES


@pytest.mark.parametrize(
    ("planted", "why"),
    [
        ("new MediaRecorder(stream)", "browser.capture"),
        ('document.createElement("canvas")', "browser.capture"),
        ("navigator.serviceWorker.register(x)", "browser.capture"),
        ("await caches.open('x')", "browser.capture"),
        ("indexedDB.open('x')", "browser.capture"),
        ("video.requestPictureInPicture()", "browser.capture"),
        ("URL.createObjectURL(blob)", "browser.capture"),
        ("navigator.storage.getDirectory()", "browser.capture"),
        ('import "https://cdn.example/x.js"', "browser.elsewhere"),
        ("import('//cdn.example/x.js')", "browser.elsewhere"),
        ('new WebSocket("wss://other.example/")', "browser.elsewhere"),
        ('new Worker("data:text/javascript,1")', "browser.elsewhere"),
        ("navigator.sendBeacon(x)", "browser.elsewhere"),
    ],
)
def test_a_planted_way_of_keeping_or_sending_is_found(planted: str, why: str) -> None:
    files = FILES | {"planted.js": f"// fine\n{planted};\n".encode()}
    for answers in (served(files), {}):  # with a server, and with the disk alone
        finding = one(web_source.judge_sources(answers, files))
        assert (finding.verdict, whys(finding)[0]) == ("broken", why)
        assert finding.why[0].values["file"] == "planted.js"


@pytest.mark.parametrize("planted", ["@import url(x.css);", "background: url(//cdn.example/x.png)"])
def test_a_style_sheet_that_loads_is_found(planted: str) -> None:
    files = FILES | {"planted.css": planted.encode()}
    assert whys(one(web_source.judge_sources(served(files), files))) == ["browser.elsewhere"]


def test_what_is_harmless_is_not_found() -> None:
    for text in ("// a comment", "a // b", "http://www.w3.org/2000/svg", '{ "data": 1 }', "metadata: x", "cached"):
        assert web_source.forbidden_in(text) == []
        assert web_source.elsewhere_in(text) == [], text


def test_words_are_not_taken_for_code() -> None:
    files = FILES | {"text/da.json": b'{"x": "canvas https://clinic.example"}'}
    assert one(web_source.judge_sources(served(files), files)).verdict == "holds"


def test_a_server_that_sends_something_else_is_found() -> None:
    answers = served(FILES) | {"/": FILES["index.html"] + b"<!-- -->"}
    finding = one(web_source.judge_sources(answers, FILES))
    assert (finding.verdict, whys(finding)) == ("broken", ["browser.differs"])
    assert finding.why[0].values == {"address": "/", "file": "index.html"}


def test_a_server_that_sends_more_than_lies_on_the_disk_is_found() -> None:
    finding = one(web_source.judge_sources(served(FILES) | {"/more.js": b"1"}, FILES))
    assert whys(finding) == ["browser.not-ours"]


def test_what_was_not_looked_at_does_not_hold() -> None:
    answers = served(FILES)
    del answers["/wall.js"]
    finding = one(web_source.judge_sources(answers, FILES))
    assert (finding.verdict, finding.possible, whys(finding)) == ("not_checked", True, ["browser.not-fetched"])
    assert whys(one(web_source.judge_sources({}, FILES))) == ["browser.not-served"]
    assert whys(one(web_source.judge_sources({}, {}))) == ["browser.no-files"]


def test_many_faults_are_named_up_to_a_limit() -> None:
    files = {f"planted-{number}.js": b"canvas" for number in range(99)}
    assert len(one(web_source.judge_sources(served(files), files)).why) == web_source.NAMED


def test_links_and_files_of_other_kinds_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")
    (tmp_path / "b.txt").write_text("2")
    (tmp_path / "c.js").symlink_to(tmp_path / "b.txt")
    assert web_source.files_on_disk(tmp_path) == {"a.js": b"1"}


# ---- headers --------------------------------------------------------------------------------------------------------


def test_our_own_headers_hold() -> None:
    finding = one(page_headers.judge_headers({"/": HEADERS, "/api/notice": HEADERS}))
    assert (finding.verdict, finding.seen[0].values) == ("holds", {"count": 2})
    lower = {name.lower(): value for name, value in HEADERS.items()}
    assert one(page_headers.judge_headers({"/": lower})).verdict == "holds"


def without(policy: str, directive: str) -> str:
    return "; ".join(part for part in policy.split("; ") if not part.startswith(directive))


CSP = HEADERS["Content-Security-Policy"]
PERMISSIONS = HEADERS["Permissions-Policy"]


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Cache-Control", ""),
        ("Cache-Control", "no-cache, max-age=0"),
        ("Cache-Control", "x-no-store"),
        ("X-Content-Type-Options", "sniff"),
        ("Permissions-Policy", ""),
        *(("Permissions-Policy", PERMISSIONS.replace(f"{name}=()", f"{name}=(self)")) for name in
          page_headers.REFUSED_FEATURES),
        ("Permissions-Policy", PERMISSIONS.replace("camera=(), ", "")),
        ("Permissions-Policy", PERMISSIONS + ", camera=*"),
        ("Content-Security-Policy", ""),
        ("Content-Security-Policy", CSP.replace("script-src 'self'", "script-src 'self' 'unsafe-inline'")),
        ("Content-Security-Policy", CSP.replace("script-src 'self'", "script-src 'self' 'unsafe-eval'")),
        ("Content-Security-Policy", CSP.replace("script-src 'self'", "script-src 'self' https://cdn.example")),
        ("Content-Security-Policy", CSP.replace("connect-src 'self'", "connect-src *")),
        ("Content-Security-Policy", CSP.replace("worker-src 'self'", "worker-src blob:")),
        ("Content-Security-Policy", CSP.replace("frame-ancestors 'none'", "frame-ancestors https://x.example")),
        ("Content-Security-Policy", CSP.replace("default-src 'none'", "default-src 'self'")),
        ("Content-Security-Policy", without(CSP, "default-src")),
        ("Content-Security-Policy", without(CSP, "base-uri")),
        ("Content-Security-Policy", without(CSP, "frame-ancestors")),
        ("Content-Security-Policy", "script-src *; " + CSP),  # the first of a name counts
        ("Content-Security-Policy", f"{CSP}, default-src *"),
    ],
)  # fmt: skip
def test_a_weakened_header_is_found(header: str, value: str) -> None:
    answers = {"/": HEADERS, "/wall.js": HEADERS | {header: value}}
    finding = one(page_headers.judge_headers(answers))
    assert (finding.verdict, whys(finding)) == ("broken", ["browser.header"])
    assert (finding.why[0].values["address"], finding.why[0].values["header"]) == ("/wall.js", header)
    missing = one(page_headers.judge_headers({"/": {name: each for name, each in HEADERS.items() if name != header}}))
    assert missing.verdict == "broken"


def test_no_answers_do_not_hold() -> None:
    assert one(page_headers.judge_headers({})).verdict == "not_checked"
