"""Modes are planned as their cards say: those that ship, and those of LAUNCHDAY_MODES."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dedicated_server.cards import shipped_cards
from launchday import settings as settings_module
from loadtest.scenario.modes import known_cards
from loadtest.scenario.reader import parse_scenario
from loadtest.simulate.plan import plan

SCENARIO = """
name: sides
seed: 3
players: {count: 60, locations: {west-europe: 1.0}}
arrivals: {curve: constant, over_s: 60}
modes:
  MODE: {share: 0.5, players: 16, duration_s: 60}
  teams_of_five: {share: 0.5, players: 10, duration_s: 30}
"""


@pytest.fixture
def relic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A mode of one's own, in a folder that LAUNCHDAY_MODES names."""
    folder = tmp_path / "relic"
    shutil.copytree(shipped_cards()["capture_the_flag"].folder, folder)
    for name in ("card.yaml", "rule_set.json"):
        file = folder / name
        file.write_text(file.read_text().replace("capture_the_flag", "relic"))
    monkeypatch.setenv("LAUNCHDAY_MODES", str(folder))
    settings_module.settings.cache_clear()
    yield "relic"
    settings_module.settings.cache_clear()


def sizes(mode: str) -> list[tuple[int, int, float]]:
    setup = plan(parse_scenario(SCENARIO.replace("MODE", mode), "sides.yaml", known_cards()))
    assert setup.modes.planned.tolist() == [
        True,
        False,
    ]  # sides that may be short are none of the fast kernel
    modes = setup.modes
    return list(zip(modes.players.tolist(), modes.min_players.tolist(), modes.match_s.tolist(), strict=True))


def test_modes_of_teams_are_planned_with_the_sizes_of_their_cards() -> None:
    assert sizes("capture_the_flag") == [(16, 8, 60.0), (10, 10, 30.0)]


def test_a_mode_of_ones_own_is_planned_by_its_card(relic: str) -> None:
    assert sizes(relic) == [(16, 8, 60.0), (10, 10, 30.0)]
