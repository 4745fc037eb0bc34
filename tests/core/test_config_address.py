"""Camera addresses: which are one camera, what is shown of them, and how a secret is put into one."""

from __future__ import annotations

import urllib.parse

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.core.config_address import Address, Login
from monitor.core.config_secrets import substitute


@pytest.mark.parametrize(
    ("text", "identity", "shown", "password"),
    [
        ("rtsp://h/main", "h:554/main", "rtsp://h/main", False),
        ("RTSP://u:p@H:554/main", "h:554/main", "rtsp://h:554/main", True),
        ("rtsp://u@h:8554", "h:8554/", "rtsp://h:8554/", False),
        ("rtsp://u:@h/", "h:554/", "rtsp://h/", False),
        ("rtsp://u:p%40x@[0:0::1]:554/a?b=c", "[::1]:554/a?b=c", "rtsp://[::1]:554/a", True),
        ("rtsp://u:p@ss@h/a", "h:554/a", "rtsp://h/a", True),
        ("rtsp://h?user=u&password=p", "h:554?user=u&password=p", "rtsp://h", False),
        ("pattern:", "", "pattern:", False),
        ("file:/srv/demo.mp4", "", "file:/srv/demo.mp4", False),
    ],
)
def test_addresses(text: str, identity: str, shown: str, password: bool) -> None:
    address = Address(text)
    assert (address.identity, str(address), address.has_password) == (identity, shown, password)
    assert repr(address) == f"Address({shown!r})"
    assert address.secret().lower() == text.lower()
    assert address == Address(text) and hash(address) == hash(Address(text))
    assert address != Address("rtsp://elsewhere/")


_SECRETS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


def put(template: str, **secrets: str) -> str:
    value, problems = substitute(template, secrets, {})
    assert problems == []
    assert isinstance(value, str)
    return value


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_SECRETS, _SECRETS)
def test_any_user_and_password_can_stand_in_an_address(user: str, password: str) -> None:
    address = Address(put("rtsp://${USER}:${PASSWORD}@camera:8554/main", USER=user, PASSWORD=password))
    parts = urllib.parse.urlsplit(address.secret())
    assert (parts.hostname, parts.port, parts.path) == ("camera", 8554, "/main")
    assert urllib.parse.unquote(parts.username or "") == user
    assert urllib.parse.unquote(parts.password or "") == password
    assert str(address) == "rtsp://camera:8554/main"
    login = address.login()
    assert login is not None and (login.host, login.user, login.password) == ("camera", user, password)
    assert repr(login) == "Login(host='camera')"


def test_who_asks_a_camera() -> None:
    assert Address("rtsp://[::1]:554/a").login() == Login("::1", "", "")
    assert Address("rtsp://u:p:q@H/a").login() == Login("h", "u", "p:q")
    assert Address("rtsp://u@h/").login() == Login("h", "u", "")
    assert Address("pattern:").login() is None and Address("file:/a.mp4").login() is None


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("rtsp://${LOGIN}@h/", "rtsp://user:p%40%3A@h/"),  # the whole user part keeps its first colon
        ("rtsp://x-${LOGIN}@h/", "rtsp://x-user%3Ap%40%3A@h/"),
        ("rtsp://h/${LOGIN}", "rtsp://h/user:p@:"),  # not in the user part: as it is
        ("rtsp://h/a@${LOGIN}", "rtsp://h/a@user:p@:"),
        ("${LOGIN}", "user:p@:"),
        ("a $${LOGIN} b", "a ${LOGIN} b"),
        ("$LOGIN {LOGIN} $", "$LOGIN {LOGIN} $"),
        ("${LOGIN}${LOGIN}", "user:p@:user:p@:"),
    ],
)
def test_where_a_secret_is_encoded(template: str, expected: str) -> None:
    assert put(template, LOGIN="user:p@:") == expected


def test_a_secret_is_not_read_again_for_references() -> None:
    assert put("${A}", A="${B}", B="no") == "${B}"


def test_references_are_found_at_any_depth() -> None:
    value, problems = substitute({"a": [{"b": "${A}"}, "${NO}", 1]}, {}, {"A": "x"})
    assert value == {"a": [{"b": "x"}, "secret", 1]}
    assert [problem.path for problem in problems] == [("a", 1)]
