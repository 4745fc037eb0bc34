"""ICE-lite: what is answered, and that nothing else is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aioice import stun
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.media.ice import Check, answer_check

UFRAG, PASSWORD = "0123456789abcdef", "f" * 32
HERE = ("192.0.2.7", 50123)


def password_of(ufrag: str) -> str | None:
    return PASSWORD if ufrag == UFRAG else None


def check(
    *,
    username: str | None = f"{UFRAG}:theirs",
    password: str | None = PASSWORD,
    change: Callable[[stun.Message], None] = lambda _: None,
    method: stun.Method = stun.Method.BINDING,
    kind: stun.Class = stun.Class.REQUEST,
) -> bytes:
    """A browser's connectivity check (RFC 8445 section 7.2.2)."""
    message = stun.Message(method, kind)
    if username is not None:
        message.attributes["USERNAME"] = username
    message.attributes["ICE-CONTROLLING"] = 1234
    message.attributes["PRIORITY"] = 1853824767
    change(message)
    if password is not None:
        message.add_message_integrity(password.encode())
    return bytes(message)


def nominate(message: stun.Message) -> None:
    message.attributes["USE-CANDIDATE"] = None


def answered(datagram: bytes, address: tuple[str, int] = HERE) -> tuple[Check, stun.Message]:
    result = answer_check(datagram, address, password_of)
    assert result is not None
    return result, stun.parse_message(result.response)


@pytest.mark.parametrize("address", [HERE, ("2001:db8::7", 50123)])
def test_a_check_is_answered_with_the_sender_s_address(address: tuple[str, int]) -> None:
    datagram = check()
    result, response = answered(datagram, address)
    assert (result.ufrag, result.nominated) == (UFRAG, False)
    assert (response.message_method, response.message_class) == (stun.Method.BINDING, stun.Class.RESPONSE)
    assert response.transaction_id == stun.parse_message(datagram).transaction_id
    assert response.attributes["XOR-MAPPED-ADDRESS"] == address
    assert response.check_message_integrity(PASSWORD.encode())
    assert not response.check_message_integrity(b"another")
    assert "FINGERPRINT" in response.attributes  # RFC 8445 section 7.1: always


def test_a_nomination_is_seen() -> None:
    assert answered(check(change=nominate))[0].nominated


def test_a_role_conflict_is_told_and_nominates_nothing() -> None:
    def controlled(message: stun.Message) -> None:
        del message.attributes["ICE-CONTROLLING"]
        message.attributes["ICE-CONTROLLED"] = 1234
        nominate(message)

    result, response = answered(check(change=controlled))
    assert response.message_class == stun.Class.ERROR
    assert response.attributes["ERROR-CODE"] == (487, "Role Conflict")
    assert "XOR-MAPPED-ADDRESS" not in response.attributes
    assert response.check_message_integrity(PASSWORD.encode())
    assert not result.nominated


@pytest.mark.parametrize(
    "datagram",
    [
        check(password="e" * 32),
        check(password=""),
        check(password=None),
        check(username="another0another0:theirs"),
        check(username=f"theirs:{UFRAG}"),
        check(username=""),
        check(username=None),
        check(username=UFRAG[:-1]),
        check(kind=stun.Class.RESPONSE),
        check(kind=stun.Class.INDICATION),
        check(kind=stun.Class.ERROR),
        check(method=stun.Method.ALLOCATE),
        check()[:-1],
        check() + b"\0",
        check()[:20],
        b"",
        bytes(20),
        b"\x00\x01\x00\x00",
    ],
)
def test_everything_else_gets_no_answer(datagram: bytes) -> None:
    assert answer_check(datagram, HERE, password_of) is None


def test_a_nomination_behind_the_integrity_does_not_count() -> None:
    """RFC 8489 section 14.5: what follows MESSAGE-INTEGRITY is not signed."""
    message = stun.parse_message(check())
    fingerprint_size = 8
    raw = bytearray(bytes(message)[:-fingerprint_size])
    raw += b"\x00\x25\x00\x00"  # USE-CANDIDATE
    raw[2:4] = (len(raw) - 20).to_bytes(2, "big")
    result = answer_check(bytes(raw), HERE, password_of)
    assert result is None or not result.nominated


@pytest.mark.parametrize("at", range(len(check()) - 8))
def test_one_byte_changed_is_no_check(at: int) -> None:
    """All but the FINGERPRINT at the end, which is no protection and may be missing."""
    raw = bytearray(check())
    raw[at] ^= 1 << at % 8
    assert answer_check(bytes(raw), HERE, password_of) is None


ATTRIBUTE = st.builds(
    lambda kind, value, said: (
        kind.to_bytes(2, "big")
        + (len(value) if said is None else said).to_bytes(2, "big")
        + value
        + bytes(-len(value) % 4)
    ),
    st.sampled_from(sorted(stun.ATTRIBUTES_BY_TYPE)) | st.integers(0, 0xFFFF),
    st.binary(max_size=24),
    st.none() | st.integers(0, 0xFFFF),
)


def message_of(attributes: list[bytes]) -> bytes:
    body = b"".join(attributes)
    return b"\x00\x01" + len(body).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + bytes(12) + body


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=120) | st.lists(ATTRIBUTE, max_size=5).map(message_of))
def test_garbage_never_raises_and_is_never_answered(datagram: bytes) -> None:
    assert answer_check(datagram, HERE, password_of) is None


@pytest.mark.parametrize("kind", sorted(stun.ATTRIBUTES_BY_TYPE))
@pytest.mark.parametrize("size", [0, 1, 3, 5, 9])
def test_attributes_of_the_wrong_length(kind: int, size: int) -> None:
    attribute = kind.to_bytes(2, "big") + size.to_bytes(2, "big") + bytes(size) + bytes(-size % 4)
    assert answer_check(message_of([attribute]), HERE, password_of) is None
