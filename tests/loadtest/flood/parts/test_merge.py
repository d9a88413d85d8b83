"""Two parts of a flood on one target, added up: one ledger by counters read once, and one verdict."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from launchday.settings import Settings
from launchday.terminal import Terminal
from loadtest.command import BAD_SCENARIO, FAILED, PASSED, run_scenario
from loadtest.flood.options import FloodOptions
from loadtest.flood.parts import merge as merging
from loadtest.flood.parts.file import read_part, write_part
from loadtest.merge import merge_parts
from loadtest.scenario.model import Scenario
from tests.loadtest.players.fake_target import CountingTarget


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SETTLE_TIMEOUT_S", "SETTLE_TIMEOUT_INCOMPLETE_S", "SETTLE_POLL_S"):
        monkeypatch.setattr(merging, name, 0.01)


def scenario_of(seed: int = 0) -> Scenario:
    """Twelve players whose objectives a busy machine meets too."""
    return Scenario.model_validate(
        {
            "name": "shared",
            "seed": seed,
            "players": {"count": 12, "locations": {"west-europe": 1.0}},
            "arrivals": {"curve": "constant", "over_s": 0},
            "modes": {"their_mode": {"players": 2, "duration_s": 5}},
            "objectives": {"wait_p95_s": 60},
        }
    )


class Shared:
    """The target of all parts, as a process of its own would be."""

    __name__ = "Shared"

    def __init__(self) -> None:
        self.backend = CountingTarget()

    def __call__(self) -> CountingTarget:
        return self.backend


async def flood_part(target: Shared, path: Path, number: int, of: int, scenario: Scenario) -> tuple[int, str]:
    output = io.StringIO()
    options = FloodOptions(target=target, part=(number, of), part_file=path)
    console = Terminal(file=output, width=200)
    return await run_scenario(scenario, Settings(), options, console=console), output.getvalue()


async def merged(paths: list[Path], **options: Any) -> tuple[int, str]:
    output = io.StringIO()
    console = Terminal(file=output, width=200)
    code = await merge_parts(paths, Settings(), FloodOptions(**options), console)
    return code, output.getvalue()


@pytest.fixture
async def flooded(tmp_path: Path) -> tuple[Shared, list[Path]]:
    target, paths = Shared(), [tmp_path / "1.zip", tmp_path / "2.zip"]
    target.backend.counts["queued"] = target.backend.counts["matched"] = 40  # of floods before
    found = await asyncio.gather(
        *(flood_part(target, path, number, 2, scenario_of()) for number, path in enumerate(paths, start=1))
    )
    assert [code for code, _ in found] == [PASSED, PASSED]
    assert "It judges nothing" in found[0][1]
    return target, paths


async def test_two_parts_are_one_run_with_one_ledger(
    flooded: tuple[Shared, list[Path]], tmp_path: Path
) -> None:
    target, paths = flooded
    code, said = await merged(paths, target=target, json=tmp_path / "whole.json")
    whole = json.loads((tmp_path / "whole.json").read_text())
    assert whole["ledger"]["balanced"]
    tickets = whole["ledger"]["lines"][0]["entries"]
    assert tickets == {"of the bots": 12, "queued": 12}
    assert whole["players_by_state"]["done"] == 12
    assert code == (PASSED if whole["passed"] else FAILED)  # by the machine's own pace
    assert said.count("12 finished") == 1


async def test_a_ticket_that_the_target_lost_is_found_by_the_merge(
    flooded: tuple[Shared, list[Path]],
) -> None:
    target, paths = flooded
    target.backend.counts["queued"] -= 1
    code, said = await merged(paths, target=target)
    assert code == FAILED
    assert "off by 1" in said


async def test_a_killed_part_and_a_missing_one_fail_the_run_by_name(
    flooded: tuple[Shared, list[Path]],
) -> None:
    target, paths = flooded
    write_part(paths[1], read_part(paths[1]).header)
    code, said = await merged(paths, target=target)
    assert code == FAILED
    assert f"part 2 of 2 ({paths[1]}) has not ended: it was killed, or still plays" in said.splitlines()[0]
    assert "Interrupted: part 2 of 2" in said
    code, said = await merged(paths[:1], target=target)
    assert code == FAILED
    assert said.splitlines()[0] == "part 2 of 2 is missing"


async def test_what_cannot_be_merged_is_one_line(flooded: tuple[Shared, list[Path]], tmp_path: Path) -> None:
    target, paths = flooded
    other = tmp_path / "other.zip"
    await flood_part(target, other, 2, 2, scenario_of(seed=9))
    for given, options, words in (
        ([paths[0], other], {"target": target}, "are of different floods: seed 0 and 9"),
        ([paths[0], paths[0]], {"target": target}, "part 1 of 2 is given twice"),
        (paths, {}, "Shared counts by itself: give --target"),
        (paths, {"target": CountingTarget}, "have flooded Shared, and --target is CountingTarget"),
        ([tmp_path / "none.zip"], {}, "cannot be read"),
    ):
        code, said = await merged(given, **options)
        assert code == BAD_SCENARIO
        assert words in said
        assert len(said.splitlines()) == 1
