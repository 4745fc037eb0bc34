"""The import contracts of pyproject.toml hold, and each of them turns red when it is broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.project.tree import REPO

BREACHES = {
    "layers": ("core/errors.py", "import monitor.link"),
    "two-rooms": ("control/journal.py", "import monitor.media.window"),
    "pictures-stay-in-media": ("control/journal.py", "import numpy"),
    "writing-stays-in-control": ("media/window.py", "import sqlite3"),
    "pure-core": ("core/errors.py", "import asyncio"),
}
CONTRACTS = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def lint(root: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    """lint-imports over the package in `root`, which goes before the one that is installed."""
    only = [word for contract in contracts for word in ("--contract", contract)]
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from importlinter.cli import lint_imports_command as run; run()",
            "--no-cache",
            *only,
        ],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_tree_keeps_its_contracts() -> None:
    result = lint(REPO)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("contract", BREACHES)
def test_a_breach_is_found(contract: str, tmp_path: Path) -> None:
    shutil.copytree(REPO / "monitor", tmp_path / "monitor", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO / "pyproject.toml", tmp_path)
    file, line = BREACHES[contract]
    planted = tmp_path / "monitor" / file
    planted.write_text(planted.read_text() + f"\n{line}\n")
    result = lint(tmp_path, contract)
    assert result.returncode == 1, result.stdout + result.stderr
    name = next(entry["name"] for entry in CONTRACTS if entry["id"] == contract)
    assert f"{name} BROKEN" in result.stdout


def test_every_contract_has_a_breach() -> None:
    assert {entry["id"] for entry in CONTRACTS} == set(BREACHES)
