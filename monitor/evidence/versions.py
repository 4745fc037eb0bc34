"""What runs here: versions, one hash over the program, and whether files are as they were installed and loaded.

It only reads files and hashes them. It must never say "unchanged" of a file that it did not read: a distribution
without a list of its files is named.
"""

from __future__ import annotations

import base64
import hashlib
import math
import os
import platform
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import monitor
from monitor.evidence.finding import Finding, Said, said, skipped

DISTRIBUTIONS: tuple[tuple[str, ...], ...] = (
    ("av",),
    ("aiortc",),
    ("aioice",),
    ("aiortsp",),
    ("cryptography",),
    ("numpy",),
    ("opencv-python-headless", "opencv-python"),
    ("pydantic",),
    ("pydantic-core",),
    ("fastapi",),
    ("starlette",),
    ("uvicorn",),
    ("pyopenssl",),
    ("pylibsrtp",),
)
"""Those whose change could weaken the guarantee, each with other names that it may go by."""
_PROGRAM = frozenset({".py", ".sql", ".json", ".js", ".css", ".html", ".svg", ".webmanifest", ".toml", ".typed"})
_SHOWN = 5
_CHUNK = 1 << 20


def program_files() -> list[tuple[str, Path]]:
    """(name below monitor/ or web/, file) of all that the program is made of, in order of name."""
    package = Path(next(iter(monitor.__path__)))
    inside = package / "web"
    web = inside if inside.is_dir() else package.parent / "web"
    found = [
        (f"monitor/{path.relative_to(package).as_posix()}", path) for path in _files(package) if web not in path.parents
    ]
    found += [(f"web/{path.relative_to(web).as_posix()}", path) for path in _files(web)]
    return sorted(found)


def program_hash() -> str:
    """SHA-256 over all program files: of each its name and its own SHA-256, so that a renamed file changes it too."""
    whole = hashlib.sha256()
    for name, path in program_files():
        whole.update(f"{name}\0{_sha256(path).hex()}\n".encode())
    return whole.hexdigest()


def what_runs() -> dict[str, str]:
    """Name → version: `vigil`, `program` (SHA-256 over monitor/ and web/), each dependency, `python`, `openssl`,
    `kernel`. A dependency that is not installed is left out."""
    found = {"vigil": monitor.__version__, "program": program_hash()}
    found |= {each.name.lower(): each.version for each in _distributions()}
    return found | {
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "kernel": os.uname().release,
    }


START_SLACK_SECONDS = 0.1
"""A process's start is told in hundredths of a second, rounded down, and it has read no file by then."""


def changed_since(started: float) -> list[Path]:
    """Files of the program whose ctime (which no program sets back) is later than a process's start (Unix seconds)."""
    return [path for _, path in program_files() if _changed(path) > started + START_SLACK_SECONDS]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_ctime
    except FileNotFoundError:
        return math.inf  # removed at this moment


def record_mismatches() -> list[str]:
    """Files of installed dependencies, and of Vigil where it is installed, that are not as their distribution's RECORD
    says (PEP 376), or are missing. Reads some 200 MB: a second or two."""
    found = []
    for each in [*_distributions(), *_own()]:
        for file in each.files or ():
            path = Path(str(each.locate_file(file)))
            if file.hash is None or file.suffix == ".pyc":
                continue
            try:
                same = base64.urlsafe_b64encode(_sha256(path, file.hash.mode)).rstrip(b"=").decode() == file.hash.value
            except (OSError, ValueError):
                same = False
            if not same:
                found.append(f"{each.name}: {file}")
    return found


def unrecorded() -> list[str]:
    """Dependencies that are installed without a list of hashes (a system's own packages, say): they cannot be
    compared."""
    return [each.name for each in _distributions() if not any(file.hash for file in each.files or ())]


def judge_versions(
    what: Mapping[str, str],
    changed: Sequence[str | Path],
    mismatches: Sequence[str],
    replaced: Sequence[str] | None = (),
    without: Sequence[str] = (),
) -> list[Finding]:
    """Row 20. `replaced` are `ProcessFacts.replaced` of all processes, None where they could not be read; `without` is
    what `unrecorded` gave."""
    others = [f"{name} {version}" for name, version in what.items() if name not in {"vigil", "program"}]
    seen = [said("versions.running", version=what["vigil"], program=what["program"])]
    seen.append(said("versions.dependencies", names=", ".join(others)))
    why = [
        said(key, count=len(paths), paths=_some(paths))
        for key, paths in (
            ("versions.changed", changed),
            ("versions.mismatch", mismatches),
            ("versions.replaced", replaced or ()),
        )
        if paths
    ]
    if without:
        seen.append(said("versions.unrecorded", names=", ".join(without)))
    if why:
        return [Finding(20, "broken", tuple(seen), tuple(why))]
    if replaced is None:
        return [skipped(20, said("process.needs-root"), *seen)]
    return [Finding(20, "holds", (*seen, _as_installed()))]


def _as_installed() -> Said:
    return said("versions.as-installed")


def _some(paths: Sequence[str | Path]) -> str:
    shown = [str(path) for path in paths[:_SHOWN]]
    return ", ".join([*shown, "…"] if len(paths) > _SHOWN else shown)


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.suffix in _PROGRAM and "__pycache__" not in path.parts and path.is_file():
            yield path


def _sha256(path: Path, mode: str = "sha256") -> bytes:
    digest = hashlib.new(mode)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.digest()


def _distributions() -> list[metadata.Distribution]:
    return [found for names in DISTRIBUTIONS if (found := _first(names)) is not None]


def _own() -> list[metadata.Distribution]:
    found = _first(("vigil",))
    # An installation for development has only a pointer in its RECORD, and no program files.
    return [found] if found and any(str(file).startswith("monitor/") for file in found.files or ()) else []


def _first(names: Iterable[str]) -> metadata.Distribution | None:
    for name in names:
        try:
            return metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
    return None
