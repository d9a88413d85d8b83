"""What a benchmark knows of its processor, and by which goal it judges there."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.bench.harness.processor import Processor, processor


def machine(
    folder: Path, size: str, sharing: str, siblings: dict[int, str], level: str = "2"
) -> tuple[Path, Path]:
    """The files of a machine whose core 0 has such a cache."""
    processors = folder / "cpuinfo"
    processors.write_text("processor : 0\nmodel name\t: Some CPU @ 3 GHz\nmodel name\t: another\n")
    for number, (kind, name) in enumerate(
        [("Data", "1"), ("Instruction", "1"), ("Unified", level), ("Unified", "3")]
    ):
        cache = folder / "cpu0" / "cache" / f"index{number}"
        cache.mkdir(parents=True)
        (cache / "level").write_text(f"{name}\n")
        (cache / "type").write_text(f"{kind}\n")
        (cache / "size").write_text(f"{size if name == level else '32K'}\n")
        (cache / "shared_cpu_list").write_text(f"{sharing}\n")
    for core, threads in siblings.items():
        topology = folder / f"cpu{core}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{threads}\n")
    return processors, folder


@pytest.mark.parametrize(
    ("size", "sharing", "siblings", "l2_kib"),
    [
        ("512K", "0", {0: "0"}, 512),
        ("2048K", "0,8", {0: "0,8", 8: "0,8"}, 2_048),  # two threads of one core
        ("4096K", "0-3", {0: "0", 1: "1", 2: "2", 3: "3"}, 1_024),  # four cores at one cache
        ("2M", "0", {}, 2_048),
        ("", "0", {}, None),
        ("much", "0", {}, None),
    ],
)
def test_a_core_has_its_share_of_a_second_level_cache(
    tmp_path: Path, size: str, sharing: str, siblings: dict[int, str], l2_kib: int | None
) -> None:
    processors, cores = machine(tmp_path, size, sharing, siblings)
    assert processor(0, processors, cores) == Processor("Some CPU @ 3 GHz", l2_kib)


def test_a_machine_that_says_nothing_is_unknown(tmp_path: Path) -> None:
    assert processor(0, tmp_path / "none", tmp_path) == Processor("", None)
    processors, cores = machine(tmp_path, "1024K", "0", {}, level="4")
    assert processor(0, processors, cores).l2_kib is None


@pytest.mark.parametrize(
    ("l2_kib", "layout", "players", "goal"),
    [
        (512, "map", 100, 1.30),
        (512, "cluster", 100, 1.45),
        (2_047, "map", 100, 1.30),
        (2_048, "map", 100, 1.15),
        (2_048, "cluster", 100, 1.35),
        (None, "map", 100, 1.15),
        (512, "map", 400, None),
        (512, "constant density", 100, None),
    ],
)
def test_a_tick_is_judged_by_the_cache_that_it_has(
    l2_kib: int | None, layout: str, players: int, goal: float | None
) -> None:
    assert Processor("", l2_kib).goal(layout, players) == goal
