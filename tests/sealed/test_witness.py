"""The witness of those who are not root, strace: it must see what is planted. (The other witness: tests/audit.)"""

from __future__ import annotations

import subprocess
import sys

import pytest

from monitor.audit.search import patterns
from tests.audit.test_witness import PLANT, SPS, TOKEN
from tests.fakes.witness import StraceWitness

pytestmark = pytest.mark.sealed


@pytest.mark.parametrize("form", ["raw", "hex", "base64", "sps"])
def test_the_witness_of_those_who_are_not_root(tmp_path, form):
    witness = StraceWitness(patterns(TOKEN, SPS), tmp_path / "strace.log")
    command = [*witness.command, sys.executable, "-c", PLANT, str(tmp_path / "leak"), form, "keep"]
    subprocess.run(command, check=True)
    witness.stop()
    assert str(tmp_path / "leak") in witness.modified
    assert [path for path, _ in witness.hits] == [str(tmp_path / "leak")]
