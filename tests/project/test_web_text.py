"""The pages' words: every one in both languages, none unused, none that promises what Vigil is not; and the pages' code
holds nothing by which a picture could be kept (GUARANTEE.md row 11) and nothing that the content policy refuses.

Each check is a function that is also run on a planted fault, which it must find.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest

from monitor.core.call_state import CallStateName
from monitor.core.camera_state import CameraFault, CameraReason, CameraStateName
from monitor.core.process_state import ProcessStateName
from monitor.evidence.finding import ROWS, Verdict
from monitor.evidence.web_source import CAPTURE
from tests.project.tree import REPO

WEB = REPO / "web"
LANGUAGES = ("da", "en")
Catalogue = Mapping[str, str]

CODE = {path.name: path.read_text() for path in sorted(WEB.glob("*.js"))}
PAGES = {path.name: path.read_text() for path in sorted(WEB.glob("*.html"))}

LITERAL = re.compile(r'"([a-z][a-z0-9-]*(?:\.[a-z0-9-]+)+)"')
TEMPLATE = re.compile(r"`([a-z][a-z0-9-]*\.[^`\s]*)`")
ASKED = re.compile(r'\b(?:word|counted)\(\s*"([^"]+)"')
IN_PAGE = re.compile(r'data-(?:word|label)="([^"]+)"')
PLACEHOLDER = re.compile(r"\{[a-z]+\}")

# DOMAIN.md, "What Vigil is and is not": words of alarm systems and of medical devices, and promises.
FORBIDDEN = re.compile(
    r"alarm|detect|detekt|ensur|\bsikr(?:e|er|ede|et)\b|overvåg|monitorer"
    r"|monitor\w*\s+(?:the\s+|a\s+|our\s+)?(?:patient|condition|vital)|diagnos|vital|triage",
    re.I,
)
REFUSED_BY_POLICY = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|<style|<script(?![^>]*\bsrc=)"
    r"|\sstyle=\"|\son[a-z]+=\"|https?://(?!www\.w3\.org/2000/svg)",
    re.I,
)


def catalogue(language: str) -> dict[str, str]:
    words: dict[str, str] = json.loads((WEB / "text" / f"{language}.json").read_text())
    return words


def wanted(code: Iterable[str], pages: Iterable[str], keys: Iterable[str]) -> tuple[set[str], set[str]]:
    """(keys that are used, keys that are asked for but do not exist)."""
    known = set(keys)
    families = {key.split(".")[0] for key in known}
    used: set[str] = set()
    missing: set[str] = set()

    def literal(key: str) -> None:
        forms = {f"{key}.one", f"{key}.other"}
        if key in known:
            used.add(key)
        elif forms <= known:
            used.update(forms)
        else:
            missing.add(key)

    for text in code:
        for key in ASKED.findall(text):
            literal(key)
        for key in LITERAL.findall(text):
            if key.split(".")[0] in families:
                literal(key)
        for template in TEMPLATE.findall(text):
            if template.split(".")[0] not in families:
                continue
            pattern = re.compile(re.sub(r"\\\$\\\{.*?\\\}", "[a-z0-9_-]+", re.escape(template)))
            matching = {key for key in known if pattern.fullmatch(key)}
            used |= matching
            if not matching:
                missing.add(template)
    for text in pages:
        for key in IN_PAGE.findall(text):
            literal(key)
    return used, missing


def closed_lists() -> set[str]:
    """The keys that the closed lists of the core need."""
    keys = {f"fault.{fault}" for fault in get_args(CameraFault)}
    for reason in get_args(CameraReason):
        if reason:
            keys |= {f"reason.{reason}.why", f"reason.{reason}.doing"}
    keys |= {f"state.{state}" for state in get_args(CameraStateName)}
    keys |= {f"guarantee.row.{row}" for row in ROWS}
    keys |= {f"audit.state.{state}" for state in get_args(ProcessStateName)}
    for verdict in get_args(Verdict):
        keys |= {f"audit.verdict-of-row.{verdict}", f"notice.verdict.{verdict}.title", f"audit.verdict.{verdict}.text"}
    return keys | {f"call.state.{state}" for state in get_args(CallStateName) if state not in {"idle", "closed"}}


def union_of(code: str, name: str) -> set[str]:
    """The strings of a JSDoc `@typedef {"a" | "b"} Name`."""
    found = re.search(r"@typedef \{([^{}]*)\} " + name + r"\b", code)
    assert found, f"no typedef {name}"
    return set(re.findall(r'"([^"]*)"', found[1])) - {""}


def found_in(pattern: re.Pattern[str], texts: Mapping[str, str]) -> list[str]:
    """`name: match` for each match."""
    return [f"{name}: {match[0]}" for name, text in texts.items() for match in pattern.finditer(text)]


def own_words(markdown: str) -> str:
    """A document without its quotations: the intended-use statement names, word for word, what Vigil is not."""
    return "\n".join(line for line in markdown.splitlines() if not line.lstrip().startswith(">"))


class _VisibleText(HTMLParser):
    """Collects text outside of <title>."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if data.strip() and "title" not in self.inside:
            self.found.append(data.strip())


def visible_text(page: str) -> list[str]:
    parser = _VisibleText()
    parser.feed(page)
    return parser.found


