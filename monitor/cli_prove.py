"""The command line of the seal's proof: `vigil prove`.

It needs no configuration and no site. It must never weaken anything but the processes that it starts itself and throws
away: a lock is left off in them alone.
"""

from __future__ import annotations

import difflib
import json
import locale
import os
from typing import cast

import click

from monitor.core.errors import InputError, VigilError
from monitor.evidence.words import Language


@click.command()
@click.option("--without", metavar="LOCK", multiple=True, help="Leave a lock off, and see what succeeds. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: every attempt.")
@click.option(
    "--lang", type=click.Choice(["da", "en"]), help="The language of the words. Without it the shell's, else English."
)
def prove(without: tuple[str, ...], as_json: bool, lang: str | None) -> int:
    """Attack the seal of a media process that is thrown away afterwards, in every way that is known.

    Exits 0 where every attack was refused, 1 where one was not.
    """
    from monitor.audit import prove as proving
    from monitor.audit import prove_table
    from monitor.control.media_process import environment

    _check(without)
    try:
        proved = proving.prove(environment(), tuple(dict.fromkeys(without)))
    except OSError as error:
        raise VigilError(
            f"the proof cannot be made: {error.strerror}", "make a directory for temporary files writable"
        ) from None
    language = _language(lang)
    if as_json:
        click.echo(json.dumps(prove_table.to_json(proved, language), ensure_ascii=False, indent=2))
    else:
        for line in prove_table.table(proved, language):
            click.echo(line)
    return prove_table.exit_code(proved)


def _check(without: tuple[str, ...]) -> None:
    from monitor.media.seal import LOCKS

    for name in without:
        if name not in LOCKS:
            near = difflib.get_close_matches(name, LOCKS, n=1)
            raise InputError(
                f"there is no lock {name!r}", f"did you mean {near[0]}?" if near else f"locks: {', '.join(LOCKS)}"
            )


def _language(given: str | None) -> Language:
    if given is None:
        shell = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
        given = "da" if locale.normalize(shell).lower().startswith("da") else "en"
    return cast("Language", given)
