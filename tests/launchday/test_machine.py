"""What a container grants is what counts, whatever the machine has."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from launchday import machine

GB = 1 << 30
Write = Callable[[dict[str, str]], None]


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """A machine of 16 cores and 64 GB; the files below its cgroups' folder are those that a test writes."""
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "cgroups")
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(machine, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    (tmp_path / "meminfo").write_text(f"MemTotal:   {64 * GB >> 10} kB\nMemFree:    1 kB\n")

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")

    return write


@pytest.mark.parametrize(
    ("files", "cores", "gigabytes"),
    [
        ({}, 16, 64.0),
        ({"own": "0::/", "cgroups/cpu.max": "max 100000", "cgroups/memory.max": "max"}, 16, 64.0),
        ({"own": "0::/", "cgroups/cpu.max": "150000 100000", "cgroups/memory.max": f"{GB}"}, 2, 1.0),
        (
            {
                "own": "0::/pod/box",
                "cgroups/pod/cpu.max": "50000 100000",
                "cgroups/pod/box/cpu.max": "max 100000",
            },
            1,
            64.0,
        ),
        ({"own": "0::/not/visible/here", "cgroups/memory.max": f"{2 * GB}"}, 16, 2.0),
        (
            {
                "own": "4:memory:/docker/1\n3:cpu,cpuacct:/docker/1",
                "cgroups/cpu,cpuacct/docker/1/cpu.cfs_quota_us": "300000",
                "cgroups/cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000",
                "cgroups/memory/docker/1/memory.limit_in_bytes": f"{3 * GB}",
            },
            3,
            3.0,
        ),
        (
            {
                "own": "3:cpu:/",
                "cgroups/cpu/cpu.cfs_quota_us": "-1",
                "cgroups/cpu/cpu.cfs_period_us": "100000",
            },
            16,
            64.0,
        ),
    ],
)
def test_a_containers_limits_bound_what_the_machine_has(
    system: Write, files: dict[str, str], cores: int, gigabytes: float
) -> None:
    system(files)
    assert (machine.cores(), machine.memory_bytes() / GB) == (cores, gigabytes)


def test_a_limit_on_addresses_counts_as_memory(system: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (GB, 2 * GB))
    assert machine.memory_bytes() == GB


def test_processes_side_by_side_fit_into_the_memory_and_there_is_always_one(system: Write) -> None:
    system({"own": "0::/", "cgroups/memory.max": f"{GB}"})
    assert [machine.at_once(size) for size in (GB // 100, GB // 3, GB, 5 * GB)] == [16, 3, 1, 1]


def test_processes_are_bounded_by_the_user_and_by_the_container(
    system: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert machine.processes_left() == machine.NO_LIMIT
    monkeypatch.setattr(machine, "PROCESSES", tmp_path / "proc")
    system({"proc/1/task/1/stat": "", "proc/7/task/7/stat": "", "proc/7/task/8/stat": "", "proc/self": ""})
    monkeypatch.setattr(resource, "getrlimit", lambda _: (40, 40))
    assert machine._threads_of(os.stat(tmp_path).st_uid) == 3
    assert machine.processes_left() == (37 if os.getuid() else machine.NO_LIMIT)  # root is not bound
    system({"own": "0::/", "cgroups/pids.max": "30", "cgroups/pids.current": "28"})
    assert machine.processes_left() == 2
