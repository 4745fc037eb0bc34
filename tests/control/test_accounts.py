"""Tokens as the command line makes, lists and revokes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.control.accounts import DAY_MS, Accounts
from monitor.control.journal import Journal
from monitor.core.errors import InputError, NotFound

NOW = 1_800_000_000_000


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    journal = Journal.open(tmp_path / "j")
    yield Accounts(journal, lambda: NOW)
    journal.close()


def test_a_token_is_shown_once_and_kept_as_a_hash(accounts: Accounts, tmp_path: Path) -> None:
    token_id, secret = accounts.create_token("nurse", "Anna", expires_days=30)
    (info,) = accounts.list_tokens()
    assert (info.id, info.role, info.name, info.button) == (token_id, "nurse", "Anna", None)
    assert (info.created_ms, info.expires_ms, info.revoked_ms) == (NOW, NOW + 30 * DAY_MS, None)
    assert len(secret) == len("vigil_token_") + 43
    accounts._journal.close()
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert secret.encode() not in files
    assert hashlib.sha256(secret.encode()).digest() in files, "negative control: its hash is there"


def test_secrets_differ(accounts: Accounts) -> None:
    made = {accounts.create_token("display", "Wall")[1] for _ in range(20)}
    assert len(made) == 20


@pytest.mark.parametrize(
    ("role", "name", "button", "days"),
    [
        ("doctor", "Anna", None, None),
        ("nurse", "", None, None),
        ("nurse", " Anna", None, None),
        ("nurse", "An\nna", None, None),
        ("nurse", "A" * 65, None, None),
        ("nurse", "Anna", "bay-1-tablet", None),
        ("button", "Tablet", None, None),
        ("nurse", "Anna", None, 0),
        ("nurse", "Anna", None, 99999),
    ],
)
def test_tokens_that_make_no_sense(
    accounts: Accounts, role: str, name: str, button: str | None, days: float | None
) -> None:
    with pytest.raises(InputError):
        accounts.create_token(role, name, button, days)
    assert accounts.list_tokens() == []


def test_revoking_by_name_or_id(accounts: Accounts) -> None:
    first, _ = accounts.create_token("nurse", "Anna")
    accounts.create_token("nurse", "Anna")
    accounts.create_token("nurse", "Bo")
    assert accounts.revoke("Anna") == 2
    with pytest.raises(NotFound):
        accounts.revoke(first)
    with pytest.raises(NotFound):
        accounts.revoke("Nobody")
    assert [(info.name, info.usable(NOW)) for info in accounts.list_tokens()].count(("Anna", False)) == 2
    assert [info.name for info in accounts.list_tokens() if info.usable(NOW)] == ["Bo"]
    with pytest.raises(NotFound):
        accounts.create_sign_in_code(first)
