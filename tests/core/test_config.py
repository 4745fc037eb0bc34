"""Each mistake in a configuration, paired with the one error it gets: file, line, key, what, and what to do."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.core.config import MAX_TEXT, Address, Bay, Button, Clinic, Config, Server, TlsFiles, load
from monitor.core.config_checks import warnings
from monitor.core.config_tables import TABLES
from monitor.core.errors import ConfigError

GOOD = """\
version = 1
[clinic]
name = "Klinik"
[server]
public_host = "vigil.clinic.example"
[media]
window_seconds = 2
[[bays]]
id = "bay-1"
name = "Leje 1"
camera = "rtsp://viewer:${CAM1}@192.0.2.11/main"
[[bays.buttons]]
id = "bay-1-tablet"
kind = "web"
[[bays]]
id = "bay-2"
name = "Leje 2"
camera = "rtsp://viewer:${CAM1}@192.0.2.12/main"
"""
SECRET = "s3cret-@:/?#%-value"
ENVIRON = {"CAM1": SECRET}


def read(text: str, **changed: dict[str, str]) -> Config:
    return load(text, file="vigil.toml", environ=changed.get("environ", ENVIRON), credentials=changed.get("cred", {}))


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return caught.value


def test_a_good_file_is_read_with_its_defaults() -> None:
    config = read(GOOD)
    assert config.server == Server(public_host="vigil.clinic.example")
    assert (config.server.host, config.server.port, config.server.udp_port) == ("0.0.0.0", 8443, 8555)
    assert (config.server.tls, config.server.state_dir) == ("auto", "/var/lib/vigil")
    assert (config.media.enforce, config.media.window_bytes, config.media.max_viewers) == ("strict", 8 << 20, 200)
    assert config.media.window_seconds == 2.0 and isinstance(config.media.window_seconds, float)
    retention = config.retention
    assert (retention.calls_days, retention.access_log_days, retention.security_log_days) == (180, 180, 400)
    assert [bay.id for bay in config.bays] == ["bay-1", "bay-2"]
    assert [(bay.onvif_port, bay.serial) for bay in config.bays] == [(80, ""), (80, "")]
    assert [bay.presence for bay in config.bays] == ["bay", "none"], "only a bay with a page of its own has presence"
    assert config.button("bay-1-tablet") == (config.bays[0], Button(id="bay-1-tablet", kind="web"))
    assert config.bay("bay-2") is config.bays[1]
    assert config.bay("bay-3") is None and config.button("x") is None
    assert [camera for camera, _, _ in config.cameras()] == ["bay-1", "bay-2"]
    assert [config.media_processes(cores) for cores in (1, 2, 8)] == [1, 2, 2]
    sub = read(GOOD.replace('name = "Leje 2"', 'name = "Leje 2"\ncamera_sub = "rtsp://192.0.2.12/sub"'))
    assert [camera for camera, _, _ in sub.cameras()] == ["bay-1", "bay-2", "bay-2.sub"]
    assert sub.media_processes(8) == 2, "as the supervisor deals them: a bay's streams stay together"


def test_presence_can_be_set() -> None:
    assert read(GOOD.replace('id = "bay-1"', 'id = "bay-1"\npresence = "none"')).bays[0].presence == "none"
    assert read(GOOD.replace('id = "bay-2"', 'id = "bay-2"\npresence = "bay"')).bays[1].presence == "bay"


def test_a_configuration_cannot_be_changed() -> None:
    config = read(GOOD)
    with pytest.raises(ValueError, match="frozen"):
        config.server.port = 1  # type: ignore[misc]
    with pytest.raises(AttributeError):
        config.bays.append(config.bays[0])  # type: ignore[attr-defined]


def test_tls_files() -> None:
    text = GOOD.replace("[media]", 'tls = { cert = "/a.pem", key = "/b.pem" }\n[media]')
    assert read(text).server.tls == TlsFiles(cert="/a.pem", key="/b.pem")


# (what is replaced, by what, error behind the file's name, hint)
MISTAKES = [
    # the form
    ("[clinic]", "[clinic", ":2: not valid TOML: expected ']' at the end of a table declaration", "toml.io"),
    ('name = "Klinik"', 'name = "Klinik', ":3: not valid TOML: illegal character '\\n'", "toml.io"),
    ("[media]", "[server]\n[media]", ":6: not valid TOML: cannot declare ('server',) twice", "toml.io"),
    ("window_seconds = 2", "window_seconds = " + "9" * 5000, ": not valid TOML: a value that cannot be read", ""),
    ("window_seconds = 2", "window_seconds = 2\n" + "x = " + "[" * 2000, "nested too deep", ""),
    # keys
    ("version = 1", "verson = 1", ":1: verson: unknown key", "did you mean version?"),
    ("[media]", "[meda]", ":6: meda: unknown key", "did you mean media?"),
    ("public_host", "publichost", ":5: server.publichost: unknown key", "did you mean public_host?"),
    ('id = "bay-2"', 'camra = "pattern:"\nid = "bay-2"', ":16: bays[1].camra: unknown key", "did you mean camera?"),
    ('kind = "web"', 'kind = "web"\nfoo = 1', ":15: bays[0].buttons[0].foo: unknown key", "known here: id, kind"),
    ("[media]", "window_seconds = 1\n[media]", ":6: server.window_seconds: unknown key", "belongs in [media]"),
    ("[clinic]", "kind = 1\n[clinic]", ":2: kind: unknown key", "belongs in [[bays.buttons]]"),
    ("[media]", "version = 1\n[media]", ":6: server.version: unknown key", "belongs at the top of the file"),
    ("[clinic]", '"a.\\n b" = 1\n[clinic]', ":2: 'a.\\n b': unknown key", "known here"),
    ("[media]", "[mqtt]\nurl = 'mqtt://h'\n[media]", ":6: mqtt: unknown key", "a later version brings it"),
    # what is missing
    ("version = 1\n", "", ": version: is missing", "add version = …"),
    ('name = "Klinik"\n', "", ":2: clinic.name: is missing", "add name = …"),
    ('id = "bay-2"\n', "", ":15: bays[1].id: is missing", "add id = …"),
    ('kind = "web"\n', "", ":12: bays[0].buttons[0].kind: is missing", "add kind = …"),
    # types
    ("version = 1", "version = 2", ":1: version: must be 1", "reads files of version 1"),
    ("version = 1", "version = true", ":1: version: must be 1", "reads files of version 1"),
    ("[media]", "port = '8443'\n[media]", ":6: server.port: must be a whole number, not a string", ""),
    ("[media]", "port = 84.5\n[media]", ":6: server.port: must be a whole number, not a number", ""),
    ("[media]", "port = true\n[media]", ":6: server.port: must be a whole number, not true or false", ""),
    ("[media]", "port = [1]\n[media]", ":6: server.port: must be a whole number, not an array", ""),
    ("[media]", "port = 2024-01-01\n[media]", ":6: server.port: must be a whole number, not a date", ""),
    ('name = "Klinik"', "name = 1", ":3: clinic.name: must be a string, not a whole number", ""),
    ('camera = "rtsp://viewer:${CAM1}@192.0.2.12/main"', "camera = 5", ":18: bays[1].camera: must be a string", ""),
    ("window_seconds = 2", 'window_seconds = "2"', ":7: media.window_seconds: must be a number, not a string", ""),
    ("window_seconds = 2", "window_seconds = nan", ":7: media.window_seconds: must be a finite number", ""),
    ("[media]", "tls = 3\n[media]", ":6: server.tls: must be 'auto' or 'off'", ""),
    ("[media]", "tls = 'on'\n[media]", ":6: server.tls: must be 'auto' or 'off'", ""),
    ("[media]", "tls = {cert = '/a'}\n[media]", ":6: server.tls.key: is missing", "add key = …"),
    ("[media]", "tls = {cert = 'a', key = '/b'}\n[media]", ":6: server.tls.cert: is not written as", "from / on"),
    ("[media]\nwindow_seconds = 2\n", "", None, ""),
    ("[clinic]\nname", "clinic", ":2: clinic: must be a table, not a string", ""),
    # ranges
    ("window_seconds = 2", "window_seconds = 0.4", ":7: media.window_seconds: must be at least 0.5", ""),
    ("window_seconds = 2", "window_seconds = 5.1", ":7: media.window_seconds: must be at most 5", ""),
    ("window_seconds = 2", "window_bytes = 1", ":7: media.window_bytes: must be at least 65536", ""),
    ("window_seconds = 2", "enforce = 'no'", ":7: media.enforce: must be 'strict' or 'warn'", ""),
    ("[media]", "port = 65536\n[media]", ":6: server.port: must be at most 65535", ""),
    ("[media]", "udp_port = 0\n[media]", ":6: server.udp_port: must be at least 1", ""),
    ("[media]", "[retention]\ncalls_days = 6\n[media]", ":7: retention.calls_days: must be at least 7", ""),
    ("[media]", "[retention]\ncalls_days = 1828\n[media]", ":7: retention.calls_days: must be at most 1827", ""),
    ("[media]", "[retention]\naccess_log_days = 29\n[media]", ":7: retention.access_log_days: must be at least 30", ""),
    ("[media]", "[retention]\nsecurity_log_days=179\n[media]", "retention.security_log_days: must be at least 180", ""),
    ('name = "Leje 1"', "name = ''", ":10: bays[0].name: must have at least 1 characters", ""),
    ('name = "Leje 1"', f"name = '{'x' * 65}'", ":10: bays[0].name: must have at most 64 characters", ""),
    ('name = "Leje 1"', 'name = "a\\nb"', ":10: bays[0].name: is not written as it should be", "line breaks"),
    ('"vigil.clinic.example"', '"https://x"', ":5: server.public_host: is not written as", "without https://"),
    ("[media]", "state_dir = 'x'\n[media]", ":6: server.state_dir: is not written as", "the whole path"),
    (
        "[media]",
        "[notice]\nlegal_bases = ['6(1)(d)',\n 'f']\n[media]",
        ":8: notice.legal_bases[1]: is not",
        '"6(1)(d)"',
    ),
    ("[media]", "[notice]\narticle_9 = 'h'\n[media]", ":7: notice.article_9: is not written as", '"9(2)(h)"'),
    ("[media]", "[notice]\npolicy_url = 'x'\n[media]", ":7: notice.policy_url: is not written as", "https://"),
    # ids
    ('id = "bay-2"', 'id = "bay-1"', ":16: bays[1].id: the bay id bay-1 is there twice", "give each its own"),
    ('id = "bay-2"', 'id = "Bay"', ":16: bays[1].id: not the id of a bay", "like bay-1"),
    ('id = "bay-2"', 'id = "bay\\n"', ":16: bays[1].id: not the id of a bay", "like bay-1"),
    ('id = "bay-2"', 'id = "bay.sub"', ":16: bays[1].id: an id does not end in .sub", "sub stream"),
    ('id = "bay-2"', f'id = "{"b" * 61}"', ":16: bays[1].id: must have at most 60 characters", ""),
    (
        'name = "Leje 2"\n',
        'name = "Leje 2"\n[[bays.buttons]]\nid = "bay-1-tablet"\nkind = "http"\n[[bays]]\nid="c"\nname="c"\n',
        ":19: bays[1].buttons[0].id: the button id bay-1-tablet is there twice",
        "give each its own",
    ),
    # cameras
    ("192.0.2.12/main", "192.0.2.11:554/main", ":18: bays[1].camera: the address of bay bay-1 is used again", "once"),
    ("rtsp://viewer:${CAM1}@192.0.2.12", "RTSP://other@192.0.2.11", "the address of bay bay-1 is used again", "once"),
    (
        'name = "Leje 1"',
        'name = "Leje 1"\ncamera_sub = "rtsp://192.0.2.12/main"',
        ":19: bays[1].camera: the address of bay bay-1 is used again",
        "once",
    ),
    ('camera = "rtsp://viewer:${CAM1}@192.0.2.12/main"', "", ":15: bays[1]: a bay has a camera, a button or both", ""),
    (
        'camera = "rtsp://viewer:${CAM1}@192.0.2.11/main"',
        'camera_sub = "pattern:"',
        ":11: bays[0].camera_sub: a sub stream needs a main stream",
        "set camera too",
    ),
    (
        'camera = "rtsp://viewer:${CAM1}@192.0.2.12/main"',
        'camera = "pattern:"\nserial = "AB12"',
        ":19: bays[1].serial: a serial number needs an rtsp camera",
        "leave it out",
    ),
    ('id = "bay-2"', 'id = "bay-2"\nonvif_port = 65536', ":17: bays[1].onvif_port: must be at most 65535", ""),
    ('id = "bay-2"', 'id = "bay-2"\nonvif_port = -1', ":17: bays[1].onvif_port: must be at least 0", ""),
    ('id = "bay-2"', 'id = "bay-2"\nserial = "a\\nb"', ":17: bays[1].serial: is not", ""),
    ("192.0.2.12/main", "192.0.2.12:99999/main", ":18: bays[1].camera: a port of an rtsp address is from 1", ""),
    ("192.0.2.12/main", "192.0.2.12/a b", ":18: bays[1].camera: a camera address has no blanks", "%20"),
    ("192.0.2.12/main", "[::g]/main", ":18: bays[1].camera: an rtsp address that cannot be read", "rtsp://user:"),
    ("192.0.2.12/main", "/main", ":18: bays[1].camera: an rtsp address that cannot be read", "rtsp://user:"),
    ("rtsp://viewer:${CAM1}@192.0.2.12/main", "usb:/dev/video0", "cameras at usb: are not supported yet", "later"),
    ("rtsp://viewer:${CAM1}@192.0.2.12/main", "http://h/mjpeg", "cameras at http: are not supported yet", "later"),
    ("rtsp://viewer:${CAM1}@192.0.2.12/main", "https://h/mjpeg", "cameras at https: are not supported yet", "later"),
    ("rtsp://viewer:${CAM1}@192.0.2.12/main", "rtsps://h/main", "cameras at rtsps: are not supported yet", "later"),
    ("rtsp://viewer:${CAM1}@192.0.2.12/main", "192.0.2.12", ":18: bays[1].camera: not a camera address", "pattern:"),
    ("rtsp://viewer:${CAM1}@192.0.2.12/main", "file:a.mp4", "a file: address holds the whole path", "file:/PATH"),
    ("rtsp://viewer:${CAM1}@192.0.2.12/main", "pattern:x", "pattern: stands alone", "nothing behind it"),
    (
        "rtsp://viewer:${CAM1}@192.0.2.12/main",
        "file:/a.mp4",
        ":18: bays[1].camera: a file is no camera",
        "of their own",
    ),
    # buttons
    ('kind = "web"', 'kind = "bell"', ":14: bays[0].buttons[0].kind: must be 'web' or 'http'", ""),
    (
        'kind = "web"',
        'kind = "usb"',
        ":14: bays[0].buttons[0].kind: buttons of kind usb are not supported yet",
        "later",
    ),
    (
        'kind = "web"',
        'device = "esphome"\ntopic = "t"\nkind = "mqtt"',
        ":16: bays[0].buttons[0].kind: buttons of kind mqtt are not supported yet",
        "a later version brings it",
    ),
    # secrets
    ("${CAM1}@192.0.2.12", "${CAM2}@192.0.2.12", ":18: bays[1].camera: the secret CAM2 is not set", "variable CAM2"),
    ("${CAM1}@192.0.2.12", "${CAM2@192.0.2.12", ":18: bays[1].camera: a ${…} reference that cannot be read", "$${"),
    ("${CAM1}@192.0.2.12", "${}@192.0.2.12", ":18: bays[1].camera: a ${…} reference that cannot be read", "$${"),
    # the whole
    ("[media]\n", "[media]\nprocesses = 3\n[server.x]\n", ":8: server.x: unknown key", "known here: host"),
    (
        "[media]\n",
        "udp_port = 65535\n[media]\nprocesses = 2\n",
        ":6: server.udp_port: 2 media processes need ports up to",
        "",
    ),
]


@pytest.mark.parametrize(("old", "new", "error", "hint"), MISTAKES)
def test_each_mistake_has_one_clear_error(old: str, new: str, error: str | None, hint: str) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    if error is None:  # the control: leaving out what has defaults is no mistake
        read(text)
        return
    found = refused(text)
    assert "vigil.toml" in found.message and error in found.message
    assert hint in found.hint
    assert found.exit_code == 2
    assert len(found.message.splitlines()) == 1 and len(found.hint.splitlines()) <= 1
    assert SECRET not in found.message + found.hint
    assert found.__cause__ is None and (found.__context__ is None or not hasattr(found.__context__, "errors"))


def test_the_error_that_stands_first_in_the_file_is_the_one_that_is_told() -> None:
    text = GOOD.replace("${CAM1}", "${CAM9}").replace("[media]", "[media]\nfoo = 1").replace("Klinik", "")
    assert (refused(text).line, refused(text).key) == (3, "clinic.name")
    text = text.replace('name = ""', 'name = "K"')
    assert (refused(text).line, refused(text).key) == (7, "media.foo")
    text = text.replace("foo = 1\n", "")
    assert (refused(text).line, refused(text).key) == (11, "bays[0].camera")


def test_no_bays() -> None:
    text = GOOD[: GOOD.index("[[bays]]")]
    assert refused(text).key == "bays"
    assert "there is no bay" in refused("bays = []\n" + text).message


def test_files_are_allowed_where_no_real_camera_is_or_nothing_is_enforced() -> None:
    file = GOOD.replace("rtsp://viewer:${CAM1}@192.0.2.12/main", "file:/a.mp4")
    assert read(file.replace("[media]", "[media]\nenforce = 'warn'")).bays[1].camera == Address("file:/a.mp4")
    only = file.replace("rtsp://viewer:${CAM1}@192.0.2.11/main", "file:/a.mp4")
    assert read(only).media.enforce == "strict"


def test_two_synthetic_cameras_are_two() -> None:
    text = GOOD.replace("rtsp://viewer:${CAM1}@192.0.2.11/main", "pattern:")
    read(text.replace("rtsp://viewer:${CAM1}@192.0.2.12/main", "pattern:"))


def test_an_overlong_text_is_refused() -> None:
    assert "more than" in refused("#" * (MAX_TEXT + 1)).message


def test_credentials_win_over_the_environment() -> None:
    camera = read(GOOD, environ={"CAM1": "old"}, cred={"CAM1": "new"}).bays[0].camera
    assert camera and camera.secret() == "rtsp://viewer:new@192.0.2.11/main"


@pytest.mark.parametrize(("value", "state"), [("", "is empty"), ("a\udcffb", "is not UTF-8")])
def test_a_secret_that_cannot_be_used(value: str, state: str) -> None:
    with pytest.raises(ConfigError, match=f"the secret CAM1 {state}"):
        read(GOOD, environ={"CAM1": value})


def test_no_password_is_shown() -> None:
    config = read(GOOD)
    camera = config.bays[0].camera
    assert camera is not None
    assert camera.secret() == "rtsp://viewer:s3cret-%40%3A%2F%3F%23%25-value@192.0.2.11/main"
    shown = [repr(config), str(config), str(camera), repr(camera), f"{camera}", config.model_dump_json()]
    assert all("192.0.2.11/main" in text for text in shown)
    assert not any("s3cret" in text or "viewer:" in text for text in shown)


def test_models_can_be_made_without_a_file() -> None:
    bay = Bay(id="a", name="A", camera=Address("pattern:"), buttons=(Button(id="b", kind="web"),))
    config = Config(version=1, clinic=Clinic(name="C"), server=Server(public_host="h"), bays=(bay,))
    assert config.bays[0].presence == "bay"


def test_warnings_name_each_gap() -> None:
    text = GOOD.replace("viewer:${CAM1}@192.0.2.12", "192.0.2.12").replace(
        'id = "bay-2"', 'id = "bay-2"\nonvif_port = 0'
    )
    text = text.replace("[media]", 'tls = "off"\n[media]\nenforce = "warn"\n[retention]\ncalls_days = 181')
    text = text.replace("window_seconds = 2", "access_log_days = 401\n[notice]\nlegal_bases = ['6(1)(f)']")
    seen = "\n".join(f"{what} ({hint})" for what, hint in warnings(read(text)))
    for expected in (
        "bay bay-2 has a camera and no call button",
        "bay bay-1 has a camera and no sign is named",
        "the camera of bay bay-2 is not asked whether it records by itself (set onvif_port)",
        "camera bay-2 has no password",
        "no controller is named",
        "the interest is not named",
        "Article 9(2)",
        "no whole privacy policy",
        'enforce = "warn"',
        'tls = "off"',
        "calls are kept 181 days",
        "the access log is kept 401 days",
    ):
        assert expected in seen
    assert "camera bay-1 has no password" not in seen


def test_a_whole_configuration_has_no_warnings() -> None:
    text = GOOD.replace('name = "Leje', 'sign = "dør"\nname = "Leje')
    text += '[[bays.buttons]]\nid = "b2"\nkind = "web"\n'
    text += "[notice]\ncontroller = 'K'\nlegal_bases = ['6(1)(d)']\narticle_9 = '9(2)(h)'\npolicy_url = 'https://k'\n"
    assert list(warnings(read(text))) == []


# ---- whatever the text: a Config or a ConfigError --------------------------------------------------------------------

_KNOWN = sorted({key for keys in TABLES.values() for key in keys} | {"mqtt", "x"})
_KEYS = st.sampled_from(_KNOWN) | st.text(max_size=5)
_SCALARS = (
    st.none().map(lambda _: "pattern:")
    | st.booleans()
    | st.integers(-(1 << 63), 1 << 63)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["${CAM1}", "${X}", "rtsp://u:${CAM1}@h/", "web", "mqtt", "auto", "/a", "6(1)(d)", "bay-1"])
)


def _nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4)


_VALUES = st.recursive(_SCALARS, _nested, max_leaves=12)


def toml(value: object) -> str:
    """One TOML value, for what `_VALUES` makes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(letter):08x}" for letter in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    return str(value)


def only_config_error(text: str) -> None:
    try:
        config = read(text)
    except ConfigError as error:
        assert len(error.message.splitlines()) == 1
        assert len(error.message) < 600
    else:
        assert isinstance(config, Config)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text())
def test_random_text_raises_nothing_else(text: str) -> None:
    only_config_error(text)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(GOOD.splitlines()) | st.text(max_size=20), max_size=25))
def test_shuffled_lines_raise_nothing_else(lines: list[str]) -> None:
    only_config_error("\n".join(lines))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_KEYS, _VALUES, max_size=6))
def test_random_structures_raise_nothing_else(data: dict[str, object]) -> None:
    text = "".join(f"{toml(key)} = {toml(value)}\n" for key, value in data.items())
    tomllib.loads(text)  # the strategy makes valid TOML: the errors come from our own code
    only_config_error(text)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(GOOD)), st.integers(0, 12), st.text(max_size=8))
def test_a_damaged_file_raises_nothing_else(start: int, length: int, put: str) -> None:
    only_config_error(GOOD[:start] + put + GOOD[start + length :])
