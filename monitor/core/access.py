"""Who may do what: the one table of roles and actions.

Every route asks this table and nothing else may decide. The table must never let `it` or `admin` see a picture: those
who keep the machine have no business watching patients (DESIGN.md, roles). What is not listed is refused.
"""

from __future__ import annotations

from typing import Literal, get_args

from monitor.core.errors import NotAllowed

Role = Literal["nurse", "display", "button", "it", "admin"]
Action = Literal[
    "watch",  # a bay's pictures
    "see-bays",  # names, states of cameras and buttons
    "see-calls",  # all bays' calls
    "press",  # its own button only
    "shown",
    "acknowledge",
    "attend",
    "close",
    "curtain",
    "guarantee",
    "health",  # metrics, readiness
    "audit",  # checks, proofs and the canary; no bay's picture
    "accounts",
]

ROLES: tuple[Role, ...] = get_args(Role)
ACTIONS: tuple[Action, ...] = get_args(Action)

TABLE: dict[Role, frozenset[Action]] = {
    "nurse": frozenset(
        {"watch", "see-bays", "see-calls", "shown", "acknowledge", "attend", "close", "curtain", "guarantee"}
    ),
    "display": frozenset({"watch", "see-bays", "see-calls", "shown", "guarantee"}),
    "button": frozenset({"press"}),
    "it": frozenset({"see-bays", "guarantee", "health", "audit"}),
    "admin": frozenset({"see-bays", "guarantee", "health", "audit", "accounts"}),
}


def permits(role: Role, action: Action) -> bool:
    """Whether the table lists it."""
    return action in TABLE[role]


def require(role: Role, action: Action) -> None:
    """Raises NotAllowed where the table does not list it."""
    if not permits(role, action):
        may = ", ".join(name for name in ROLES if permits(name, action))
        raise NotAllowed(f"the role {role} may not do this ({action})", f"it needs the role {may}" if may else "")


def require_press(role: Role, own_button: str | None, button: str) -> None:
    """A button presses itself and nothing else. Raises NotAllowed."""
    require(role, "press")
    if own_button != button:
        raise NotAllowed("this token belongs to another button", "use the token that was made for this button")
