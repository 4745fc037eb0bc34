"""The report as a value and as a signed file: what it refuses, and that nothing in it can be changed unseen."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from monitor.audit import signed_report
from monitor.audit.report import (
    MAX_OCTETS,
    Break,
    Camera,
    Chain,
    Period,
    Report,
    canonical,
    from_json,
    period_of,
    to_json,
    told,
)
from monitor.audit.report_words import Words
from monitor.audit.signed_report import MAX_PDF_OCTETS, parse, read, sign, sign_page, verify, write
from monitor.core.errors import InputError
from monitor.evidence import uptime
from monitor.evidence.finding import broken, holds, impossible, said, skipped
from monitor.evidence.keys import fingerprint, public_hex
from monitor.evidence.words import LANGUAGES, say
from tests.audit.sample_reports import ALL, BREAKS, SWAP, findings, report

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


# ---- the value -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_round_trip(name: str) -> None:
    made = ALL[name]()
    again = from_json(json.loads(canonical(to_json(made))))
    assert again == made
    assert canonical(to_json(again)) == canonical(to_json(made))


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, "holds"),
        ({"findings": findings(SWAP)}, "broken"),
        ({"findings": findings(SWAP, skipped(8, said("process.needs-root")))}, "broken"),
        ({"findings": findings(skipped(8, said("process.needs-root")))}, "incomplete"),
        ({"findings": findings(impossible(13, said("process.needs-root")))}, "holds"),
        ({"chain": Chain(entries=2, seq=2, head="ab" * 32, ok=False)}, "broken"),
        ({"chain": None, "period": None, "canary": None}, "holds"),
    ],
)
def test_the_answer_is_the_worst_there_is(changes: dict[str, object], answer: str) -> None:
    assert report(**changes).answer == answer


def _edit(*path: str | int, value: object = None, drop: bool = False) -> Any:
    def edit(data: Any) -> None:
        for step in path[:-1]:
            data = data[step]
        if drop:
            del data[path[-1]]
        else:
            data[path[-1]] = value

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        _edit("made_ms", value=-1),
        _edit("made_ms", value=True),
        _edit("made_ms", value="1"),
        _edit("made_ms", value=10**30),
        _edit("made_ms", value=253_402_300_799_999),
        _edit("utc_offset_minutes", value=1440),
        _edit("surprise", value=1),
        _edit("clinic", drop=True),
        _edit("clinic", value="x" * 501),
        _edit("clinic", value="\ud800" * 501),
        _edit("language", value="sv"),
        _edit("versions", "program", value="no hash"),
        _edit("versions", "vigil", drop=True),
        _edit("versions", value={str(number): "x" for number in range(101)}),
        _edit("settings", "enforce", value=1),
        _edit("findings", 3, drop=True),
        _edit("findings", 3, "row", value=5),
        _edit("findings", 3, "verdict", value="fine"),
        _edit("findings", 3, "verdict", value="broken"),
        _edit("findings", 3, "possible", value=True),
        _edit("findings", 3, "why", value=[{"key": "a.b", "values": {}}]),
        _edit("findings", 3, "seen", 0, "key", value="NOT A KEY\n"),
        _edit("findings", 3, "seen", value=[{"key": "a.b", "values": {}}] * 101),
        _edit("findings", 3, "seen", 0, "values", value=["x"]),
        _edit("findings", 3, "seen", 0, "values", value={"a": {"b": 1}}),
        _edit("findings", 3, "seen", 0, "values", value={"a": None}),
        _edit("period", "held_ms", value=1),
        _edit("period", "to_ms", value=0),
        _edit("chain", "head", value="xyz"),
        _edit("chain", "ok", value=1),
        _edit("canary", "hits", value=-1),
        _edit("duties", value=["../etc"]),
        _edit("cameras", 0, "findings", value=[1]),
    ],
)
def test_from_json_refuses_what_to_json_cannot_have_given(edit: Any) -> None:
    data = json.loads(canonical(to_json(report())))
    from_json(data)
    edit(data)
    with pytest.raises(InputError) as caught:
        from_json(data)
    assert caught.value.hint
    assert len(caught.value.message) < 200


def test_the_last_moment_that_is_accepted_can_be_shown() -> None:
    for offset in (-1439, 1439):
        data = to_json(report()) | {"made_ms": 253_370_764_799_999, "utc_offset_minutes": offset}
        assert Words("da", offset).moment(from_json(data).made_ms)


def test_an_error_names_the_place_and_shows_no_content() -> None:
    data = to_json(report())
    data["\x1b[2Jclinic"] = "secret-content"
    with pytest.raises(InputError) as caught:
        from_json(data)
    assert "\x1b" not in caught.value.message
    assert "secret-content" not in caught.value.message


def test_a_path_that_is_no_text_is_shown_and_breaks_nothing() -> None:
    nasty = "/srv/\udcff\x1b[31m\nfile"
    made = report(findings=findings(broken(2, said("process.file", pid=1, path=nasty))), clinic="A\x07B")
    assert made.clinic == "A?B"
    assert made.broken[0].why[0].values["path"] == "/srv/??[31m?file"
    assert from_json(json.loads(sign(made, KEY))["report"]) == made


def test_a_cameras_break_is_not_hidden_by_a_second_finding_of_the_row() -> None:
    bad, good = broken(12, said("process.needs-root")), holds(12)
    for order in ((bad, good), (good, bad)):
        made = Camera(bay="b", name="B", address="rtsp://192.0.2.1/", findings=order)
        assert [each.verdict for each in made.findings] == ["broken"]


def test_a_period_is_taken_from_the_journals_uptime() -> None:
    was = uptime.Uptime(0, 100, 50, 30, 15, 5, (uptime.Break(5, 10, None, SWAP.why),))
    made = period_of(was)
    assert (made.from_ms, made.to_ms, made.held_ms, made.broken_ms, made.off_ms, made.unknown_ms) == (
        0, 100, 50, 30, 15, 5,
    )  # fmt: skip
    assert made.breaks == (Break(row=5, from_ms=10, to_ms=None, why=SWAP.why),)
    with pytest.raises(ValidationError):
        Period(from_ms=0, to_ms=100, held_ms=100, broken_ms=1, off_ms=0, unknown_ms=0)


def test_sentences_of_another_version_are_shown_by_their_key() -> None:
    words = (said("machine.no-swap"), said("future.thing", n=3, path="/x"), said("machine.yama"), said("future.bare"))
    for language in LANGUAGES:
        line = told(language, words)
        assert line.startswith(say(language, words[0]))
        assert line.endswith("[future.thing: n=3, path=/x] [machine.yama] [future.bare]")


# ---- signed files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".json", ".pdf", ".PDF"])
def test_written_read_and_verified(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"report{suffix}"
    path.write_text("an older one")
    write(report(), KEY, path, "da")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [each.name for each in tmp_path.iterdir()] == [path.name]  # no temporary file stays behind
    signed = read(path)
    assert signed.report == report()
    assert signed.public == public_hex(KEY)
    assert (signed.page is not None) == (suffix != ".json")

    checked = verify(signed, None)
    assert (checked.ok, checked.intact, checked.known) == (True, True, None)
    checked = verify(signed, public_hex(KEY).upper())
    assert (checked.ok, checked.intact, checked.known) == (True, True, True)
    checked = verify(signed, public_hex(OTHER))
    assert (checked.ok, checked.intact, checked.known) == (False, True, False)
    assert fingerprint(public_hex(KEY)) in say("en", checked.words[0])


def test_anyone_can_check_the_signature_without_vigil() -> None:
    envelope = json.loads(sign(report(), KEY))
    body = json.dumps(envelope["report"], sort_keys=True, separators=(",", ":")).encode()
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(envelope["public_key"])).verify(
        bytes.fromhex(envelope["signature"]), body
    )
    assert envelope["vigil_report"] == 1


@pytest.mark.parametrize("name", ["report.txt", "report", "report.pdf.exe", "a/b.html"])
def test_another_suffix_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.pdf or a \.json"):
        write(report(), KEY, tmp_path / name, "da")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_leaves_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write(report(), KEY, tmp_path / "nowhere" / "report.json", "da")
    with pytest.raises(InputError, match="cannot be written"):
        write(report(), KEY, tmp_path / "report\0.json", "da")
    path = tmp_path / "report.json"
    path.write_text("older")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(signed_report.os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        write(report(), KEY, path, "da")
    assert path.read_text() == "older"
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]


def _is_good(content: bytes) -> bool:
    try:
        signed = parse(content)
    except InputError:
        return False
    return verify(signed, public_hex(KEY)).ok


def test_every_changed_byte_of_an_envelope_is_found() -> None:
    content = sign(report(), KEY)
    assert _is_good(content)
    places = {*range(0, len(content), 13), *range(len(content) - 40, len(content)), *range(100)}
    missed = [at for at in sorted(places) if _is_good(_flipped(content, at))]
    assert not missed, [content[at - 10 : at + 10] for at in missed]


def test_every_changed_byte_of_a_pdf_is_found(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    write(report(), KEY, path, "da")
    content = path.read_bytes()
    assert _is_good(content)
    places = {*range(0, len(content), 61), *range(len(content) - 230, len(content)), *range(20)}
    missed = [at for at in sorted(places) if _is_good(_flipped(content, at))]
    assert not missed, [content[at - 10 : at + 10] for at in missed]


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0x01]) + content[at + 1 :]


@pytest.fixture
def pdf(tmp_path: Path) -> bytes:
    path = tmp_path / "report.pdf"
    write(report(), KEY, path, "en")
    return path.read_bytes()


def _keys(content: bytes, trusted: str | None = None) -> list[str]:
    return [each.key.removeprefix("report.verify.") for each in verify(parse(content), trusted).words]


def test_each_part_of_a_pdf_is_held_by_its_signature(pdf: bytes) -> None:
    line = pdf.index(b"%vigil-signature")
    page, last = pdf[:line], pdf[line:]
    assert _keys(pdf) == ["intact"]
    assert _keys(pdf, public_hex(KEY)) == ["good"]
    # The words on the page.
    assert b"CT Klinikken" in page
    assert _keys(pdf.replace(b"(CT Klinikken A/S)", b"(XY Klinikken A/S)")) == ["page-altered", "worthless"]
    # The report in it: the page's signature and its own.
    assert _keys(pdf.replace(b'"clinic":"CT', b'"clinic":"XY')) == ["altered", "page-altered", "worthless"]
    # The last line: gone, cut, not last any more (which is how a PDF is edited: by an update behind the end).
    assert _keys(page) == ["page-unsigned", "worthless"]
    assert _keys(pdf[:-2]) == ["page-unsigned", "worthless"]
    assert _keys(pdf + b"1 0 obj\n<<>>\nendobj\n%%EOF\n") == ["page-unsigned", "worthless"]
    # An update before the line.
    assert _keys(page + b"1 0 obj\n<<>>\nendobj\n%%EOF\n" + last) == ["page-altered", "worthless"]


def test_a_page_that_somebody_else_made_around_a_real_report_is_found() -> None:
    envelope = sign(report(), KEY)
    page = signed_report.render(report(clinic="Another"), "en", public_hex(KEY), envelope)
    forged = sign_page(page, OTHER)
    assert _keys(forged) == ["two-keys", "worthless"]
    assert _keys(forged, public_hex(KEY)) == ["two-keys", "worthless"]


def test_a_whole_forgery_is_known_by_its_key() -> None:
    envelope = sign(report(), OTHER)
    page = signed_report.render(report(), "en", public_hex(OTHER), envelope)
    forged = sign_page(page, OTHER)
    assert _keys(forged, public_hex(KEY)) == ["other-key"]
    assert not verify(parse(forged), public_hex(KEY)).ok
    assert not verify(parse(envelope), public_hex(KEY)).ok


def test_the_signature_of_another_report_does_not_serve() -> None:
    one, two = (json.loads(sign(each, KEY)) for each in (report(), report(clinic="Another")))
    mixed = canonical({**one, "signature": two["signature"]})
    assert _keys(mixed) == ["altered", "worthless"]
    renamed = canonical({**one, "public_key": public_hex(OTHER)})
    assert _keys(renamed) == ["altered", "worthless"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"vigil_report":1}',
        b"%PDF-1.3 nothing in it",
        b"%PDF-1.3\n1 0 obj <</Type /EmbeddedFile>>\nstream\n{}\nendstream",
        b" " * (MAX_OCTETS + 1),
        b"%PDF-" + b" " * MAX_PDF_OCTETS,
    ],
    ids=range(12),
)
def test_what_is_no_report_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "thing.pdf"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a signed report of Vigil"):
        read(path)


def _with(**changes: object) -> bytes:
    return json.dumps({**json.loads(sign(report(), KEY)), **changes}).encode()


@pytest.mark.parametrize(
    "content",
    [
        _with(vigil_report=2),
        _with(vigil_report=True),
        _with(vigil_report=1.0),
        _with(vigil_report="1"),
        _with(more=1),
        _with(report=[]),
        _with(public_key="AB" * 32),
        _with(public_key=None),
        _with(signature="ab"),
        _with(report={"made_ms": 1.5}),
        _with(report={"made_ms": float("nan")}),
        _with()[:-1] + b',"signature":"' + b"00" * 64 + b'"}',
    ],
    ids=range(12),
)
def test_an_envelope_of_another_form_is_refused(content: bytes) -> None:
    assert parse(_with()).report == report()  # spaces between the fields do not matter
    with pytest.raises(InputError, match="is not a signed report of Vigil"):
        parse(content)


def test_two_attachments_are_refused(pdf: bytes) -> None:
    start = pdf.index(b"/Type /EmbeddedFile")
    end = pdf.index(b"endstream", start) + len(b"endstream")
    with pytest.raises(InputError, match="more than one file"):
        parse(pdf[:end] + b"\n" + pdf[start:end] + pdf[end:])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pdf", tmp_path, Path("a\0b")):
        with pytest.raises(InputError, match="cannot be read"):
            read(path)


def test_a_signed_report_of_unknown_content_verifies_and_says_so() -> None:
    """A newer Vigil may have more fields: the signature can be checked, the content not be shown."""
    data = to_json(report()) | {"new": 1}
    content = canonical(
        {
            "vigil_report": 1,
            "report": data,
            "public_key": public_hex(KEY),
            "signature": KEY.sign(canonical(data)).hex(),
        }
    )
    signed = parse(content)
    assert verify(signed, None).ok
    with pytest.raises(InputError, match="this version of Vigil can read"):
        _ = signed.report


def test_the_largest_report_stays_below_the_limit() -> None:
    one = Camera(bay="b" * 60, name="n" * 64, address="rtsp://192.0.2.1/" + "p" * 300, findings=(SWAP,))
    many = tuple(BREAKS[0] for _ in range(1000))
    made: Report = report(
        cameras=(one,) * 50,
        period=Period(from_ms=0, to_ms=10, held_ms=10, broken_ms=0, off_ms=0, unknown_ms=0, breaks=many),
    )
    assert len(sign(made, KEY)) < MAX_OCTETS / 2
