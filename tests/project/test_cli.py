"""The command line as transcripts: what was typed, what came, with which exit code."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor import __version__
from monitor.core.errors import VigilError

CONFIG = """\
version = 1
[clinic]
name = "Klinik"
[server]
host = "127.0.0.1"
port = {port}
udp_port = {udp_port}
public_host = "127.0.0.1"
state_dir = "{state}"
[[bays]]
id = "bay-1"
name = "Leje 1"
camera = "rtsp://viewer:${{CAM1}}@127.0.0.1:9/main"
[[bays.buttons]]
id = "bay-1-tablet"
kind = "web"
"""


def vigil(*arguments: str, **environ: str) -> tuple[int, str, str]:
    """Run one command: its exit code, output and error output."""
    ended = subprocess.run(
        [sys.executable, "-m", "monitor", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), "LANG": "C.UTF-8", **environ},
        check=False,
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stdout, ended.stderr


def error(message: str, hint: str) -> str:
    return f"vigil: error: {message}\nhint: {hint}\n"


@pytest.fixture
def config(tmp_path: Path, free_port: Callable[[], int], free_udp_port: Callable[..., int]) -> Path:
    file = tmp_path / "vigil.toml"
    file.write_text(CONFIG.format(port=free_port(), udp_port=free_udp_port(2), state=tmp_path / "state"))
    return file


# ---- the program itself ----------------------------------------------------------------------------------------------


def test_version() -> None:
    assert vigil("--version") == (0, f"vigil {__version__}\n", "")


def test_help_names_every_command() -> None:
    code, out, _ = vigil("--help")
    assert code == 0
    assert re.findall(r"^  (\w+) ", out.partition("Commands:")[2], re.MULTILINE) == [
        *("audit", "check", "demo", "prove", "serve", "token")
    ]


def test_no_command_is_help_on_standard_error() -> None:
    code, out, err = vigil()
    assert (code, out) == (2, "")
    assert err.startswith("Usage: vigil")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["chek"], error("no such command 'chek'. Did you mean 'check'?", "see vigil --help")),
        (["serve"], error("missing option '--config'", "see vigil serve --help")),
        (["check", "--config"], error("option '--config' requires an argument", "see vigil --help")),
        (["serve", "--config", "a", "x"], error("got unexpected extra argument (x)", "see vigil serve --help")),
        (["token", "create", "--config", "x"], error("missing option '--role'", "see vigil token create --help")),
    ],
)
def test_wrong_usage(arguments: list[str], expected: str) -> None:
    code, out, err = vigil(*arguments)
    assert (code, out) == (2, "")
    assert err.lower() == expected.lower()


# ---- reading the configuration ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["check"], ["serve"], ["token", "list"]])
def test_a_file_that_cannot_be_read(tmp_path: Path, command: list[str]) -> None:
    missing = str(tmp_path / "no.toml")
    hint = "check the path and its permissions"
    assert vigil(*command, "--config", missing) == (
        2,
        "",
        error(f"{missing}: cannot be read: no such file or directory", hint),
    )
    assert vigil(*command, "--config", str(tmp_path)) == (
        2,
        "",
        error(f"{tmp_path}: is a directory", "name the file in it"),
    )


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "vigil.toml"
    file.write_bytes(b"version = 1\nname = '\xe6'\n")
    assert vigil("check", "--config", str(file)) == (
        2,
        "",
        error(f"{file}:2: is not UTF-8 text", "save it as UTF-8"),
    )
    file.write_text("version = 1\n", encoding="utf-16")
    assert "is not UTF-8 text" in vigil("check", "--config", str(file))[2]


def test_a_byte_order_mark_is_no_mistake(config: Path) -> None:
    config.write_text(config.read_text("utf-8"), encoding="utf-8-sig")
    assert vigil("check", "--config", str(config), CAM1="x")[0] == 0


def test_a_secret_that_is_not_set(config: Path) -> None:
    code, out, err = vigil("serve", "--config", str(config))
    assert (code, out) == (2, "")
    assert err == error(
        f"{config}:13: bays[0].camera: the secret CAM1 is not set",
        "set the environment variable CAM1, or give the service a credential of that name",
    )
    assert not (config.parent / "state").exists(), "nothing begins before the configuration is right"


def test_a_secret_from_systemd(config: Path, tmp_path: Path) -> None:
    directory = tmp_path / "credentials"
    directory.mkdir()
    (directory / "CAM1").write_text("p@ss:w/rd\n")
    code, out, err = vigil("check", "--config", str(config), CREDENTIALS_DIRECTORY=str(directory))
    assert (code, err) == (0, "")
    assert "camera rtsp://127.0.0.1:9/main over TCP" in out
    assert "p@ss" not in out and "p%40ss" not in out and "viewer:" not in out
    (directory / "CAM1").write_bytes(b"x" * 65537)
    code, _, err = vigil("check", "--config", str(config), CREDENTIALS_DIRECTORY=str(directory))
    assert (code, err) == (2, "vigil: error: the credential CAM1 is larger than 65536 bytes\n")
    code, _, err = vigil("check", "--config", str(config), CREDENTIALS_DIRECTORY=str(tmp_path / "no"))
    assert code == 2 and "CREDENTIALS_DIRECTORY cannot be read" in err


def test_check_says_what_a_configuration_does_and_lacks(config: Path) -> None:
    code, out, err = vigil("check", "--config", str(config), CAM1="hemmelig-kode")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "Klinik: 1 bay, 1 camera stream"
    assert lines[1].startswith("pages at https://127.0.0.1:")
    assert (
        "bay bay-1 (Leje 1): camera rtsp://127.0.0.1:9/main over TCP; buttons bay-1-tablet (web); closed at the bay"
        in lines
    )
    assert "warning: bay bay-1 has a camera and no sign is named" in lines
    assert lines[-1] == f"{config}: ok"
    assert "hemmelig-kode" not in out
    assert not (config.parent / "state").exists(), "a check changes nothing"


# ---- before anything starts ------------------------------------------------------------------------------------------


def test_a_tcp_port_in_use(config: Path) -> None:
    port = int(re.findall(r"^port = (\d+)", config.read_text(), re.MULTILINE)[0])
    with socket.create_server(("127.0.0.1", port)):
        code, out, err = vigil("serve", "--config", str(config), CAM1="x")
    assert (code, out) == (2, "")
    assert err == error(
        f"{config}:6: server.port: TCP port {port} is in use",
        "stop what uses it (ss -ltnp shows it), or set another port",
    )


def test_a_udp_port_in_use(config: Path) -> None:
    port = int(re.findall(r"^udp_port = (\d+)", config.read_text(), re.MULTILINE)[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", port))
        code, _, err = vigil("serve", "--config", str(config), CAM1="x")
    assert code == 2
    assert err.startswith(f"vigil: error: {config}:7: server.udp_port: UDP port {port} is in use\n")


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine(config: Path, host: str) -> None:
    config.write_text(config.read_text().replace('host = "127.0.0.1"', f'host = "{host}"', 1))
    code, _, err = vigil("serve", "--config", str(config), CAM1="x")
    assert code == 2
    assert err == error(
        f"{config}:5: server.host: {host} is no address of this machine",
        'use "0.0.0.0" for all of its addresses',
    )


def test_a_state_directory_that_cannot_be(config: Path) -> None:
    (config.parent / "state").write_text("a file")
    code, _, err = vigil("serve", "--config", str(config), CAM1="x")
    assert code == 2
    assert f"{config}:9: server.state_dir: the state directory" in err and "is not a directory" in err
    config.write_text(config.read_text().replace('/state"', '/state/deeper"'))
    assert vigil("serve", "--config", str(config), CAM1="x")[0] == 2


def test_a_state_directory_of_another_user(config: Path, as_root: None) -> None:
    state = config.parent / "state"
    state.mkdir()
    os.chown(state, 65534, 65534)
    code, _, err = vigil("token", "list", "--config", str(config), CAM1="x")
    assert code == 2
    assert "belongs to user 65534" in err
    assert list(state.iterdir()) == []


def test_a_certificate_that_is_none(config: Path) -> None:
    config.write_text(
        config.read_text().replace("[[bays]]", 'tls = { cert = "/no.pem", key = "/no.key" }\n[[bays]]', 1)
    )
    for command in ("check", "serve"):
        code, out, err = vigil(command, "--config", str(config), CAM1="x")
        assert (code, out) == (2, "")
        assert f"{config}:10: server.tls: /no.pem cannot be read" in err


# ---- tokens ----------------------------------------------------------------------------------------------------------


def test_tokens_are_made_listed_and_revoked(config: Path) -> None:
    def token(command: str, *arguments: str) -> tuple[int, str, str]:
        return vigil("token", command, "--config", str(config), *arguments, CAM1="x")

    assert token("list") == (0, "no tokens\n", "")
    code, out, err = token("create", "--role", "nurse", "--name", "Vagtrum øst")
    assert (code, err) == (0, "")
    secret = out.split()[-1]
    assert len(secret) > 40
    assert re.search(r"https://127\.0\.0\.1:\d+/sign-in#\S+\n", out)
    code, out, _ = token("create", "--role", "button", "--name", "Tablet 1", "--button", "bay-1-tablet", "--days", "9")
    assert code == 0
    assert re.search(r"https://127\.0\.0\.1:\d+/button/bay-1-tablet#\S+\n", out)
    second = out.split()[-1]

    code, out, _ = token("list")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["ID", "ROLE", "NAME", "BUTTON", "MADE", "STATE"]
    assert [row[1] for row in rows[1:]] == ["nurse", "button"]
    assert "valid until" in out
    assert secret not in out and second not in out

    assert token("revoke", "Vagtrum øst") == (0, "revoked 1 token\n", "")
    assert token("revoke", rows[2][0]) == (0, "revoked 1 token\n", "")
    code, out, err = token("revoke", rows[2][0])
    assert (code, out) == (1, "") and err.startswith("vigil: error: there is no such token")
    assert len(re.findall(r"revoked \d{4}-\d\d-\d\d", token("list")[1])) == 2

    state = config.parent / "state"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    for file in state.iterdir():
        assert secret.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--role", "nurse", "--name", "A", "--button", "bay-1-tablet"], "role button, and no other"),
        (["--role", "button", "--name", "A"], "role button, and no other"),
        (
            ["--role", "button", "--name", "A", "--button", "bay-1-tabelt"],
            "has no such button\nhint: did you mean bay-1",
        ),
        (["--role", "button", "--name", "A", "--button", "zzz"], "has no such button\nhint: buttons: bay-1-tablet"),
        (["--role", "doctor", "--name", "A"], "there is no role 'doctor'\nhint: roles: nurse"),
        (["--role", "nurse", "--name", ""], "a token's name"),
        (["--role", "nurse", "--name", "A", "--days", "0"], "days"),
    ],
)
def test_tokens_that_make_no_sense(config: Path, arguments: list[str], message: str) -> None:
    code, out, err = vigil("token", "create", "--config", str(config), *arguments, CAM1="x")
    assert (code, out) == (2, "")
    assert message in err
    assert "no tokens" in vigil("token", "list", "--config", str(config), CAM1="x")[1]


def test_every_error_class_reaches_the_shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from monitor import cli

    classes = [VigilError]
    for each in classes:
        classes.extend(each.__subclasses__())
    assert len(classes) > 10
    for each in classes:

        def fail(*_: object, failing: type[VigilError] = each, **__: object) -> None:
            raise failing("it failed", "do this")

        monkeypatch.setattr(cli.vigil, "main", fail)
        assert cli.main([]) == each.exit_code
        assert capsys.readouterr().err == error("it failed", "do this")


def test_an_interrupt_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from monitor import cli

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.vigil, "main", interrupted)
    assert cli.main([]) == 130
    assert capsys.readouterr() == ("", "")


def test_logs_hold_no_password_and_stay_one_line() -> None:
    import logging

    from monitor.setup.logs import RedactingFormatter

    record = logging.LogRecord("x", logging.INFO, "", 0, "a %s\nb Bearer abc.def", ("rtsp://u:p4ss@h/x",), None)
    assert RedactingFormatter("%(message)s").format(record) == "a rtsp://…@h/x ⏎ b Bearer …"
