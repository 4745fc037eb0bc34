"""ICE-lite: answering connectivity checks (RFC 8445 section 2.5, RFC 8489).

aioice parses and builds the messages. A check is believed only with our ufrag in USERNAME and our password in
MESSAGE-INTEGRITY; whatever else comes is dropped without an answer, so the port tells a stranger nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from aioice import stun

Addr = tuple[str, int]


class Check(NamedTuple):
    """A valid check: whose it is, what to answer, and whether it nominates its path."""

    ufrag: str
    response: bytes
    nominated: bool


def answer_check(datagram: bytes, address: Addr, password_of: Callable[[str], str | None]) -> Check | None:
    """Check and answer a STUN binding request; None where it is not one that we believe.

    `password_of` gives the password that belongs to one of our ufrags, None where there is no such session.
    """
    try:
        request = stun.parse_message(datagram)
    except (ValueError, IndexError, struct.error):  # an attribute of the wrong length is a struct.error in aioice
        return None
    if (request.message_method, request.message_class) != (stun.Method.BINDING, stun.Class.REQUEST):
        return None
    username = request.attributes.get("USERNAME", "")
    ufrag = username.split(":", 1)[0]  # RFC 8445 section 7.2.2: ours first, then the sender's
    password = password_of(ufrag)
    if password is None or not request.check_message_integrity(password.encode()):
        return None
    response = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)
    if "ICE-CONTROLLED" in request.attributes:
        # RFC 8445 section 7.3.1.1: the lite side is always the controlled one
        response.message_class = stun.Class.ERROR
        response.attributes["ERROR-CODE"] = (487, "Role Conflict")
    else:
        response.attributes["XOR-MAPPED-ADDRESS"] = address
    response.add_message_integrity(password.encode())
    nominated = "USE-CANDIDATE" in request.attributes and response.message_class == stun.Class.RESPONSE
    return Check(ufrag, bytes(response), nominated)
