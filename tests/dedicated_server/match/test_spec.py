from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.cards import shipped_cards
from dedicated_server.match.spec import MalformedMatchError, MatchSpec, parse_match_spec

MATCH_ID = str(uuid.uuid4())


def match(**changes: Any) -> dict[str, Any]:
    players = [{"player_id": str(10 + n), "team": n, "entity": n} for n in range(3)]
    return {
        "match_id": MATCH_ID,
        "mode": "battle_royale",
        "region": "west-europe",
        "seed": 7,
        "match_s": 45.0,
        "players": players,
        "allocated_at": 1795424342.5,
        **changes,
    }


def read(**changes: Any) -> MatchSpec:
    return parse_match_spec(json.dumps(match(**changes)), shipped_cards())


def team(sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Players of teams of these sizes."""
    teams = [number for number, size in enumerate(sizes) for _ in range(size)]
    return [{"player_id": 10 + n, "team": number, "entity": n} for n, number in enumerate(teams)]


def test_a_directors_match_is_read() -> None:
    order = read()
    assert str(order.match_id) == MATCH_ID
    assert [(entry.player_id, entry.team, entry.entity) for entry in order.players] == [
        (10, 0, 0),
        (11, 1, 1),
        (12, 2, 2),
    ]


def test_fields_of_a_newer_director_are_passed_over() -> None:
    assert read(weather="rain").seed == 7


def test_an_allocation_without_a_match_is_malformed() -> None:
    with pytest.raises(MalformedMatchError, match="without a match"):
        parse_match_spec(None, shipped_cards())


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"match_id": "../../etc/passwd"}, "match_id"),
        ({"mode": "hide_and_seek"}, "'hide_and_seek' is no mode; there are battle_royale"),
        ({"mode": "battle_royal"}, "did you mean battle_royale"),
        ({"players": team([2, 1])}, "team 0 has 2 of them, battle_royale at most 1"),
        ({"mode": "teams_of_five", "players": team([5, 4, 1])}, "players/9/team: teams_of_five has 2 teams"),
        ({"mode": "teams_of_five", "players": team([6, 4])}, "team 0 has 6 of them, teams_of_five at most 5"),
        ({"mode": "teams_of_five", "players": team([6, 5])}, "teams_of_five has at most 10, not 11"),
        ({"region": ""}, "region"),
        ({"seed": -1}, "seed"),
        ({"match_s": 0}, "match_s"),
        ({"match_s": float("inf")}, "match_s"),
        ({"match_s": float("nan")}, "match_s"),
        ({"players": []}, "players"),
        ({"players": [{"player_id": "0", "team": 0, "entity": 0}]}, "player_id"),
        ({"players": [{"player_id": str(2**63), "team": 0, "entity": 0}]}, "player_id"),
        ({"players": [{"player_id": "1", "team": 0, "entity": 1}]}, "0, 1, 2"),
        ({"players": [{"player_id": "1", "team": 0, "entity": n} for n in range(2)]}, "twice"),
        ({"allocated_at": "yesterday"}, "allocated_at"),
    ],
)
def test_a_malformed_match_says_where(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(MalformedMatchError, match=where):
        read(**changes)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(max_size=50) | json_values.map(json.dumps))
def test_nothing_but_malformed_is_ever_raised(annotation: str) -> None:
    with pytest.raises(MalformedMatchError):
        parse_match_spec(annotation, shipped_cards())


@given(st.sampled_from(sorted(match())), json_values)
def test_any_value_in_any_field_is_read_or_refused(field: str, value: Any) -> None:
    try:
        order = read(**{field: value})
    except MalformedMatchError:
        return
    assert [entry.entity for entry in order.players] == list(range(len(order.players)))
