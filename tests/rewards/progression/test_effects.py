from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from rewards.events import (
    Envelope,
    match_started,
    player_connected,
)
from rewards.progression import rules
from rewards.progression.effects import Gains, fold
from tests.rewards.examples import NOW_S, SOURCE, a_death, a_grant, a_kill, a_result

RULES = rules.load()

players = st.integers(1, 5)


@given(
    kills=st.lists(st.tuples(players, players)),
    deaths=st.lists(players),
    results=st.lists(st.permutations([1, 2, 3])),
    grants=st.lists(st.tuples(players, st.integers(1, 1000))),
    shuffler=st.randoms(),
)
def test_gains_are_the_sum_of_what_each_event_is_worth_in_any_order(
    kills: list[tuple[int, int]],
    deaths: list[int],
    results: list[list[int]],
    grants: list[tuple[int, int]],
    shuffler: random.Random,
) -> None:
    events = [a_kill(*pair) for pair in kills] + [a_death(player) for player in deaths]
    events += [a_result(order) for order in results] + [a_grant(*grant) for grant in grants]
    shuffler.shuffle(events)

    gains = fold(events, RULES).players

    for player in range(1, 6):
        killed = sum(killer == player for killer, _ in kills)
        played = sum(player in order for order in results)
        won = sum(order[0] == player for order in results)
        granted = sum(xp for grantee, xp in grants if grantee == player)
        expected = Gains(
            100 * killed + 50 * played + 500 * won + granted, killed, deaths.count(player), played
        )
        assert gains.get(player, Gains()) == expected


def test_kinds_that_are_worth_nothing_are_counted_and_touch_nobody() -> None:
    start = match_started(SOURCE, now_s=NOW_S, tick=0, mode="battle_royale", seed=1, roster=[(1, 0)])
    effects = fold([start, player_connected(SOURCE, now_s=NOW_S, tick=0, player_id=1), Envelope()], RULES)

    assert effects.players == {}
    assert effects.kinds == {"match_started": 1, "player_connected": 1, "unknown": 1}
