"""The documents say what exists, and all that exists: commands, settings, endpoints, metrics, reasons, tests, links."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import cast, get_args

import click
import pytest

from monitor import cli
from monitor.control.app import create_app
from monitor.control.media_room import MediaRoom
from monitor.control.metrics import Metrics
from monitor.control.routes_pages import index_of, web_dir
from monitor.control.services import Services
from monitor.core.camera_state import CameraFault, CameraReason, CameraStateName
from monitor.core.config import load
from monitor.core.config_tables import TABLES
from tests.project.tree import REPO

README = (REPO / "README.md").read_text()
CAMERAS = (REPO / "docs" / "cameras.md").read_text()
DOCUMENTS = [REPO / "README.md", REPO / "CHANGELOG.md", *sorted((REPO / "docs").glob("*.md"))]


def table(text: str, heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, as cells; without its head."""
    parts = re.split(r"^#+ ", text, flags=re.MULTILINE)
    section = next((part for part in parts if part.splitlines()[:1] == [heading]), None)
    assert section is not None, f"no heading {heading!r}"
    rows = []
    for line in section.splitlines()[1:]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            break
    assert len(rows) > 2, f"no table under {heading!r}"
    return rows[2:]


def codes(rows: Iterable[list[str]]) -> list[str]:
    """What stands as `code` in the first column."""
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row[0])]


def commands(command: click.Command, name: str) -> dict[str, click.Command]:
    """Every command that does something, by its whole name."""
    if not isinstance(command, click.Group):
        return {name: command}
    below = {
        key: each for sub in command.commands.values() for key, each in commands(sub, f"{name} {sub.name}").items()
    }
    return {name: command, **below} if command.invoke_without_command else below


def settings() -> set[str]:
    """Every key of the configuration that holds a value, as README writes it."""
    tables = {".".join(path) for path in TABLES if path}
    lists = ("bays", "bays.buttons")
    keys = {".".join((*path, key)) for path, fields in TABLES.items() for key in fields}
    keys = {key for key in keys if key not in tables} | {"server.tls"}
    for name in reversed(lists):
        keys = {re.sub(rf"^{name}\.", f"{name}[].", key) for key in keys}
    return keys


def test_commands() -> None:
    written = codes(table(README, "Commands"))
    named = [" ".join(re.match(r"[a-z ]+[a-z]", line)[0].split()) for line in written if line.startswith("vigil ")]
    assert sorted(named) == sorted(commands(cli.vigil, "vigil"))


def test_options_of_commands() -> None:
    existing = {
        option
        for each in commands(cli.vigil, "vigil").values()
        for parameter in each.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }
    written = {option for row in table(README, "Commands") for option in re.findall(r"--[a-z-]+", " ".join(row))}
    assert written == existing


def test_settings() -> None:
    written = codes(table(README, "Settings"))
    assert sorted(written) == sorted(settings())


def test_defaults_of_settings() -> None:
    """A default that README tells is the one that a configuration without the key gets."""
    smallest = load(smallest_configuration(), file="README.md", environ={"CAM1_PASSWORD": "x"}, credentials={})
    wrong = []
    for row in table(README, "Settings"):
        default = re.fullmatch(r"`(.+)`", row[1])
        name = codes([row])[0]
        if default is None:
            continue
        value: object = smallest
        for step in re.sub(r"\[\]", ".0", name).split("."):
            value = value[0] if step == "0" else getattr(value, step)  # type: ignore[index]
        shown = {tuple: "[]", str: f'"{value}"'}.get(type(value), str(value))
        if shown != default[1]:
            wrong.append(f"{name}: {shown}, not {default[1]}")
    assert wrong == []


def test_the_smallest_configuration_works() -> None:
    config = load(smallest_configuration(), file="README.md", environ={"CAM1_PASSWORD": "x"}, credentials={})
    assert [bay.id for bay in config.bays] == ["bay-1"]


def smallest_configuration() -> str:
    found = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert found
    return found[1]


def routes(routed: Iterable[object]) -> set[str]:
    """`METHOD /path` of every route, those of included routers too."""
    found: set[str] = set()
    for route in routed:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            found |= routes(inner.routes)
        else:
            found |= {f"{method} {route.path}" for method in route.methods}  # type: ignore[attr-defined]
    return found


def test_endpoints() -> None:
    parts = SimpleNamespace(version="0", web=web_dir())  # what create_app itself asks for
    files = {f"GET /{name}" for name in index_of(web_dir())}
    existing = {each for each in routes(create_app(cast(Services, parts)).routes) if not each.startswith("HEAD ")}
    assert sorted(codes(table(README, "HTTP"))) == sorted(existing - files)


def test_metrics() -> None:
    class NoMedia:
        def guarantee(self) -> list[object]:
            return []

    config = load(without_camera(), file="README.md", environ={}, credentials={})
    text = Metrics(config, cast(MediaRoom, NoMedia()), lambda: 0, lambda: 0, lambda: 0).text().decode()
    existing = [name for name in re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE) if not name.endswith("_created")]
    assert sorted(codes(table(README, "Metrics"))) == sorted(existing)


def without_camera() -> str:
    return re.sub(r"^camera = .*$", "", smallest_configuration(), flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("heading", "names"),
    [("States", get_args(CameraStateName)), ("Reasons", get_args(CameraReason)), ("Faults", get_args(CameraFault))],
)
def test_words_for_cameras(heading: str, names: tuple[str, ...]) -> None:
    assert sorted(codes(table(CAMERAS, heading))) == sorted(name for name in names if name)


def test_every_row_is_filled() -> None:
    tables = [(README, heading) for heading in ("Commands", "Settings", "HTTP", "Metrics")]
    tables += [(CAMERAS, heading) for heading in ("How to set a camera", "States", "Reasons", "Faults")]
    for text, heading in tables:
        assert [row for row in table(text, heading) if not all(row)] == [], heading


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_within_the_repository(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tests_that_are_named_exist(document: Path) -> None:
    assert missing_tests(document.read_text()) == []


def missing_tests(text: str) -> list[str]:
    """Names like `tests/sealed/test_seal.py::test_x` of which there is no file, or no such function in it."""
    missing = []
    for file, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text):
        path = REPO / file
        if not path.exists() or (name and not re.search(rf"^(async )?def {name}\b", path.read_text(), re.MULTILINE)):
            missing.append(f"{file}::{name}" if name else file)
    return missing


def test_a_test_that_is_not_there_is_found() -> None:
    here = f"tests/project/{Path(__file__).name}"
    text = f"`{here}::test_settings` `{here}::test_nothing` `tests/no.py`"
    assert missing_tests(text) == [f"{here}::test_nothing", "tests/no.py"]


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"(?:`|^)make ([a-z-]+)", document.read_text(), re.MULTILINE))
        assert named <= targets, document.name
