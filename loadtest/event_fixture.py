"""A fixture of events: matches as game servers emit them, with what they are worth counted in the plainest
way.

Whoever applies them, in whatever order and through whatever crashes, must come to the same totals.
Benchmarks, the chaos run and tests of rewards use it.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from dataclasses import dataclass, field

from loadtest.shipped_worth import xp_of
from rewards.events import (
    DeathCause,
    Envelope,
    EventIds,
    PlayerPlacement,
    Source,
    WeaponDamage,
    damage_summary,
    death,
    kill,
    make_event,
    match_ended,
    match_started,
    player_connected,
    player_disconnected,
)

NOW_S = 1_795_000_000.0  # 2026-11-18, within the season that is shipped
MATCH_PLAYERS = 50
MATCH_S = 45.0
FLAGS = 3
# A match has 1 start, 1 end, some captures, and for each player a connection, a death, a summary and a
# disconnect; all but one player are killed.
EVENTS_PER_MATCH = 2 + FLAGS + 4 * MATCH_PLAYERS + MATCH_PLAYERS - 1
WEAPONS = ("rifle", "pistol", "shotgun")
FAR_M = 100.0

KILL_XP, MATCH_XP, WIN_XP, FLAG_XP = (
    xp_of(name) for name in ("kill", "match_played", "win", "flag_captured")
)
LONG_SHOTS, LONG_SHOTS_XP = 3, 300
DAY_MATCHES, DAY_MATCHES_XP = 10, 250
PODIUMS, PODIUMS_XP = 5, 1000
RIFLE_POINTS, RIFLE_XP = 10_000, 1500


@dataclass
class EventFixture:
    """Events in the order in which they happened, and what they are worth.

    Attributes:
        events: each has its own id.
        xp: player id → points, challenges included.
        kills: player id → kills.
        matches: player id → matches.
    """

    events: list[Envelope] = field(default_factory=list)
    xp: Counter[int] = field(default_factory=Counter)
    kills: Counter[int] = field(default_factory=Counter)
    matches: Counter[int] = field(default_factory=Counter)


def make_event_fixture(matches: int, *, players: int = 10_000, seed: int = 1) -> EventFixture:
    """Make ``matches`` battle royales among ``players`` players; the same seed gives the same set, ids
    included.
    """
    rng = random.Random(seed)
    known = EventFixture()
    ids = EventIds(rng.getrandbits)
    podiums: Counter[int] = Counter()
    rifle: Counter[int] = Counter()
    for number in range(matches):
        source = Source(f"server-{number % 20}", "west-europe", uuid.UUID(int=rng.getrandbits(128)), ids=ids)
        roster = rng.sample(range(1, players + 1), MATCH_PLAYERS)
        far = _play(known, source, roster, NOW_S + number, rng, rifle)
        for player, shots in far.items():
            known.xp[player] += LONG_SHOTS_XP if shots >= LONG_SHOTS else 0
        for player in roster[:3]:
            podiums[player] += 1
    known.xp.update({player: KILL_XP * kills for player, kills in known.kills.items()})
    for player, played in known.matches.items():
        # A set lasts minutes, so all its matches are of one day.
        known.xp[player] += MATCH_XP * played + (DAY_MATCHES_XP if played >= DAY_MATCHES else 0)
    known.xp.update({player: PODIUMS_XP for player, count in podiums.items() if count >= PODIUMS})
    known.xp.update({player: RIFLE_XP for player, points in rifle.items() if points >= RIFLE_POINTS})
    return known


def _play(
    known: EventFixture,
    source: Source,
    roster: list[int],
    at_s: float,
    rng: random.Random,
    rifle: Counter[int],
) -> Counter[int]:
    """One match, the roster in the order of its placements; returns the kills from afar by player."""
    events, far = known.events, Counter[int]()
    events.append(
        match_started(
            source,
            now_s=at_s,
            tick=0,
            mode="battle_royale",
            seed=rng.getrandbits(60),
            roster=[(player, team) for team, player in enumerate(roster)],
            waited_s={player: rng.expovariate(1 / 8) for player in roster},
            quality=rng.random(),
        )
    )
    kills: Counter[int] = Counter()
    for player in roster:
        events.append(player_connected(source, now_s=at_s, tick=1, player_id=player))
    for place in range(MATCH_PLAYERS, 0, -1):
        tick = 60 * (MATCH_PLAYERS - place)
        now_s, victim, at = at_s + tick / 60, roster[place - 1], (rng.gauss(0, 300), rng.gauss(0, 300))
        if place > 1:
            killer = roster[rng.randrange(place - 1)]
            distance_m = rng.expovariate(1 / 60)
            kills[killer] += 1
            far[killer] += distance_m > FAR_M
            events.append(
                kill(
                    source,
                    now_s=now_s,
                    tick=tick,
                    killer_id=killer,
                    victim_id=victim,
                    weapon=rng.choice(WEAPONS),
                    distance_m=distance_m,
                    killer_at=(at[0] + distance_m, at[1]),
                    victim_at=at,
                )
            )
        cause = DeathCause.KILLED if place > 1 else DeathCause.ZONE
        events.append(
            death(source, now_s=now_s, tick=tick, victim_id=victim, cause=cause, at=at, survived_s=tick / 60)
        )
        points = float(rng.randrange(400))
        rifle[victim] += int(points)
        events.append(
            damage_summary(
                source,
                now_s=now_s,
                tick=tick,
                player_id=victim,
                taken=100.0,
                weapons=[WeaponDamage("rifle", points, 30, 9)],
            )
        )
        events.append(player_disconnected(source, now_s=now_s, tick=tick, player_id=victim, reason="left"))
    for _ in range(FLAGS):  # as another mode has them: rewards does not ask which mode it was
        carrier, base = rng.choice(roster), {"x_m": rng.gauss(0, 300), "y_m": rng.gauss(0, 300)}
        fields = {
            "player_id": carrier,
            "team": roster.index(carrier),
            "at": base,
            "carried_s": rng.uniform(5, 40),
        }
        events.append(make_event(source, "flag_captured", fields, now_s=at_s + MATCH_S, tick=2699))
        known.xp[carrier] += FLAG_XP
    known.kills.update(kills)
    known.matches.update(roster)
    known.xp[roster[0]] += WIN_XP
    events.append(
        match_ended(
            source,
            now_s=at_s + MATCH_S,
            tick=2700,
            mode="battle_royale",
            duration_s=MATCH_S,
            placements=[
                PlayerPlacement(player, team, team + 1, kills[player], MATCH_S)
                for team, player in enumerate(roster)
            ],
        )
    )
    return far
