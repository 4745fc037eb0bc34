"""`vigil audit` without a running site, `verify` and `diff`, as transcripts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.audit import signed_report
from monitor.control import evidence_log
from monitor.control.journal import FILE_NAME, Journal
from monitor.evidence import entries, keys
from tests.audit import sample_reports
from tests.project.test_cli import CONFIG, vigil

T = 1_795_500_000_000


@pytest.fixture
def config(tmp_path: Path, free_port: Callable[[], int], free_udp_port: Callable[..., int]) -> Path:
    """A site that has run: its journal has ten entries of evidence."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    key = keys.ensure_key(state)
    journal = Journal.open(state / FILE_NAME)
    try:
        for minute in range(10):
            draft = entries.watch(T + minute * 60_000, T + (minute + 1) * 60_000, 2, True, [], [14])
            now_ms = T + (minute + 1) * 60_000
            journal.write_now(lambda db, draft=draft, now_ms=now_ms: evidence_log.append(db, key, draft, now_ms))
    finally:
        journal.close()
    file = tmp_path / "vigil.toml"
    text = CONFIG.format(port=free_port(), udp_port=free_udp_port(2), state=state)
    file.write_text(text.replace("rtsp://viewer:${CAM1}@127.0.0.1:9/main", "pattern:"))
    return file


def edit(config: Path, *statements: str) -> None:
    """As somebody would who knows SQLite: the triggers go first."""
    with sqlite3.connect(config.parent / "state" / FILE_NAME) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            db.execute(statement)
    db.close()


def test_a_whole_journal_is_said_to_be_whole(config: Path) -> None:
    code, out, err = vigil("audit", "verify", "--config", str(config), "--lang", "en")
    assert (code, err) == (0, "")
    assert out.startswith("The journal's chain is whole: 10 entries (1 to 10)")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE evidence SET body = replace(body, '\"ok\":true', '\"ok\":false') WHERE seq = 4", "Entry 4 "),
        ("UPDATE evidence SET at_ms = at_ms + 1 WHERE seq = 10", "Entry 10 "),
        ("DELETE FROM evidence WHERE seq = 6", "Entries 6 were removed"),
        ("DELETE FROM evidence WHERE seq = 1", "The journal's beginning was removed: entries 1"),
        ("DELETE FROM evidence WHERE seq > 8", "The newest entries were removed: 9-10"),
    ],
)
def test_one_entry_that_was_edited_or_removed_is_found(config: Path, statement: str, said: str) -> None:
    edit(config, statement)
    code, out, _ = vigil("audit", "verify", "--config", str(config), "--lang", "en")
    assert code == 1
    assert said in out
    code, out, _ = vigil("audit", "verify", "--config", str(config), "--lang", "da")
    assert code == 1
    assert "Journalens kæde er hel" not in out


def test_offline_names_what_it_could_not_look_at(config: Path) -> None:
    code, out, _ = vigil("audit", "--config", str(config), "--offline", "--json", "--lang", "en")
    answer = json.loads(out)
    verdicts = {row["row"]: row["verdict"] for row in answer["rows"]}
    assert code == (0 if answer["ok"] else 1)
    assert sorted(verdicts) == list(range(1, 21))
    assert {row for row, verdict in verdicts.items() if verdict == "not_checked"} >= {1, 2, 3, 4, 8, 9, 14, 15, 16, 17}
    assert all(row["why"] for row in answer["rows"] if row["verdict"] != "holds")
    assert verdicts[20] == "holds"
    assert answer["ok"], [row for row in answer["rows"] if row["possible"] or row["verdict"] == "broken"]


def test_without_a_site_it_says_so(config: Path) -> None:
    code, out, err = vigil("audit", "--config", str(config))
    assert (code, out) == (1, "")
    assert err.startswith("vigil: error: no server is running with this configuration\nhint: ")
    assert "--offline" in err


def test_a_report_that_was_changed_is_found(config: Path, tmp_path: Path) -> None:
    key = keys.load_key(config.parent / "state")
    good, changed = tmp_path / "good.json", tmp_path / "changed.json"
    signed_report.write(sample_reports.report(chain=None), key, good, "en")
    assert vigil("audit", "verify", "--lang", "en", "--config", str(config), str(good))[0] == 0
    changed.write_text(good.read_text().replace('"strict"', '"warn"'))
    assert changed.read_text() != good.read_text()
    code, out, _ = vigil("audit", "verify", "--lang", "en", str(changed))
    assert code == 1, out
    assert vigil("audit", "diff", "--lang", "en", str(good), str(good))[0] == 0


def test_what_is_missing_is_asked_for() -> None:
    for words in (("audit",), ("audit", "verify"), ("audit", "diff", "a.pdf")):
        code, out, err = vigil(*words)
        assert (code, out) == (2, "")
        assert err.startswith("vigil: error: ")
    code, _, err = vigil("audit", "verify", "no-such-file.pdf")
    assert code == 2
    assert "no-such-file.pdf" in err
