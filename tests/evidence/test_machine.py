"""Reading the machine: the parsers on recorded texts, the reader on recorded trees and on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.evidence.machine import (
    MountFacts,
    SegmentFacts,
    parse_mounts,
    parse_segments,
    parse_swaps,
    read_machine,
)
from tests.evidence.recorded import text

BARE = {
    "proc/swaps": "swaps-none",
    "proc/sys/kernel/core_pattern": "core\n",
    "proc/sys/fs/suid_dumpable": "0\n",
    "proc/sys/kernel/osrelease": "6.12.9-amd64\n",
    "proc/self/mountinfo": "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
    "proc/cpuinfo": "flags\t\t: fpu sse2\n",
    "proc/1/cgroup": "0::/init.scope\n",
    "sys/power/state": "freeze mem\n",
    "sys/class/dmi/id/sys_vendor": "Dell Inc.\n",
    "sys/class/dmi/id/product_name": "PowerEdge R450\n",
}
OTHER = {
    "proc/swaps": "swaps",
    "proc/sys/kernel/core_pattern": "|/usr/share/apport/apport -p%p -- %E\n",
    "proc/sys/kernel/yama/ptrace_scope": "1\n",
    "proc/sysvipc/shm": "sysvipc-shm",
    "proc/self/mountinfo": "mountinfo-container",
    "proc/cpuinfo": "cpuinfo",
    "proc/1/cgroup": "0::/docker/0123456789ab\n",
    "sys/power/state": "freeze mem disk\n",
    "sys/power/resume": "8:2\n",
    "sys/module/zswap/parameters/enabled": "Y\n",
    "sys/kernel/security/lsm": "lockdown,capability,landlock,yama,apparmor",
    "sys/block/zram0/backing_dev": "none\n",
    "sys/class/dmi/id/sys_vendor": "VMware, Inc.\n",
    "sys/class/dmi/id/product_name": "VMware7,1\n",
    "root/.dockerenv": "",
}


def plant(folder: Path, files: dict[str, str]) -> tuple[Path, Path, Path]:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        is_recorded = content and "\n" not in content and "," not in content
        path.write_text(text(content) if is_recorded else content)
    for each in ("proc", "sys", "root"):
        (folder / each).mkdir(exist_ok=True)
    return folder / "proc", folder / "sys", folder / "root"


def test_swap_areas_are_read() -> None:
    assert parse_swaps(text("swaps")) == [
        ("/swap file", "file", 16380, 512),
        ("/dev/zram0", "partition", 4194300, 0),
        ("/dev/dm-1", "partition", 8388604, 131072),
    ]
    assert parse_swaps(text("swaps-none")) == parse_swaps("") == []


def test_mounts_are_read_without_the_kernel_s_own() -> None:
    assert parse_mounts(text("mountinfo-container")) == (
        MountFacts("/", "overlay", True, False),
        MountFacts("/dev", "tmpfs", True, True),
        MountFacts("/dev/shm", "tmpfs", True, True),
        MountFacts("/var/lib/vigil state", "ext4", True, False),
        MountFacts("/etc/hosts", "ext4", False, False),
        MountFacts("/srv", "xfs", False, False),
    )


def test_the_mount_on_top_is_the_one_that_counts() -> None:
    below, above = "1 0 0:1 / /a rw - ext4 /dev/a rw\n", "2 1 0:2 / /a ro - tmpfs x ro\n"
    assert parse_mounts(below + above) == (MountFacts("/a", "tmpfs", False, True),)


def test_segments_are_read() -> None:
    assert parse_segments(text("sysvipc-shm")) == (
        SegmentFacts(131072, 4194304, 31864, 1201),
        SegmentFacts(3, 4096, 900, 900),
    )
    assert parse_segments("") == ()


def test_a_bare_machine_is_read(tmp_path: Path) -> None:
    facts = read_machine(*plant(tmp_path, BARE))
    assert (facts.swaps, facts.zswap, facts.hibernation, facts.resume) == ((), False, False, "")
    assert (facts.core_pattern, facts.suid_dumpable, facts.yama_scope) == ("core", 0, None)
    assert (facts.kernel, facts.root_filesystem) == ("6.12.9-amd64", "ext4")
    assert (facts.lsm, facts.virtual, facts.container, facts.segments, facts.unreadable) == ((), (), (), (), ())


def test_another_machine_is_read(tmp_path: Path) -> None:
    facts = read_machine(*plant(tmp_path, OTHER))
    assert [(each.path, each.in_memory) for each in facts.swaps] == [
        ("/swap file", False),
        ("/dev/zram0", True),
        ("/dev/dm-1", False),
    ]
    assert (facts.zswap, facts.hibernation, facts.resume) == (True, True, "8:2")
    assert facts.core_pattern.startswith("|/usr/share/apport")
    assert facts.yama_scope == 1
    assert facts.lsm == ("lockdown", "capability", "landlock", "yama", "apparmor")
    assert facts.virtual == ("hypervisor", "VMware, Inc. VMware7,1")
    assert facts.container == ("/.dockerenv", "docker")
    assert facts.root_filesystem == "overlay"
    assert len(facts.segments) == 2


def test_zram_with_a_disk_behind_it_is_a_disk(tmp_path: Path) -> None:
    facts = read_machine(*plant(tmp_path, {**OTHER, "sys/block/zram0/backing_dev": "/dev/sda4\n"}))
    assert [each.path for each in facts.swaps if each.in_memory] == []


def test_what_is_there_and_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proc, sys, root = plant(tmp_path, OTHER)
    original = Path.read_text

    def read_text(self: Path, *arguments: str, **more: str) -> str:
        if self.name == "swaps":
            raise PermissionError(13, "Permission denied")
        return original(self, *arguments, **more)

    monkeypatch.setattr(Path, "read_text", read_text)
    facts = read_machine(proc, sys, root)
    assert facts.unreadable == (str(proc / "swaps"),)
    assert facts.swaps == ()


def test_this_machine_is_read() -> None:
    facts = read_machine()
    assert facts.kernel == os.uname().release
    assert any(each.path == "/" for each in facts.mounts)
    assert facts.core_pattern
