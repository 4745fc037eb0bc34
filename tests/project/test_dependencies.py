"""What is imported is declared, and what is declared is imported: nothing is there only because another brought it."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from tests.project.tree import REPO, files

PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())
TOOLS = {"import-linter", "mypy", "pytest-timeout", "ruff", "uv"}
"""Started as commands, or found by pytest."""
EXTRAS = [one for extra in PROJECT["project"]["optional-dependencies"].values() for one in extra]
OURS = {"monitor", "tests"}
SYSTEM = {"gi"}
"""GStreamer's bindings come from Debian and run under Debian's own Python."""


def declared(requirements: Iterable[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for line in requirements}


def imported(folder: str) -> set[str]:
    """The distributions whose modules the Python files below a folder import."""
    names: set[str] = set()
    for path in files():
        if path.suffix == ".py" and path.relative_to(REPO).parts[0] == folder:
            names |= top_modules(path)
    providers = importlib.metadata.packages_distributions()
    names -= OURS | SYSTEM | sys.stdlib_module_names
    return {providers[name][0].lower().replace("_", "-") if name in providers else f"unknown: {name}" for name in names}


def top_modules(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_what_vigil_imports_is_what_it_declares() -> None:
    assert imported("monitor") == declared(PROJECT["project"]["dependencies"]) | declared(EXTRAS)


def test_what_the_tests_import_is_declared() -> None:
    groups = PROJECT["dependency-groups"]
    known = declared(PROJECT["project"]["dependencies"]) | declared(groups["dev"]) | declared(groups["build"])
    known |= declared(EXTRAS)
    assert imported("tests") <= known, imported("tests") - known


def test_what_is_declared_for_tests_is_used() -> None:
    assert declared(PROJECT["dependency-groups"]["dev"]) - TOOLS <= imported("tests")


def test_every_declared_package_is_locked() -> None:
    run = locked("requirements.lock")
    everything = locked("requirements-dev.lock")
    groups = PROJECT["dependency-groups"]
    assert declared(PROJECT["project"]["dependencies"]) | declared(groups["build"]) <= set(run)
    assert declared(groups["dev"]) | declared(EXTRAS) <= set(everything)
    assert run.items() <= everything.items()  # what is tested is what runs


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ]+)", (REPO / name).read_text(), re.MULTILINE))


def test_an_import_is_seen(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("import os\nfrom cv2.x import y\nfrom . import z\ndef f():\n    import nats.aio\n")
    assert top_modules(planted) == {"os", "cv2", "nats"}
