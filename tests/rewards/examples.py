"""Events that the tests of rewards make: short forms of the builders."""

from __future__ import annotations

import random
import uuid

from rewards.events import (
    DeathCause,
    Envelope,
    EventIds,
    PlayerPlacement,
    Source,
    death,
    kill,
    match_ended,
    xp_granted,
)

NOW_S = 1_800_000_000.0
IDS = EventIds(
    random.Random(1).getrandbits
)  # the same in each process: parametrized tests are named after them


def source_of(match: int, producer: str = "server-1", region: str = "west-europe") -> Source:
    """The server of the match with that number."""
    return Source(producer, region, uuid.UUID(int=match), ids=IDS)


SOURCE = source_of(7)


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
