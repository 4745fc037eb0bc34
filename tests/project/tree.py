"""The repository as the project tests see it: where it stands and which files belong to it."""

from __future__ import annotations

import subprocess
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
NOT_OURS = {".git", ".venv", "node_modules", "build", "dist", "__pycache__", ".hypothesis"}


def files() -> list[Path]:
    """Every file that is, or would be, committed. In a copy without git: every file outside of what tools make."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPO,
        capture_output=True,
        check=False,
        text=True,
    )
    if listed.returncode == 0 and listed.stdout:
        found = [REPO / name for name in listed.stdout.split("\0") if name]
    else:
        found = [path for path in REPO.rglob("*") if not NOT_OURS & set(path.relative_to(REPO).parts)]
    return [path for path in found if path.is_file()]
