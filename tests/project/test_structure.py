"""The tree keeps its shape: modules stay small, and no file tells of the machine it was written on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tests.project.tree import REPO, files

MAX_LINES = 330
"""A module is split by idea at about 300 lines; a tenth more is let pass."""

# Written in parts, so that this file does not find itself.
MACHINE_PATH = re.compile(
    "(?<![A-Za-z0-9_.])/(?:"
    + "|".join(["wo" + "rk/", "tmp/" + r"w\b", "ro" + r"ot\b", "ho" + r"me/\w", "opt/" + "py"])
    + ")"
)
REGISTRY = re.compile(
    "|".join(
        [
            "py" + r"pi\.org",
            "python" + "hosted",
            "registry" + r"\.npmjs",
            "deb" + r"\.debian\.org",
            "extra-" + "index-url",
            "index-" + "url *=",
        ]
    ),
    re.I,
)
BINARY = {".png", ".jpg", ".ico", ".woff2", ".mp4", ".h264", ".bin"}


def too_long(root: Path) -> dict[str, int]:
    """Modules of the product over MAX_LINES, with their length."""
    modules = [*root.glob("monitor/**/*.py"), *root.glob("web/**/*.js")]
    lengths = {str(path.relative_to(root)): path.read_text().count("\n") for path in modules}
    return {name: length for name, length in sorted(lengths.items()) if length > MAX_LINES}


def told(paths: Iterable[Path], pattern: re.Pattern[str]) -> list[str]:
    """`file:line: what` for each match in the text files among `paths`."""
    found = []
    for path in paths:
        if path.suffix in BINARY:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            found += [f"{path.name}:{number}: {match[0]}" for match in pattern.finditer(line)]
    return found


def test_no_module_is_too_long() -> None:
    assert too_long(REPO) == {}


def test_a_long_module_is_found(tmp_path: Path) -> None:
    (tmp_path / "monitor").mkdir()
    (tmp_path / "monitor" / "long.py").write_text("x = 1\n" * (MAX_LINES + 1))
    (tmp_path / "monitor" / "short.py").write_text("x = 1\n" * MAX_LINES)
    assert too_long(tmp_path) == {"monitor/long.py": MAX_LINES + 1}


def test_no_file_names_a_path_of_one_machine() -> None:
    assert told(files(), MACHINE_PATH) == []


def test_no_file_names_a_registry() -> None:
    assert told(files(), REGISTRY) == []


def test_paths_and_registries_are_found(tmp_path: Path) -> None:
    planted = tmp_path / "planted.txt"
    planted.write_text(
        "see /ro" + "ot/x and /wo" + "rk/main\nfetched from files.python" + "hosted.org\nhttp://a/b/ro" + "oted\n"
    )
    assert told([planted], MACHINE_PATH) == ["planted.txt:1: /ro" + "ot", "planted.txt:1: /wo" + "rk/"]
    assert told([planted], REGISTRY) == ["planted.txt:2: python" + "hosted"]


def test_locks_hold_names_versions_and_hashes_only() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        for line in (REPO / name).read_text().splitlines():
            assert re.match(r"#|    (#|--hash=sha256:[0-9a-f]{64}( \\)?$)|[a-z0-9-]+==[^ ]+( ; .*)? \\$", line), (
                f"{name}: {line}"
            )
