"""What counts of an event is found in the schema, against a plain reading of the event's fields."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.events import Envelope, event_kinds, make_event
from rewards.events import events_pb2 as pb
from rewards.progression.tally import MAX_AMOUNT, Tally, Value
from tests.rewards.examples import NOW_S, SOURCE


def made(kind: str, **fields: Any) -> Any:
    return getattr(make_event(SOURCE, kind, fields, now_s=NOW_S), kind)


def counted(tally: Tally, event: Any) -> list[tuple[int, int]]:
    return list(tally.compiled()(event))


placements = st.lists(
    st.builds(
        pb.Placement,
        player_id=st.integers(1, 9),
        team=st.integers(0, 3),
        placement=st.integers(1, 9),
        kills=st.integers(0, 5),
    ),
    max_size=8,
    unique_by=lambda each: each.player_id,
)
weapons = st.lists(
    st.builds(
        pb.DamageSummary.Weapon,
        weapon=st.sampled_from(["rifle", "bow"]),
        dealt=st.floats(0, 500, width=32),
        hits=st.integers(0, 9),
    ),
    max_size=5,
)


@given(placements, st.integers(1, 9), st.integers(0, 3))
def test_entries_of_a_list_count_one_by_one(entries: list[pb.Placement], most: int, team: int) -> None:
    event = pb.MatchEnded(mode="battle_royale", placements=entries)
    where: dict[str, Value] = {"mode": "battle_royale", "max_placement": most, "team": team}
    assert counted(Tally("match_ended", where=where), event) == [
        (each.player_id, 1) for each in entries if each.placement <= most and each.team == team
    ]
    assert counted(Tally("match_ended", where={"mode": "another"}), event) == []
    assert counted(Tally("match_ended", adds="placements.kills"), event) == [
        (each.player_id, each.kills) for each in entries if each.kills
    ]


@given(weapons, st.integers(0, 9))
def test_numbers_of_a_lists_entries_add_up_for_the_player_of_the_event(
    entries: list[pb.DamageSummary.Weapon], least: int
) -> None:
    event = pb.DamageSummary(player_id=7, weapons=entries)
    tally = Tally("damage_summary", adds="weapons.dealt", where={"weapon": "bow", "min_hits": least})
    dealt = sum(each.dealt for each in entries if each.weapon == "bow" and each.hits >= least)
    assert counted(tally, event) == ([(7, int(dealt))] if dealt >= 1 else [])


def test_several_players_of_one_field_count_each() -> None:
    event = made("kill", killer_id=1, victim_id=2, weapon="bow", distance_m=30.0, assist_ids=[3, 4])
    assert counted(Tally("kill"), event) == [(1, 1)]
    assert counted(Tally("kill", "victim_id"), event) == [(2, 1)]
    assert counted(Tally("kill", "assist_ids"), event) == [(3, 1), (4, 1)]
    assert counted(Tally("kill", "assist_ids", "distance_m"), event) == [(3, 30), (4, 30)]


@pytest.mark.parametrize(
    ("where", "counts"),
    [
        ({"over_distance_m": 29.9}, True),
        ({"over_distance_m": 30}, False),
        ({"min_distance_m": 30, "max_distance_m": 30}, True),
        ({"weapon": "bow"}, True),
        ({"weapon": "rifle", "min_distance_m": 1}, False),
    ],
)
def test_all_conditions_have_to_hold(where: dict[str, float | str], counts: bool) -> None:
    event = made("kill", killer_id=1, victim_id=2, weapon="bow", distance_m=30.0)
    assert bool(counted(Tally("kill", where=where), event)) == counts


def test_a_word_of_an_enumeration_is_what_its_columns_show() -> None:
    event = made("death", victim_id=2, cause=pb.Death.CAUSE_ZONE)
    assert counted(Tally("death", where={"cause": "zone"}), event) == [(2, 1)]
    assert counted(Tally("death", where={"cause": "left"}), event) == []


def test_what_is_absent_is_like_nothing() -> None:
    event = pb.MatchStarted(players=[pb.RosterEntry(player_id=1), pb.RosterEntry(player_id=2, waited_s=0.0)])
    assert counted(Tally("match_started", where={"max_waited_s": 5}), event) == [(2, 1)]
    assert counted(Tally("match_started", where={"max_quality": 1}), event) == []


def test_no_event_adds_more_than_its_share() -> None:
    event = made("xp_granted", player_id=1, xp=2**62, reason="")
    assert counted(Tally("xp_granted", adds="xp"), event) == [(1, MAX_AMOUNT)]
    assert counted(Tally("xp_granted", adds="xp"), made("xp_granted", player_id=1, xp=-5)) == []


@pytest.mark.parametrize(
    ("tally", "mistakes"),
    [
        (Tally("jump"), ["there is no event called jump"]),
        (Tally("kill", "weapon"), ["to: weapon is no player of a kill: killer_id, victim_id, assist_ids"]),
        (Tally("server_lifecycle"), ["to: say which player of a server_lifecycle: it has none"]),
        (Tally("kill", adds="weapon"), ["adds: weapon is no number of a kill: distance_m"]),
        (
            Tally("match_started", "players.player_id", "quality", {"kills": 1, "over_mode": 1}),
            [
                "where.kills: a match_started has no kills, only mode,",
                "where.over_mode: 1 is not to be compared",
            ],
        ),
        (Tally("kill", where={"distance_m": 5}), ["where.distance_m: 5 is not to be equal to: give over_"]),
        (Tally("death", where={"cause": "boredom"}), ["where.cause: 'boredom' is not one of unspecified,"]),
        (Tally("match_ended", where={"placement": "first"}), ["where.placement: 'first' is not a number"]),
        (Tally("kill", where={"weapon": True}), ["where.weapon: True is not a text"]),
    ],
)
def test_each_name_that_the_schema_does_not_have_is_a_line(tally: Tally, mistakes: list[str]) -> None:
    told = tally.mistakes()
    assert [line[: len(mistake)] for line, mistake in zip(told, mistakes, strict=True)] == mistakes
    with pytest.raises(ValueError, match=r"."):
        tally.compiled()


@pytest.mark.parametrize("kind", sorted(event_kinds()))
def test_every_kind_that_names_one_sort_of_player_can_be_counted(kind: str) -> None:
    tally = Tally(kind)
    if kind != "server_lifecycle":
        assert counted(tally, getattr(Envelope(), kind)) in ([], [(0, 1)])


names = st.one_of(
    st.sampled_from(
        ["", "kill", "match_ended", "placements.player_id", "placement", "weapons.dealt", "cause"]
    ),
    st.text(max_size=12),
)


@given(
    st.builds(
        Tally,
        st.one_of(st.sampled_from(sorted(event_kinds())), names),
        names,
        names,
        st.dictionaries(names, st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=5))),
    )
)
def test_whatever_a_file_names_is_counted_or_told(tally: Tally) -> None:
    if not tally.mistakes():
        assert isinstance(list(tally.compiled()(getattr(Envelope(), tally.kind))), list)
