"""What events are worth, as a file of rules says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchday.escapes import CONTROLS
from rewards.errors import RulesError
from rewards.events import Envelope, kill, make_event
from rewards.progression import rules
from rewards.progression.effects import fold
from rewards.progression.rules import LevelBand, Rules
from rewards.progression.xp import XpRules
from tests.rewards.examples import NOW_S, SOURCE, a_result

ALWAYS = {"kill": 100, "match_played": 50, "win": 500}


def xp_of(worth: dict[str, Any], *events: Envelope) -> dict[int, int]:
    own = Rules(xp=XpRules.of(**worth), levels=(LevelBand(up_to=2, xp_each=1),))
    return {player: gains.xp for player, gains in fold(events, own).players.items() if gains.xp}


def capture(player_id: int, team: int = 0, carried_s: float = 9.0) -> Envelope:
    fields = {"player_id": player_id, "team": team, "carried_s": carried_s}
    return make_event(SOURCE, "flag_captured", fields, now_s=NOW_S)


def test_a_kind_is_worth_what_its_line_says() -> None:
    worth = ALWAYS | {"flag_captured": {"to": "player_id", "points": 150}}
    assert xp_of(worth, capture(1), capture(2), capture(1)) == {1: 300, 2: 150}
    assert xp_of(ALWAYS | {"flag_captured": 7}, capture(1)) == {1: 7}
    assert xp_of(ALWAYS, capture(1)) == {}


def test_the_shipped_rules_know_the_flag() -> None:
    effects = fold([capture(3)], rules.load())
    assert effects.players[3].xp == 150
    assert effects.season_xp == ({} if rules.load().season_at(NOW_S) is None else {(3, "launch"): 150})


def test_several_lines_of_a_kind_add_up_for_different_players() -> None:
    assisted = kill(
        SOURCE,
        now_s=NOW_S,
        tick=1,
        killer_id=1,
        victim_id=2,
        weapon="rifle",
        distance_m=9.0,
        killer_at=(0, 0),
        victim_at=(9, 0),
        assist_ids=[3, 4],
    )
    worth = ALWAYS | {"kill": [{"points": 100}, {"to": "assist_ids", "points": 25}]}
    assert xp_of(worth, assisted) == {1: 100, 3: 25, 4: 25}


def test_conditions_choose_which_events_are_worth_it() -> None:
    worth = ALWAYS | {"flag_captured": {"points": 10, "where": {"team": 1, "min_carried_s": 5}}}
    assert xp_of(worth, capture(1, team=1), capture(2), capture(3, team=1, carried_s=4.0)) == {1: 10}


def test_winning_and_playing_are_of_the_result() -> None:
    assert xp_of(ALWAYS, a_result([5, 6])) == {5: 550, 6: 50}
    assert xp_of(ALWAYS | {"win": {"points": 9, "where": {"team": 3}}}, a_result([5, 6])) == {5: 50, 6: 50}


def test_every_mistake_is_a_line_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(
        """\
xp:
  kill: -1
  win: 500
  flag_lost: 5
  flag_captured: {to: team, points: 150, where: {depth: 3}}
  death: [{points: 1}, {points: lots, worth: 2}]
  Kill: {points: 1.5}
levels: [{up_to: 3, xp_each: 0}]
"""
    )
    with pytest.raises(RulesError) as told:
        rules.load(tmp_path / "rules.yaml")
    lines = str(told.value).splitlines()
    expected = [
        "xp.match_played: say how many points, 0 for none",
        "xp.kill.points: say how many",
        "xp.flag_lost: there is no event called flag_lost, only damage_summary, death,",
        "xp.flag_captured.to: team is no player of a flag_captured: player_id",
        "xp.flag_captured.where.depth: a flag_captured has no depth, only carried_s, team",
        "xp.death.1.worth: there are to, points and where",
        "xp.death.1.points: say how many",
        "xp.Kill.points: say how many",
        "xp.Kill: there is no event called Kill",
        "levels.0.xp_each: ",
        "levels: ",
    ]
    assert len(lines) == len(expected)
    for line, beginning in zip(lines, expected, strict=True):
        assert line.startswith(f"{tmp_path / 'rules.yaml'}: {beginning}")


said = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.sampled_from(["to", "points", "where", "kill", "player_id"]), st.text(max_size=4)),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(said, st.sampled_from(["kill", "flag_captured", "jump"]))
def test_whatever_stands_in_a_file_is_rules_or_mistakes(content: object, name: str) -> None:
    for made, mistakes in (XpRules.read(content), XpRules.read(ALWAYS | {name: content})):
        assert not any(CONTROLS.search(line) for line in mistakes)
        if not mistakes:
            assert made.by_kind
