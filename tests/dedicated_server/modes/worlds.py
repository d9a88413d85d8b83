"""Matches of a mode for tests of its hooks: players by team, moved where a test wants them."""

from __future__ import annotations

from uuid import UUID

import numpy as np

from dedicated_server.cards import ModeCard
from dedicated_server.modes import open_match
from dedicated_server.simulation import world as w
from dedicated_server.simulation.damage import damage
from dedicated_server.simulation.match import Match, MatchConfig, RosterPlayer


def begun(card: ModeCard, players: int = 16, match_s: float = 60.0) -> Match:
    """A match that has begun, of teams as large as each other, one after the other."""
    roster = [RosterPlayer(entity + 1, entity * card.teams // players, entity) for entity in range(players)]
    match = open_match(MatchConfig(UUID(int=1), card, 1, match_s, roster))
    match.start(np.ones(players, dtype=bool), 0)
    return match


def tick(match: Match, ticks: int = 1) -> None:
    """Play so many ticks; nobody moves by itself."""
    for _ in range(ticks):
        match.apply(match.tick + 1)
        match.simulate()


def put(match: Match, player: int, x_m: float, y_m: float) -> None:
    """Put a player somewhere."""
    match.world.body[[w.X_M, w.Y_M], player] = x_m, y_m


def kill(match: Match, actor: int, victim: int) -> None:
    """Play a tick in which one player kills another, as a shot does."""
    match.apply(match.tick + 1)
    damage(match.world, actor, victim, 2 * w.FULL_HEALTH_POINTS)
    match.simulate()
