"""Reports as files: signed, written whole or not at all, read with suspicion, and checked.

A `.json` file is an envelope: the report, the public key and the signature (Ed25519) over the report's canonical JSON.
A `.pdf` file is the page for the file: the same envelope is embedded in it as an attachment, and its last line,
`%vigil-signature 1 PUBLIC SIGNATURE`, signs every byte before it, so that the words on the page and the report in it
come from one hand.

This module must never show a signature as good that was not checked against the bytes as they lie in the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.audit.report import MAX_OCTETS, Report, canonical, from_json, to_json
from monitor.audit.report_pdf import render
from monitor.core.errors import InputError
from monitor.evidence.finding import Said, said
from monitor.evidence.keys import SigningKey, fingerprint, public_hex
from monitor.evidence.keys import sign as sign_bytes
from monitor.evidence.keys import verify as verify_bytes
from monitor.evidence.words import Language

FORM = 1
MAX_PDF_OCTETS = 8 * 1024 * 1024

_LAST_LINE = re.compile(rb"%vigil-signature 1 ([0-9a-f]{64}) ([0-9a-f]{128})\n\Z")
_ATTACHED = re.compile(rb"/Type /EmbeddedFile\s*>>\s*stream\r?\n(.*?)\r?\nendstream", re.DOTALL)
_PUBLIC = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True)
class SignedReport:
    """A report as it lay in a file, and what its signatures cover. Nothing in it is to be believed before `verify`."""

    data: bytes
    """The report's canonical JSON."""
    public: str
    """Hex, as the file itself names it."""
    signature: bytes
    page: bytes | None = None
    """PDF only: every byte before the last line."""
    page_public: str = ""
    page_signature: bytes = b""
    """Empty where the last line is missing."""

    @property
    def report(self) -> Report:
        """The report. Raises InputError where its content is none."""
        return from_json(json.loads(self.data))


@dataclass(frozen=True)
class Verification:
    """What checking a report's signatures gave."""

    intact: bool
    """Nothing was changed since it was signed with the key that it names."""
    known: bool | None
    """That key is the one that was asked for; None where none was."""
    words: tuple[Said, ...]

    @property
    def ok(self) -> bool:
        """Intact, and not signed by somebody else's key."""
        return self.intact and self.known is not False


def sign(report: Report, key: SigningKey) -> bytes:
    """The signed envelope as JSON."""
    data = to_json(report)
    signature = sign_bytes(key, canonical(data)).hex()
    return canonical({"vigil_report": FORM, "report": data, "public_key": public_hex(key), "signature": signature})


def sign_page(page: bytes, key: SigningKey) -> bytes:
    """A PDF with its last line."""
    return page + f"%vigil-signature 1 {public_hex(key)} {sign_bytes(key, page).hex()}\n".encode()


def write(report: Report, key: SigningKey, path: Path, language: Language) -> None:
    """Sign and write a report, `.json` or `.pdf` by its name, whole or not at all (mode 0644).

    Raises InputError where the name ends otherwise, or the file cannot be written."""
    suffix = path.suffix.lower()
    if suffix not in {".json", ".pdf"}:
        raise InputError(f"a report is a .pdf or a .json file, not {path.name!r}", "name it vigil-report.pdf")
    content = sign(report, key)
    if suffix == ".pdf":
        content = sign_page(render(report, language, public_hex(key), content), key)
    try:
        _write_whole(path, content)
    except (OSError, ValueError) as error:
        reason = (error.strerror or "failed") if isinstance(error, OSError) else "not a file name"
        raise InputError(
            f"the report cannot be written to {path}: {reason}", "name a folder that exists and may be written to"
        ) from None


def _write_whole(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            os.fchmod(opened.fileno(), 0o644)
            opened.flush()
            os.fsync(opened.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def read(path: Path) -> SignedReport:
    """A `.json` or `.pdf` report, by its content. Raises InputError where it is neither."""
    try:
        with path.open("rb") as opened:
            content = opened.read(MAX_PDF_OCTETS + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror or "failed") if isinstance(error, OSError) else "not a file name"
        raise InputError(f"{path} cannot be read: {reason}", "check the path and its permissions") from None
    return parse(content, str(path))


def parse(content: bytes, name: str = "this file") -> SignedReport:
    """As `read`, of a file's content."""
    if len(content) > MAX_PDF_OCTETS:
        raise _no_report(name, "it is too large")
    if not content.startswith(b"%PDF-"):
        return _envelope(content, name)
    last = _LAST_LINE.search(content)
    page = content[: last.start()] if last else content
    attached = _ATTACHED.findall(page)
    if len(attached) != 1:
        raise _no_report(name, "it has no report attached" if not attached else "it has more than one file attached")
    inner = _envelope(attached[0], name)
    return SignedReport(
        inner.data,
        inner.public,
        inner.signature,
        page,
        last[1].decode() if last else "",
        bytes.fromhex(last[2].decode()) if last else b"",
    )


def _envelope(content: bytes, name: str) -> SignedReport:
    if len(content) > MAX_OCTETS:
        raise _no_report(name, "it is too large")
    try:
        data = json.loads(content, object_pairs_hook=_no_twice, parse_float=_refuse, parse_constant=_refuse)
        if not isinstance(data, dict) or data.keys() != {"vigil_report", "report", "public_key", "signature"}:
            raise ValueError("other fields")
        public, signature = data["public_key"], data["signature"]
        if (
            type(data["vigil_report"]) is not int
            or not isinstance(data["report"], dict)
            or not (isinstance(public, str) and _PUBLIC.fullmatch(public))
            or not (isinstance(signature, str) and _SIGNATURE.fullmatch(signature))
        ):
            raise ValueError("not its form")
        body = canonical(data["report"])
    except (ValueError, RecursionError):
        raise _no_report(name, "its form is another") from None
    if data["vigil_report"] != FORM:
        raise _no_report(name, f"it has form {data['vigil_report']:.6g}, and this version of Vigil knows {FORM}")
    return SignedReport(body, public, bytes.fromhex(signature))


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is there twice")
    return found


def _refuse(text: str) -> Any:
    raise ValueError(f"no such number in a report: {text[:20]}")


def _no_report(name: str, reason: str) -> InputError:
    return InputError(
        f"{name} is not a signed report of Vigil: {reason}", "give a file that `vigil audit --report` wrote"
    )


def verify(signed: SignedReport, trusted: str | None) -> Verification:
    """Check every signature of a report; `trusted` is the public key (hex) that the site shows on /audit."""
    faults = []
    if not verify_bytes(signed.public, signed.data, signed.signature):
        faults.append(said("report.verify.altered"))
    if signed.page is not None:
        if not signed.page_signature:
            faults.append(said("report.verify.page-unsigned"))
        elif not verify_bytes(signed.page_public, signed.page, signed.page_signature):
            faults.append(said("report.verify.page-altered"))
        elif signed.page_public != signed.public:
            faults.append(said("report.verify.two-keys"))
    if faults:
        return Verification(False, None, (*faults, said("report.verify.worthless")))
    name = fingerprint(signed.public)
    if trusted is None:
        return Verification(True, None, (said("report.verify.intact", fingerprint=name),))
    if trusted.lower() != signed.public:
        return Verification(
            True, False, (said("report.verify.other-key", fingerprint=name, trusted=fingerprint(trusted.lower())),)
        )
    return Verification(True, True, (said("report.verify.good", fingerprint=name),))
