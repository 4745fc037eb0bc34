"""What is installed is whole: the wheel carries the pages and the migrations, and serves a page from another place."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx2 as httpx
import pytest

from monitor import __version__
from tests.fakes.site import running_site
from tests.project.tree import REPO, files


def pip(*words: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(made), str(REPO))
    (found,) = made.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-index", "--target", str(place), str(wheel))
    return place


def run(place: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env=environment(place),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def environment(place: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}


def test_the_wheel_is_named_for_its_version(wheel: Path) -> None:
    assert wheel.name == f"vigil-{__version__}-py3-none-any.whl"


def test_the_wheel_holds_all_that_the_program_reads(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    ours = [path.relative_to(REPO) for path in files()]
    wanted = {str(path) for path in ours if path.parts[0] == "monitor"}
    wanted |= {f"monitor/{path}" for path in ours if path.parts[0] == "web"}
    assert any(name.endswith(".sql") for name in wanted)
    assert any(name.startswith("monitor/web/") and name.endswith(".html") for name in wanted)
    assert wanted <= inside, sorted(wanted - inside)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    strange = [
        name for name in zipfile.ZipFile(wheel).namelist() if not re.match(r"(monitor|vigil-[^/]+\.dist-info)/", name)
    ]
    assert strange == []


def test_it_runs_from_where_it_is_installed(installed: Path, tmp_path: Path) -> None:
    where = run(installed, tmp_path, "-c", "import monitor; print(monitor.__file__)")
    assert where.stdout.strip() == str(installed / "monitor" / "__init__.py")
    version = run(installed, tmp_path, "-m", "monitor", "--version")
    assert (version.returncode, version.stdout) == (0, f"vigil {__version__}\n")


@pytest.mark.whole
def test_it_serves_its_pages(installed: Path, tmp_path: Path) -> None:
    bay = {"id": "bay-1", "name": "Bay 1", "buttons": [{"id": "bay-1-tablet", "kind": "web"}]}
    with (
        running_site(tmp_path, [bay], env=environment(installed), cwd=tmp_path) as site,
        httpx.Client(base_url=site.url, timeout=5) as client,
    ):
        page = client.get("/sign-in")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        scripts = re.findall(r'(?:src|href)="(/?[^":#]+\.(?:js|css))"', page.text)
        assert scripts
        for script in scripts:
            answer = client.get("/" + script.lstrip("/"))
            assert answer.status_code == 200, script
            source = next((installed / "monitor" / "web").rglob(Path(script).name))
            assert answer.content == source.read_bytes()