# ---- the words exist ------------------------------------------------------------------------------------------------


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    danish, english = catalogue("da"), catalogue("en")
    assert danish.keys() == english.keys()
    for key, text in danish.items():
        assert text.strip(), key
        assert english[key].strip(), key
        assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(english[key])), key


def test_every_word_asked_for_exists_and_none_is_unused() -> None:
    keys = catalogue("da").keys()
    used, missing = wanted(CODE.values(), PAGES.values(), keys)
    assert missing == set()
    assert set(keys) - used == set()


@pytest.mark.parametrize(
    "planted",
    ['word("sound.of")', 'const key = "button.nothing";', "word(`reason.${x}.who`)", 'counted("calls.les", 2)'],
)
def test_a_missing_word_is_found(planted: str) -> None:
    assert wanted([planted], [], catalogue("da"))[1]


def test_an_unused_word_and_a_missing_one_in_a_page_are_found() -> None:
    keys = {*catalogue("da"), "sound.never"}
    assert set(keys) - wanted(CODE.values(), PAGES.values(), keys)[0] == {"sound.never"}
    assert wanted([], ['<p data-word="sound.nowhere">'], keys)[1] == {"sound.nowhere"}


def test_every_reason_fault_and_state_has_words_and_no_other_has() -> None:
    for language in LANGUAGES:
        keys = set(catalogue(language))
        assert closed_lists() <= keys
        ours = {key for key in keys if key.startswith(("reason.", "fault."))}
        assert ours <= closed_lists()


def test_every_state_of_the_pages_has_words() -> None:
    keys = set(catalogue("da"))
    for reason in union_of(CODE["bay-view.js"], "ScreenReason"):
        assert {f"screen.{reason}.why", f"screen.{reason}.doing"} <= keys
    for view in union_of(CODE["bay-view.js"], "ViewName"):
        assert f"state.{view}" in keys
    for view in union_of(CODE["button-view.js"], "ButtonViewName"):
        assert f"button.{view}.title" in keys
        assert {f"button.{view}.text"} <= keys or {f"button.{view}.one", f"button.{view}.other"} <= keys


def test_no_page_has_words_of_its_own() -> None:
    assert {name: visible_text(text) for name, text in PAGES.items() if visible_text(text)} == {}
    assert visible_text("<title>Vigil</title><p>Hello <b>you</b></p>") == ["Hello", "you"]


# ---- the words promise nothing --------------------------------------------------------------------------------------


def test_no_word_promises_what_vigil_is_not() -> None:
    for language in LANGUAGES:
        assert found_in(FORBIDDEN, catalogue(language)) == []


def test_the_readme_promises_nothing_either() -> None:
    assert found_in(FORBIDDEN, {"README.md": own_words((REPO / "README.md").read_text())}) == []


@pytest.mark.parametrize(
    "planted",
    [
        "An alarm sounds",
        "Vigil detects a fall",
        "overvåger patientens tilstand",
        "det sikrer",
        "monitors the patient",
        "ensures",
    ],
)
def test_a_promise_is_found(planted: str) -> None:
    assert found_in(FORBIDDEN, {"planted": planted})
    assert found_in(FORBIDDEN, {"planted": own_words(f"Vigil.\n{planted}")})
    assert not found_in(FORBIDDEN, {"planted": own_words(f"> {planted}")})


# ---- the code keeps no picture --------------------------------------------------------------------------------------


def web_sources(root: Path) -> dict[str, str]:
    """All that is served, but the words."""
    kinds = {".js", ".html", ".css", ".svg", ".webmanifest"}
    return {path.name: path.read_text() for path in sorted(root.rglob("*")) if path.suffix in kinds}


def test_no_page_can_keep_a_picture() -> None:
    assert len(web_sources(WEB)) > 10
    assert found_in(CAPTURE, web_sources(WEB)) == []


@pytest.mark.parametrize(
    "planted",
    [
        'document.createElement("canvas")',
        "new MediaRecorder(stream)",
        "new ImageCapture(track)",
        "video.captureStream()",
        "video.requestPictureInPicture()",
        "navigator.serviceWorker.register(x)",
        "URL.createObjectURL(blob)",
    ],
)
def test_a_way_of_keeping_a_picture_is_found(tmp_path: Path, planted: str) -> None:
    (tmp_path / "planted.js").write_text(f"// fine\n{planted};\n")
    assert found_in(CAPTURE, web_sources(tmp_path))


def test_every_picture_element_is_without_controls_and_menu() -> None:
    tile = CODE["bay-tile.js"]
    assert "disablepictureinpicture" in tile
    assert "contextmenu" in tile
    assert "muted = true" in tile
    assert not found_in(re.compile(r"<video|\bcontrols\b(?!,)"), PAGES)
    makers = [name for name, text in CODE.items() if re.search(r'(?:element|createElement)\("video"', text)]
    assert makers == ["bay-tile.js"]


def test_nothing_is_written_that_the_content_policy_refuses() -> None:
    # What is served, but the drawing: that has the name of its own format in it.
    sources = {name: text for name, text in web_sources(WEB).items() if name != "favicon.svg"}
    assert found_in(REFUSED_BY_POLICY, sources) == []


@pytest.mark.parametrize(
    "planted",
    ["a.innerHTML = b", "<script>x</script>", '<p style="color:red">', '<p onclick="x()">', "https://cdn.example/x.js"],
)
def test_what_the_content_policy_refuses_is_found(planted: str) -> None:
    assert found_in(REFUSED_BY_POLICY, {"planted": planted})
