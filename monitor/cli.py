"""The command line: `vigil demo`, `serve`, `check`, `token`; `audit` and `prove` stand in modules of their own.

This module only reads what was asked for, calls the part that does it and says how it went: an error is one line
`vigil: error: …` and one line `hint: …` on standard error, never a traceback for a mistake of the user's. A token is
printed once, when it is made; no password and no token is ever taken as an argument, where every user of the machine
could read it.

Exit codes: 0 done; 1 it failed; 2 what was given is wrong; 130 interrupted before anything ran (`core/errors.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import difflib
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from monitor import __version__
from monitor.cli_audit import audit
from monitor.cli_prove import prove
from monitor.core.errors import InputError, VigilError

if TYPE_CHECKING:
    from monitor.control.accounts import Accounts
    from monitor.control.site import Site, SiteReady
    from monitor.setup.config_file import ConfigFile

INTERRUPTED = 130
"""What a shell reports for a program that Ctrl-C ended."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_CONFIG = click.option("--config", "file", metavar="FILE", required=True, help="The configuration (TOML).")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    try:
        code = vigil.main(args=None if argv is None else list(argv), prog_name="vigil", standalone_mode=False)
        sys.stdout.flush()
    except VigilError as error:
        _complain(error.message, error.hint)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        what = error.format_message().rstrip(".")
        _complain(what[:1].lower() + what[1:], f"see {context.command_path if context else 'vigil'} --help")
        return 2
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # Who read our output has gone: nothing is left to say, and Python must not try to at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def _complain(message: str, hint: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        click.echo(f"vigil: error: {message}", err=True)
        if hint:
            click.echo(f"hint: {hint}", err=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vigil", message="%(prog)s %(version)s")
def vigil() -> None:
    """Live pictures of recovery bays on the staff's screens, with the patient's call, and no picture stored."""


vigil.add_command(audit)
vigil.add_command(prove)


@vigil.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the pages. Without it 8443, or a free one.")
@click.option("--udp-port", type=click.IntRange(1, 65535), help="First port of the pictures. Without it 8555, or free.")
@click.option("--verbose", is_flag=True, help="Log to standard error what happens.")
def demo(port: int | None, udp_port: int | None, verbose: bool) -> None:
    """Show four synthetic bays on this machine, without cameras and without a configuration."""
    from monitor.setup import logs, preflight

    with _stoppable() as asked:
        logs.set_up(logging.INFO if verbose else logging.WARNING)
        from monitor.control import demo as demonstration

        asked.check()
        cores = preflight.cores()
        port = preflight.demo_ports(demonstration.HOST, port, 8443, 1, "--port")
        udp_port = preflight.demo_ports(
            demonstration.HOST, udp_port, 8555, demonstration.processes(cores), "--udp-port"
        )
        with demonstration.prepared(port, udp_port, cores) as prepared:
            from monitor.control.site import Site

            def say(ready: SiteReady) -> None:
                click.echo(f"wall:    {ready.base_url}/sign-in#{prepared.wall_code}")
                click.echo(f"button:  {ready.base_url}/button/{demonstration.BUTTON}#{prepared.button_code}")
                click.echo(f"seal:    {ready.proof_summary}")
                click.echo("Each link signs one browser in, once. Ctrl-C ends the demo and removes all of it.")
                sys.stdout.flush()

            site = Site(prepared.config, tls=None, banner=say, outages=demonstration.OUTAGES)
            _run(site, asked)


@vigil.command()
@_CONFIG
def serve(file: str) -> None:
    """Serve the bays of a configuration until a signal ends it."""
    from monitor.setup import certificates, config_file, logs, preflight

    with _stoppable() as asked:
        logs.set_up(logging.INFO)
        opened = config_file.read(file, os.environ)
        preflight.check_tls_files(opened)
        preflight.check_ports(opened)
        state_dir = preflight.make_state_dir(opened)
        server = opened.config.server
        tls: tuple[str, str] | None = None
        if server.tls == "auto":
            now = datetime.datetime.now(datetime.UTC)
            tls = certificates.ensure_certificate(state_dir, server.public_host, now)
        elif not isinstance(server.tls, str):
            tls = (server.tls.cert, server.tls.key)
        with _accounts(opened) as accounts:
            signed_in = any(token.revoked_ms is None for token in accounts.list_tokens())
        from monitor.control.site import Site

        def say(ready: SiteReady) -> None:
            click.echo(f"serving: {ready.base_url}")
            click.echo(f"seal:    {ready.proof_summary}")
            if not signed_in:
                click.echo(f"nobody can sign in yet: vigil token create --config {file} --role nurse --name NAME")
            sys.stdout.flush()

        _run(Site(opened.config, tls=tls, banner=say), asked)


@vigil.command()
@_CONFIG
def check(file: str) -> None:
    """Check a configuration, and say what it will do and what it lacks."""
    from monitor.core.config_checks import warnings
    from monitor.setup import config_file, preflight, summary

    opened = config_file.read(file, os.environ)
    preflight.check_tls_files(opened)
    for line in summary.lines(opened.config, preflight.cores()):
        click.echo(line)
    for seen, hint in warnings(opened.config):
        click.echo(f"warning: {seen}\n  hint: {hint}")
    click.echo(f"{file}: ok")


@vigil.group()
def token() -> None:
    """Make, list and revoke the tokens by which people and devices sign in."""


@token.command()
@_CONFIG
@click.option("--role", required=True, help="nurse, display, button, it or admin.")
@click.option("--name", required=True, help="Whose it is: a person, a screen or a device. Stands in the access log.")
@click.option("--button", metavar="ID", help="With the role button: which of the configuration's buttons.")
@click.option("--days", type=click.IntRange(1, 3660), help="How long it lasts. Without it until it is revoked.")
def create(file: str, role: str, name: str, button: str | None, days: int | None) -> None:
    """Make a token. It is printed once, as the last word."""
    from monitor.setup import config_file, summary

    opened = config_file.read(file, os.environ)
    if button is not None and not opened.config.button(button):
        known = [each.id for bay in opened.config.bays for each in bay.buttons]
        near = difflib.get_close_matches(button, known, n=1)
        raise InputError(
            f"{file} has no such button",
            f"did you mean {near[0]}?" if near else f"buttons: {', '.join(known) or 'none'}",
        )
    with _accounts(opened) as accounts:
        token_id, secret = accounts.create_token(role, name, button, days)
        code = accounts.create_sign_in_code(token_id)
    page = f"button/{button}" if button else "sign-in"
    click.echo(f"signs one browser in, once, within 10 minutes: {summary.base_url(opened.config)}/{page}#{code}")
    click.echo(f"token {token_id} of {name} ({role}), shown only now: {secret}")


@token.command("list")
@_CONFIG
def list_(file: str) -> None:
    """List the tokens, without their secrets."""
    from monitor.setup import config_file

    with _accounts(config_file.read(file, os.environ)) as accounts:
        tokens = accounts.list_tokens()
    if not tokens:
        click.echo("no tokens")
        return
    now_ms = datetime.datetime.now(datetime.UTC).timestamp() * 1000
    rows = [("ID", "ROLE", "NAME", "BUTTON", "MADE", "STATE")]
    for each in tokens:
        if each.revoked_ms is not None:
            state = f"revoked {_day(each.revoked_ms)}"
        elif each.expires_ms is None:
            state = "valid"
        else:
            state = f"{'valid until' if now_ms < each.expires_ms else 'ended'} {_day(each.expires_ms)}"
        rows.append((each.id, each.role, each.name, each.button or "-", _day(each.created_ms), state))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@token.command()
@_CONFIG
@click.argument("name_or_id")
def revoke(file: str, name_or_id: str) -> None:
    """End a token by its id, or all tokens of a name. A running server ends what they opened within a second."""
    from monitor.setup import config_file

    with _accounts(config_file.read(file, os.environ)) as accounts:
        count = accounts.revoke(name_or_id)
    click.echo(f"revoked {count} token{'' if count == 1 else 's'}")


def _day(moment_ms: int) -> str:
    return f"{datetime.datetime.fromtimestamp(moment_ms / 1000, datetime.UTC):%Y-%m-%d}"


@contextlib.contextmanager
def _accounts(opened: ConfigFile) -> Iterator[Accounts]:
    """The accounts of a configuration's state directory, which is made where it is missing."""
    from monitor.control.accounts import Accounts
    from monitor.control.journal import FILE_NAME, Journal
    from monitor.setup import preflight

    journal = Journal.open(preflight.make_state_dir(opened) / FILE_NAME)
    try:
        yield Accounts(journal)
    finally:
        journal.close()


class _Asked:
    """Whether a signal asked this run to end. A handler only notes it: an exception thrown into the middle of an import
    can leave a native module half made, which has ended the interpreter with SIGSEGV."""

    def __init__(self) -> None:
        self.to_end = False

    def note(self, number: int, frame: object) -> None:
        """The signal handler."""
        self.to_end = True

    def check(self) -> None:
        """To be called between steps. Raises KeyboardInterrupt where a signal came."""
        if self.to_end:
            raise KeyboardInterrupt


@contextlib.contextmanager
def _stoppable() -> Iterator[_Asked]:
    """SIGTERM, and a terminal that goes away, end what runs as Ctrl-C does: cleaned up behind it.

    Once the site runs it takes SIGINT and SIGTERM itself.
    """
    asked = _Asked()
    before = {number: signal.signal(number, asked.note) for number in _SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(site: Site, asked: _Asked) -> None:
    """Run the site to its end. From then on no signal disturbs the cleaning up."""
    asked.check()
    try:
        asyncio.run(_until_asked(site, asked))
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)


async def _until_asked(site: Site, asked: _Asked) -> None:
    """Run the site; end it also for a signal that came before it listened, and for SIGHUP."""

    async def listen() -> None:
        while not asked.to_end:  # noqa: ASYNC110  (a signal handler may set it at any moment, outside the loop)
            await asyncio.sleep(0.05)
        site.stop()

    listening = asyncio.create_task(listen())
    try:
        await site.run()
    finally:
        listening.cancel()
