"""The command line of the audit: `vigil audit`, `vigil audit verify`, `vigil audit diff`.

This module puts the auditor together with what it needs of the other rooms: a token to ask the site with, which lives
as long as the audit does, and the journal, into which the audit's result goes. It must never leave a token behind, and
never exit 0 where something is broken or was left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import locale
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from monitor.core.errors import InputError, Unavailable, VigilError

if TYPE_CHECKING:
    from monitor.audit.audit import Outcome
    from monitor.audit.report import Report
    from monitor.audit.site_client import SiteClient
    from monitor.control.journal import Journal
    from monitor.core.config import Config
    from monitor.evidence.words import Language

_LANGUAGE = click.option(
    "--lang", type=click.Choice(["da", "en"]), help="The language of the words. Without it the shell's, else English."
)


@click.group(invoke_without_command=True)
@click.option("--config", "file", metavar="FILE", help="The configuration (TOML) of the site.")
@click.option("--offline", is_flag=True, help="Only what needs no running site.")
@click.option("--canary/--no-canary", default=None, help="The canary run. Without it: as root, where a site runs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--report", "report_file", metavar="FILE", help="Write a signed report, .pdf or .json.")
@click.option("--days", type=click.IntRange(1, 1827), default=30, show_default=True, help="The report's period.")
@_LANGUAGE
@click.pass_context
def audit(
    context: click.Context,
    file: str | None,
    offline: bool,
    canary: bool | None,
    as_json: bool,
    report_file: str | None,
    days: int,
    lang: str | None,
) -> int | None:
    """Look at a site from outside: is there any way by which a picture could be stored?"""
    if context.invoked_subcommand is not None:
        return None
    if file is None:
        raise click.UsageError("missing option --config")
    from monitor.audit.table import table
    from monitor.evidence import words
    from monitor.evidence.finding import is_complete
    from monitor.setup import config_file

    config = config_file.read(file, os.environ).config
    if report_file is not None and Path(report_file).suffix.lower() not in {".pdf", ".json"}:
        raise InputError(f"{report_file} is neither .pdf nor .json", "name the report vigil-audit.pdf, say")
    if offline and canary:
        raise click.UsageError("the canary run needs a running site: leave --offline or --canary out")
    language = _language(lang)
    outcome = _run(config, offline, canary, language, quiet=as_json)
    report, note = _kept(config, outcome, language, report_file, days)
    if as_json:
        import json

        rows = [words.shown(language, each) for each in outcome.findings]
        click.echo(json.dumps({"ok": is_complete(outcome.findings), "rows": rows}, ensure_ascii=False, indent=2))
    else:
        for line in table(config, outcome, language):
            click.echo(line)
    for line in note:
        click.echo(line, err=as_json)
    if report is not None and report_file is not None:
        click.echo(words.word(language, "audit.saved", file=report_file), err=as_json)
    return 0 if is_complete(outcome.findings) else 1


def _language(given: str | None) -> Language:
    if given is None:
        shell = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
        given = "da" if locale.normalize(shell).lower().startswith("da") else "en"
    return cast("Language", given)


# ---- the audit itself ------------------------------------------------------------------------------------------------


def _run(config: Config, offline: bool, canary: bool | None, language: Language, *, quiet: bool) -> Outcome:
    from monitor.audit import audit as auditing
    from monitor.control.media_process import environment
    from monitor.evidence import words
    from monitor.evidence.proc import find_site

    def progress(key: str) -> None:
        if not quiet and sys.stderr.isatty():
            click.echo(words.word(language, key), err=True)

    with contextlib.ExitStack() as stack:
        client = None
        if not offline:
            try:
                find_site(Path(config.server.state_dir))
            except Unavailable as error:
                raise Unavailable(error.message, f"{error.hint}; or audit without it: --offline") from None
            client = _client(config, stack.enter_context(_token(config)))
        request = auditing.Request(
            config=config,
            environment=environment(),
            client=client,
            canary=client is not None and (canary if canary is not None else os.geteuid() == 0),
            progress=progress,
        )
        return asyncio.run(auditing.audit(request))


def _client(config: Config, token: str) -> SiteClient:
    from monitor.audit.site_client import SiteClient
    from monitor.setup.certificates import CERTIFICATE

    server = config.server
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(server.host, server.host)
    if server.tls == "off":
        return SiteClient(f"http://{host}:{server.port}", None, token)
    auto = str(Path(server.state_dir) / CERTIFICATE)
    cafile = auto if isinstance(server.tls, str) else server.tls.cert
    return SiteClient(f"https://{host}:{server.port}", cafile, token, name=server.public_host)


@contextlib.contextmanager
def _token(config: Config) -> Iterator[str]:
    """A token of the role it, which ends with the audit. Whoever may read the state directory may make one."""
    from monitor.control.accounts import Accounts

    with _journal(config) as journal:
        accounts = Accounts(journal)
        token_id, secret = accounts.create_token("it", "vigil audit", expires_days=1)
        try:
            yield secret
        finally:
            accounts.revoke(token_id)


@contextlib.contextmanager
def _journal(config: Config) -> Iterator[Journal]:
    """The journal of a site that has one already. Raises Unavailable where there is none, or it cannot be used."""
    from monitor.control.journal import FILE_NAME, Journal

    path = Path(config.server.state_dir) / FILE_NAME
    try:
        there = path.is_file()
    except OSError as error:
        raise Unavailable(f"{path} cannot be looked at: {error.strerror}", "run as root or as Vigil's user") from None
    if not there:
        raise Unavailable(f"there is no journal {path}", "it is made when vigil serve runs first")
    journal = Journal.open(path)
    try:
        yield journal
    finally:
        journal.close()


# ---- what is kept of it ----------------------------------------------------------------------------------------------


def _kept(
    config: Config, outcome: Outcome, language: Language, report_file: str | None, days: int
) -> tuple[Report | None, list[str]]:
    """Sign the report, write it where one is wanted, and put its hash into the journal. Returns what to say of it.

    An audit without a journal (offline, before the first start) is not kept; a report that was asked for is an error
    then, for there is no key to sign it with.
    """
    from monitor.audit import signed_report
    from monitor.audit.make_report import make_report
    from monitor.control import evidence_log
    from monitor.evidence import entries, keys, words

    try:
        with _journal(config) as journal:
            key = keys.load_key(Path(config.server.state_dir))
            public = keys.public_hex(key)
            evidence = journal.read_now(evidence_log.read_all)
            report = make_report(config, outcome, evidence, public, language, days)
            envelope = signed_report.sign(report, key)
            if report_file is not None:
                signed_report.write(report, key, Path(report_file), language)
            digest = hashlib.sha256(envelope).hexdigest()
            ok, rows = report.answer == "holds", [each.row for each in report.broken]
            draft = entries.report(digest, ok, rows)
            journal.write_now(lambda db: evidence_log.append(db, key, draft, _now_ms()))
            said = [words.word(language, "audit.key", public=public, fingerprint=keys.fingerprint(public))]
            if report.chain is not None:
                said.append(words.word(language, "audit.chain", entries=report.chain.entries, head=report.chain.head))
            return report, said
    except VigilError as error:
        if report_file is not None:
            raise
        return None, [words.word(language, "audit.not-kept", why=error.message)]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


# ---- verify, diff ----------------------------------------------------------------------------------------------------


@audit.command()
@click.option("--config", "file", metavar="FILE", help="The site's configuration: checks its journal's chain too.")
@click.argument("reports", nargs=-1, metavar="[REPORT]…")
@_LANGUAGE
def verify(file: str | None, reports: tuple[str, ...], lang: str | None) -> int:
    """Check the signatures of reports, and the chain of evidence in a site's journal."""
    from monitor.audit import signed_report
    from monitor.audit.diff import contained
    from monitor.control import evidence_log
    from monitor.evidence import chain, keys, words
    from monitor.setup import config_file

    if file is None and not reports:
        raise click.UsageError("give a report, or --config")
    language = _language(lang)
    good = True
    trusted: str | None = None
    evidence: chain.Evidence | None = None
    if file is not None:
        config = config_file.read(file, os.environ).config
        trusted = keys.public_hex(keys.load_key(Path(config.server.state_dir)))
        with _journal(config) as journal:
            evidence = journal.read_now(evidence_log.read_all)
        checked = chain.verify_journal(evidence, trusted)
        good = checked.ok
        for line in checked.words:
            click.echo(words.say(language, line))
    for name in reports:
        signed = signed_report.read(Path(name))
        checked_report = signed_report.verify(signed, trusted)
        good = good and checked_report.ok
        said = list(checked_report.words)
        if evidence is not None and checked_report.ok and (found := contained(signed.report, evidence)) is not None:
            good = good and found[0]
            said.append(found[1])
        for line in said:
            click.echo(f"{name}: {words.say(language, line)}")
    return 0 if good else 1


@audit.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@_LANGUAGE
def diff(a: str, b: str, lang: str | None) -> int:
    """Say what changed from report A to report B."""
    from monitor.audit import signed_report
    from monitor.audit.diff import diff as differences
    from monitor.audit.report import told
    from monitor.evidence import words

    language = _language(lang)
    older, newer = signed_report.read(Path(a)), signed_report.read(Path(b))
    good = True
    for name, signed in ((a, older), (b, newer)):
        checked = signed_report.verify(signed, None)
        if not checked.ok:
            good = False
            for line in checked.words:
                click.echo(f"{name}: {words.say(language, line)}", err=True)
    for change in differences(older.report, newer.report, language, keys=(older.public, newer.public)):
        click.echo(told(language, change))
    return 0 if good else 1
