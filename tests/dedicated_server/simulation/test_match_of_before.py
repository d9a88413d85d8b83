"""A seeded battle royale is the match that it was before: the same to the last bit.

The hashes were taken by `play` below: in commit 1d243b61, the last one in which the mode's numbers, the
weapons and the movement stood in the code; and anew when one input of a player came to be played in a tick,
and what was shown not to go back. Whoever changes what a battle royale is changes them knowingly.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final
from uuid import UUID

import numpy as np
import pytest

from dedicated_server.cards import shipped_cards
from dedicated_server.modes import open_match
from dedicated_server.protocol.fields import BUTTON_FIRE
from dedicated_server.simulation import world as w
from dedicated_server.simulation.match import Match, MatchConfig, RosterPlayer
from dedicated_server.simulation.world import Inputs

STATUS_ROWS_OF_BEFORE: Final = 20
STARTS: Final = {  # players: ticks, kills, hash
    3: (441, 2, "5554e266dd189b3c5d788b9b289d64d3"),
    20: (393, 18, "3b7f5f87159a933c293ab0f6eb18f7dc"),
    100: (411, 98, "004c918d0248e70032c915e9c2da635a"),
}


def open_royale(players: int) -> Match:
    roster = [RosterPlayer(100 + entity, entity, entity) for entity in range(players)]
    return open_match(
        MatchConfig(UUID(int=3), shipped_cards()["battle_royale"], seed=players, match_s=20.0, players=roster)
    )


def chase_and_fire(world: w.World, inputs: Inputs, tick: int, generator: np.random.Generator) -> None:
    """Everybody runs to the middle, mostly, and fires at the nearest who is alive, nearly."""
    players, ring, _ = inputs.rows.shape
    x_m, y_m = world.body[w.X_M], world.body[w.Y_M]
    row = inputs.rows[:, tick % ring]
    row[:, 0] = inputs.newest[:] = tick
    home = np.stack([world.rules[w.ZONE_X_M] - x_m, world.rules[w.ZONE_Y_M] - y_m], axis=1)
    row[:, 1:3] = np.clip(home * 4 + generator.integers(-60, 61, (players, 2)), -127, 127)
    east, north = x_m - x_m[:, None], y_m - y_m[:, None]
    square = east * east + north * north + 1e12 * (np.eye(players) + (world.status[w.ALIVE] == 0))
    nearest = square.argmin(axis=1)
    turn = np.arange(players)
    # whole degrees: the C library's arctangent may differ in its last bit
    degrees = np.rint(np.degrees(np.arctan2(north[turn, nearest], east[turn, nearest])))
    row[:, 3] = ((degrees + generator.integers(-2, 3, players)) * 65_536 // 360).astype(np.int64) & 65_535
    row[:, 4] = BUTTON_FIRE * (generator.integers(0, 3, players) > 0)
    row[:, 5] = np.maximum(tick - generator.integers(0, 20, players), 0)
    row[:, 6:] = 0


def play(match: Match) -> tuple[str, int, int]:
    """Hash of every state, the events and the placements; how many ticks, and how many were shot."""
    world, generator, digest = match.world, np.random.default_rng(7), hashlib.blake2b(digest_size=16)
    players = len(match.roster)
    present = np.ones(players, bool)
    present[-1] = players < 10  # one who never came
    match.start(present, 1)
    tick = 0
    while not match.over:
        tick += 1 if tick % 50 else 3  # an overload now and then
        chase_and_fire(world, match.inputs, tick, generator)
        match.apply(tick)
        match.simulate()
        digest.update(world.body.tobytes())
        digest.update(world.status[:STATUS_ROWS_OF_BEFORE].tobytes())
        digest.update(world.position_history.tobytes())
    events: Any = match.drain_events()
    for field in ("kind", "tick", "actor", "victim", "weapon", "distance_m", "victim_x_m", "victim_y_m"):
        digest.update(events[field].tobytes())
    digest.update(match.placements().tobytes())
    return digest.hexdigest(), tick, int(world.status[w.KILLS].sum())


@pytest.mark.parametrize("players", STARTS)
def test_a_seeded_battle_royale_is_to_the_last_bit_what_it_was_before(players: int) -> None:
    found, ticks, kills = play(open_royale(players))
    assert kills > 0
    assert (ticks, kills, found) == STARTS[players]
