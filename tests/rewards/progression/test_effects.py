from __future__ import annotations

import random
import uuid

from hypothesis import given
from hypothesis import strategies as st

from rewards.events import (
    DeathCause,
    Envelope,
    PlayerPlacement,
    Source,
    death,
    kill,
    match_ended,
    match_started,
    player_connected,
    xp_granted,
)
from rewards.progression import rules
from rewards.progression.effects import Gains, fold
from tests.rewards.conftest import NOW_S

SOURCE = Source("server-1", "west-europe", uuid.UUID(int=7))
RULES = rules.load()

players = st.integers(1, 5)


def a_kill(killer_id: int, victim_id: int) -> Envelope:
    return kill(
        SOURCE,
        now_s=NOW_S,
        tick=1,
        killer_id=killer_id,
        victim_id=victim_id,
        weapon="rifle",
        distance_m=9.0,
        killer_at=(0, 0),
        victim_at=(9, 0),
    )


def a_death(player_id: int) -> Envelope:
    return death(
        SOURCE, now_s=NOW_S, tick=1, victim_id=player_id, cause=DeathCause.ZONE, at=(0, 0), survived_s=1.0
    )


def a_result(order: list[int]) -> Envelope:
    return match_ended(
        SOURCE,
        now_s=NOW_S,
        tick=9,
        mode="battle_royale",
        duration_s=45.0,
        placements=[PlayerPlacement(player, 0, place, 99, 1.0) for place, player in enumerate(order, 1)],
    )


def a_grant(player_id: int, xp: int) -> Envelope:
    return xp_granted(SOURCE, now_s=NOW_S, player_id=player_id, xp=xp, reason="quest")


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
