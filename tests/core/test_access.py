"""The table of roles and actions, against the contract's own words (DESIGN.md, roles)."""

from __future__ import annotations

import pytest

from monitor.core.access import ACTIONS, ROLES, TABLE, Role, permits, require, require_press
from monitor.core.errors import NotAllowed


def test_the_table_knows_every_role_and_only_known_actions() -> None:
    assert set(TABLE) == set(ROLES)
    assert {action for actions in TABLE.values() for action in actions} == set(ACTIONS), "an action nobody may do"


@pytest.mark.parametrize("role", ["it", "admin", "button"])
def test_who_never_sees_a_picture(role: Role) -> None:
    assert not permits(role, "watch")
    with pytest.raises(NotAllowed):
        require(role, "watch")


def test_who_does() -> None:
    assert {role for role in ROLES if permits(role, "watch")} == {"nurse", "display"}
    require("nurse", "watch")


def test_a_display_confirms_and_a_nurse_answers() -> None:
    assert TABLE["nurse"] - TABLE["display"] == {"acknowledge", "attend", "close", "curtain"}
    assert TABLE["display"] <= TABLE["nurse"]


def test_a_button_presses_itself_and_nothing_else() -> None:
    assert TABLE["button"] == {"press"}
    require_press("button", "bay-1-button", "bay-1-button")
    with pytest.raises(NotAllowed, match="another button"):
        require_press("button", "bay-1-button", "bay-2-button")
    with pytest.raises(NotAllowed):
        require_press("nurse", None, "bay-1-button")


def test_a_refusal_names_who_may() -> None:
    with pytest.raises(NotAllowed) as refused:
        require("display", "acknowledge")
    assert "nurse" in refused.value.hint
