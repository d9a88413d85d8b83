"""Ten wrong scenario files, each with mistakes of several kinds, and beside each the list of all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.errors import ScenarioError
from loadtest.scenario.reader import load_scenario

WRONG = Path(__file__).parent / "wrong"


@pytest.mark.parametrize("path", sorted(WRONG.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_mistake_of_a_file_is_told_in_one_go(path: Path) -> None:
    with pytest.raises(ScenarioError) as refused:
        load_scenario(path)
    found = [line.removeprefix(f"{path}:") for line in refused.value.lines]
    wanted = path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    assert len(wanted) > 5
    assert [line[: len(begin)] for line, begin in zip(found, wanted, strict=True)] == wanted
    assert all("\n" not in line for line in found)


def test_a_mistake_that_is_mended_leaves_the_others(tmp_path: Path) -> None:
    text = (WRONG / "shares.yaml").read_text().replace("0.4}\n  parties", "0.5}\n  parties")
    (tmp_path / "mended.yaml").write_text(text)
    with pytest.raises(ScenarioError) as refused:
        load_scenario(tmp_path / "mended.yaml")
    assert [mistake.path for mistake in refused.value.mistakes] == [
        "players.parties",
        "players.platforms",
        "players.cross_play",
        "modes",
        "links.shares",
        "behaviours.shares",
    ]


def test_what_only_follows_from_a_misspelt_name_is_no_mistake_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "follows.yaml").write_text(
        "name: follows\n"
        "players: {count: 10, locations: {west-eurpe: 0.5, east-us: 0.5}, parties: {4: 1.0}}\n"
        "arrivals: {west-europe: {over_s: 1}, east-us: {over_s: 1}}\n"
        "modes: {battle_royale: {players: ten, duration_s: 10}}\n"
        "fleet: {regions: [east-us, japan-eas], max: {east-us: 1, japan-east: 2}}\n"
        "links: {own: {line: 5}, shares: {line: 1.0}}\n"
        "faults: [{at_s: 1, do: kill_server, region: japan-east}]\n"
    )
    with pytest.raises(ScenarioError) as refused:
        load_scenario(tmp_path / "follows.yaml")
    assert [mistake.path for mistake in refused.value.mistakes] == [
        "players.locations.west-eurpe",
        "modes.battle_royale.players",
        "fleet.regions.1",
        "links.own.line",
    ]
