"""What may cross the door: no field that could hold a picture, nothing without a bound, nothing that shows its content.

The walk (`unsafe`) reads the schema that pydantic validates by: it sees what is enforced, not what is annotated.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError

from monitor.core import messages
from monitor.core.errors import DoorError
from monitor.core.messages import (
    MAX_MESSAGE,
    AddCamera,
    AddViewer,
    Attempt,
    CameraReport,
    CloseViewer,
    Fault,
    Hello,
    Message,
    Proof,
    RemoveCamera,
    RunProof,
    SetCurtain,
    Start,
    Stop,
    ToControl,
    ToMedia,
    ViewerAnswer,
    ViewerClosed,
    ViewerRefused,
    decode_for_control,
    decode_for_media,
    encode,
)
from monitor.evidence.door_types import unsafe

# ---- the walk --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("union", [ToMedia, ToControl], ids=["to media", "to control"])
def test_nothing_that_crosses_could_hold_a_picture(union: Any) -> None:
    assert unsafe(union) == []


def test_the_walk_sees_every_message_there_is() -> None:
    crossing = {*get_args(get_args(ToMedia)[0]), *get_args(get_args(ToControl)[0])}
    defined = {one for one in vars(messages).values() if isinstance(one, type) and issubclass(one, Message)}
    assert defined - {Message, Attempt} == crossing  # Attempt travels inside a Proof
    kinds = [one.model_fields["kind"].default for one in crossing]
    assert len(kinds) == len(set(kinds)) == 15
    for one in crossing:
        assert one.model_fields["kind"].default in (messages.__doc__ or "") or one.__name__ in (messages.__doc__ or "")


class Nested(Message):
    parts: Annotated[list[bytes], Field(max_length=4)]


class Loose(BaseModel):
    count: Annotated[int, Field(ge=0, le=1)]


BOUNDED = StringConstraints(max_length=8, pattern="^[a-z]*$")
PLANTED: dict[str, Any] = {
    "bytes": bytes,
    "bytes in a list": Annotated[list[bytes], Field(max_length=4)],
    "bytes in a model": Nested,
    "bytes in a list of models": Annotated[list[Nested], Field(max_length=4)],
    "bytes or a number": Annotated[int, Field(ge=0, le=1)] | bytes,
    "bytes or nothing": bytes | None,
    "a string": str,
    "a string without a pattern": Annotated[str, StringConstraints(max_length=8)],
    "a string without a length": Annotated[str, StringConstraints(pattern="^[a-z]*$")],
    "a list without a length": list[Annotated[str, BOUNDED]],
    "a list of anything": Annotated[list, Field(max_length=4)],
    "a dictionary": dict[Annotated[str, BOUNDED], Annotated[int, Field(ge=0, le=1)]],
    "anything": Any,
    "an object": object,
    "a tuple": tuple[int, ...],
    "a set": Annotated[set[Annotated[str, BOUNDED]], Field(max_length=4)],
    "an int": int,
    "an int with one bound": Annotated[int, Field(ge=0)],
    "a float": float,
    "a model that takes unknown fields": Loose,
}


@pytest.mark.parametrize("kind", PLANTED.values(), ids=PLANTED)
def test_a_planted_field_turns_the_walk_red(kind: Any) -> None:
    Planted = type("Planted", (Message,), {"__annotations__": {"kind": kind, "leak": kind}, "__module__": __name__})
    assert any(".leak" in finding for finding in unsafe(Planted))


def test_a_planted_message_among_the_others_turns_the_walk_red() -> None:
    class Leak(Message):
        kind: Literal["leak"] = "leak"
        picture: bytes

    assert unsafe(Annotated[Stop | Leak, Field(discriminator="kind")]) == ["/leak.picture: bytes"]


# ---- how much it could hold ------------------------------------------------------------------------------------------

BIG = 1 << 52
WORD = "w" * 48
SESSION = "s" * 64
MID = "m" * 16
LARGEST_ATTEMPT = Attempt(name=WORD, where="/" * 256, refused=False, answer=WORD)
LARGEST_REPORT = CameraReport(
    camera="c" * 64,
    state="connecting",
    reason="first-picture-awaited",
    faults=["long-keyframe-interval"] * 8,
    since_ms=BIG,
    sent_ms=BIG,
    picture_ms=BIG,
    frames=BIG,
    packets=BIG,
    octets=BIG,
    lost=BIG,
    reconnects=BIG,
    keyframe_interval_ms=BIG,
    width=65535,
    height=65535,
    profile="constrained-baseline",
    residency_max_ms=BIG,
    window_octets=BIG,
    clock_offset_ms=-BIG,
    capture_from="sender-report",
    viewers=BIG,
    viewer_packets=BIG,
    viewer_skips=BIG,
    retransmitted=BIG,
)
LARGEST_TO_CONTROL: dict[type[Message], Message] = {
    Hello: Hello(landlock_abi=1000, locks=[WORD] * 32, missing=[WORD] * 32, memory="swappable", udp_port=65535),
    Proof: Proof(
        nonce=SESSION,
        thread="second",
        holds=False,
        tried=BIG,
        refused=BIG,
        attempts=[LARGEST_ATTEMPT] * 200,
        took_ms=BIG,
    ),
    CameraReport: LARGEST_REPORT,
    ViewerAnswer: ViewerAnswer(
        viewer=SESSION,
        ufrag="u" * 64,
        pwd="p" * 64,
        fingerprint=":".join(["AB"] * 32),
        mid=MID,
        payload_type=127,
        profile_level_id="f" * 6,
        ssrc=0xFFFFFFFF,
        udp_port=65535,
        rejected_mids=[MID] * 16,
        video_index=16,
    ),
    ViewerRefused: ViewerRefused(viewer=SESSION, why="no-fingerprint"),
    ViewerClosed: ViewerClosed(viewer=SESSION, why="never-connected"),
    Fault: Fault(what=WORD, count=BIG),
}


def test_a_largest_of_each_kind_is_known_here() -> None:
    assert set(LARGEST_TO_CONTROL) == set(get_args(get_args(ToControl)[0]))


@pytest.mark.parametrize("message", LARGEST_TO_CONTROL.values(), ids=[one.__name__ for one in LARGEST_TO_CONTROL])
def test_the_largest_message_fits_or_is_refused(message: Message) -> None:
    size = len(message.model_dump_json().encode())
    if size > MAX_MESSAGE:
        assert isinstance(message, Proof), "only a proof may grow that large"
        with pytest.raises(DoorError, match="too large"):
            encode(message)
    else:
        assert size < 6000
        assert decode_for_control(encode(message)) == message


def test_a_proof_with_every_attempt_of_real_length_fits() -> None:
    attempt = Attempt(name=WORD, where="/" * 160, refused=True, answer="EACCES")
    proof = LARGEST_TO_CONTROL[Proof].model_copy(update={"attempts": [attempt] * 200})
    assert len(encode(proof)) <= MAX_MESSAGE


def test_the_strings_of_camera_reports_carry_far_less_than_a_picture() -> None:
    """Twice a second, for each of 8 cameras: the most that the free strings could carry. Everything that is not a free
    string is one of a closed list, or a number. The poorest picture stream that shows anything takes 50 KB a second."""
    fields = CameraReport.model_fields
    free = [name for name in fields if _is_free_string(CameraReport, name)]
    assert free == ["camera"]
    assert 64 * 2 * 8 <= 1024
    # … and with every number and every name of a list at its longest:
    assert len(encode(LARGEST_REPORT)) * 2 * 8 < 20_000


def _is_free_string(model: type[Message], name: str) -> bool:
    schema = TypeAdapter(model).core_schema
    while schema["type"] != "model-fields":
        schema = schema["schema"]
    found = schema["fields"][name]["schema"]
    while found["type"] in ("default", "list"):
        found = found.get("schema") or found["items_schema"]
    return bool(found["type"] == "str")


def test_text_of_the_largest_offer_is_refused_where_it_grows_beyond_the_limit() -> None:
    """Line breaks take two bytes in JSON: what is too large for the door is refused on this side of it."""
    offer = AddViewer(viewer=SESSION, camera="c" * 64, offer="\n" * 32768)
    with pytest.raises(DoorError, match="too large"):
        encode(offer)
    real = AddViewer(viewer=SESSION, camera="c" * 64, offer=("a=candidate:1 1 udp\r\n" * 1600)[:32768])
    assert decode_for_media(encode(real)) == real


# ---- there and back --------------------------------------------------------------------------------------------------

TO_MEDIA: list[Message] = [
    Start(
        enforce="strict",
        udp_host="0.0.0.0",
        udp_port=8555,
        readable=["/srv/kamera ø.mp4"],
        clock_offset_ms=1_790_000_000_000,
        max_viewers=200,
    ),
    AddCamera(
        camera="bay-1.sub",
        label="Leje 1 æøå",
        source="rtsp://viewer:secret@192.0.2.11/main",
        transport="tcp",
        window_seconds=2.0,
        window_bytes=8 << 20,
        stale_seconds=2.0,
    ),
    RemoveCamera(camera="bay-1"),
    SetCurtain(camera="bay-1", closed=True),
    AddViewer(viewer=SESSION, camera="bay-1", offer="v=0\r\n"),
    CloseViewer(viewer=SESSION),
    RunProof(nonce=SESSION),
    Stop(),
]


def test_every_message_comes_back_as_it_was() -> None:
    assert {type(one) for one in TO_MEDIA} == set(get_args(get_args(ToMedia)[0]))
    for message in TO_MEDIA:
        assert decode_for_media(encode(message)) == message


def test_a_message_for_the_other_room_is_refused() -> None:
    for message in TO_MEDIA:
        with pytest.raises(DoorError):
            decode_for_control(encode(message))
    with pytest.raises(DoorError):
        decode_for_media(encode(LARGEST_REPORT))


@pytest.mark.parametrize(
    ("message", "field", "value"),
    [
        (TO_MEDIA[1], "window_seconds", math.nan),
        (TO_MEDIA[1], "window_seconds", math.inf),
        (TO_MEDIA[1], "window_seconds", 0.0),
        (TO_MEDIA[1], "camera", "bay-1\n"),
        (TO_MEDIA[1], "camera", "../bay"),
        (TO_MEDIA[1], "label", "a\nb"),
        (TO_MEDIA[1], "label", "x" * 65),
        (TO_MEDIA[1], "curtain", 1),
        (TO_MEDIA[1], "window_bytes", 65536.0),
        (TO_MEDIA[0], "udp_port", 65536),
        (TO_MEDIA[0], "udp_port", True),
        (TO_MEDIA[0], "readable", ["relative"]),
        (TO_MEDIA[0], "readable", ["/f"] * 65),
        (TO_MEDIA[6], "nonce", "short"),
        (TO_MEDIA[4], "offer", "v=0\x00"),
        (TO_MEDIA[4], "offer", "ø"),
    ],
)
def test_what_is_out_of_bounds_is_refused(message: Message, field: str, value: object) -> None:
    fields = message.model_dump()
    assert type(message)(**fields) == message
    with pytest.raises(ValidationError):
        type(message)(**{**fields, field: value})
    if isinstance(value, float) and not math.isfinite(value):
        return  # JSON has no such numbers
    with pytest.raises(DoorError):
        decode_for_media(json.dumps({**fields, field: value}).encode())


def test_messages_do_not_change() -> None:
    message = SetCurtain(camera="bay-1", closed=True)
    with pytest.raises(ValidationError):
        message.closed = False  # type: ignore[misc]


# ---- what is not a message -------------------------------------------------------------------------------------------

SECRET = "Zq7Xj9Kw"


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f'{{"kind": "{SECRET}"}}',
        f'{{"kind": "stop", "{SECRET}": 1}}',
        f'{{"kind": "stop", "{SECRET}": {{"{SECRET}": 1}}}}',
        f'{{"kind": "set_curtain", "camera": "{SECRET}", "closed": true}}',
        f'{{"kind": "set_curtain", "camera": "bay", "closed": "{SECRET}"}}',
        f'{{"kind": "add_viewer", "viewer": "{SECRET}", "camera": "{SECRET}", "offer": "\\u0000{SECRET}"}}',
        f'["{SECRET}"]',
    ],
)
def test_a_refusal_never_shows_what_was_sent(text: str) -> None:
    for decode in (decode_for_media, decode_for_control):
        with pytest.raises(DoorError) as caught:
            decode(text.encode())
        error = caught.value
        assert error.__cause__ is None
        assert error.__suppress_context__  # or a traceback would print pydantic's own words
        assert SECRET not in f"{error.message} {error.hint} {error!r}"


def test_a_refusal_says_where_and_how() -> None:
    with pytest.raises(DoorError, match=r"^a malformed message at the door: set_curtain\.closed: bool_type$"):
        decode_for_media(b'{"kind": "set_curtain", "camera": "bay", "closed": 1}')
    with pytest.raises(DoorError, match=r"^a malformed message at the door: proof\.attempts\.0: extra_forbidden$"):
        proof = LARGEST_TO_CONTROL[Proof].model_copy(update={"attempts": []}).model_dump(mode="json")
        proof["attempts"] = [{**Attempt(name="a", where="", refused=True, answer="b").model_dump(), SECRET: 1}]
        decode_for_control(json.dumps(proof).encode())


def test_what_is_too_large_is_not_even_read() -> None:
    with pytest.raises(DoorError, match="65537 bytes is too large"):
        decode_for_media(b" " * 65537)
    assert decode_for_media(b'{"kind": "stop"}'.ljust(65536)) == Stop()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    for decode in (decode_for_media, decode_for_control):
        with pytest.raises(DoorError) as caught:
            decode(data)
        assert not _repeats(data, caught.value.message)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*TO_MEDIA, *LARGEST_TO_CONTROL.values()]), st.data())
def test_a_message_with_some_bytes_changed_is_refused_or_another_message(message: Message, data: st.DataObject) -> None:
    raw = bytearray(message.model_dump_json().encode()[:4000])
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    for decode in (decode_for_media, decode_for_control):
        try:
            taken = decode(bytes(raw))
        except DoorError as error:
            assert len(error.message) < 200
        else:
            assert isinstance(taken, Message)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 20000), st.sampled_from(["[", '{"kind":']))
def test_deep_nesting_is_refused(depth: int, opening: str) -> None:
    with pytest.raises(DoorError):
        decode_for_media((opening * depth)[:MAX_MESSAGE].encode())


def _repeats(data: bytes, message: str) -> bool:
    """Whether any six bytes of the input stand in the message."""
    told = message.encode()
    return any(data[at : at + 6] in told for at in range(len(data) - 5))
