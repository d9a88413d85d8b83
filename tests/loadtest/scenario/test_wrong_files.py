"""Ten wrong scenario files, each with mistakes of several kinds, and beside each the list of all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.errors import Mistake, ScenarioError
from loadtest.scenario.reader import load_scenario, parse_scenario

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


WORDS = st.sampled_from(
    ["west-europe", "east-us", "battle_royale", "ramp", "kill_server", "cable", "mars", ""]
)
NAMES = (
    "name players count locations parties arrivals curve over_s file modes share fleet regions buffer max "
    "faults do at_s part own links behaviours shares west-europe east-us battle_royale line objectives seed"
)
KEYS = st.sampled_from(NAMES.split()) | st.integers(-1, 9)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 200) | st.floats(width=16) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
SOUND = yaml.safe_load((WRONG.parent / "sound.yaml").read_text())


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4), st.sampled_from(sorted(SOUND)), VALUES)
def test_any_content_is_a_scenario_or_mistakes_with_their_lines(
    more: dict[object, object], section: str, value: object
) -> None:
    content = {**SOUND, section: value, **more}
    text = yaml.safe_dump(content)
    mistakes = mistakes_in(text)
    assert [mistake.line for mistake in mistakes] == sorted(mistake.line for mistake in mistakes)
    assert all(1 <= mistake.line <= text.count("\n") + 1 for mistake in mistakes)
    assert len(set(mistakes)) == len(mistakes)


def mistakes_in(text: str) -> tuple[Mistake, ...]:
    """The mistakes of a scenario; none of a right one."""
    try:
        parse_scenario(text, "any.yaml")
    except ScenarioError as refused:
        return refused.mistakes
    return ()


@pytest.mark.parametrize(
    "section", [key for key in sorted(SOUND) if key not in ("name", "seed", "duration_s")]
)
def test_a_section_that_is_wrong_hides_no_mistake_of_another(section: str) -> None:
    wrong = {"players": {"count": 0}, "objectives": {"cost": -1}}
    content = {**SOUND, **wrong, section: "nothing of the kind"}
    with pytest.raises(ScenarioError) as refused:
        parse_scenario(yaml.safe_dump(content), "any.yaml")
    told = {mistake.path for mistake in refused.value.mistakes}
    wanted = {section, "players.count", "players.locations", "objectives.cost"}
    assert told >= {path for path in wanted if path == section or not path.startswith(section)}
