"""What a mode of play is made of: its card, and the functions that make it different from others, its hooks.

The modes themselves are folders; `dedicated_server.modes` makes a `Mode` of one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dedicated_server.cards.card import ModeCard
from dedicated_server.simulation.world import DEATHS, PRESENT, World

Spawn = Callable[[ModeCard, npt.NDArray[np.int32], float, np.random.Generator], npt.NDArray[np.float64]]
Play = Callable[[int], bool]
Respawn = Callable[[int], None]
Placements = Callable[[World], npt.NDArray[np.int32]]


@dataclass(frozen=True)
class Mode:
    """One mode: its numbers are the card's.

    Attributes:
        card: the published numbers.
        spawn: (card, teams int32[N], radius_m, generator) -> float[2, N], metres from the zone's centre.
            Asked once a match.
        play: compiled: (address of the stored world) -> whether the match is over. Called once a tick while
            it is played, after hits and damage. It reads the tick's deaths in ``world.deaths``.
        placements: int32[N], 1 is best; the members of a team share theirs. Asked when the match is over, and
            when somebody departs before.
        respawn: compiled: (address of the stored world). Called at the beginning of a tick: spawns the
            players for whom `damage.respawn_is_due`, where the mode will have them. None: where they began.
    """

    card: ModeCard
    spawn: Spawn
    play: Play
    placements: Placements
    respawn: Respawn | None = None


def took_part(world: World) -> npt.NDArray[np.bool_]:
    """Players who are in the match or were, until they died and left: bool[N]. Others never came."""
    took: npt.NDArray[np.bool_] = (world.status[PRESENT] != 0) | (world.status[DEATHS] > 0)
    return took


def rank_teams(
    teams: npt.NDArray[np.int32], key: Callable[[npt.NDArray[np.bool_]], tuple[float, ...]]
) -> npt.NDArray[np.int32]:
    """Rank players by team: int32[N], 1 is best, the members of a team share theirs.

    Args:
        teams: int32[N], the team of each player.
        key: gives a team's sort key from the mask of its members (bool[N]); the smallest key is best, and of
            teams with equal keys the one with the lower number.
    """
    names, member_of = np.unique(teams, return_inverse=True)
    keys = [(*key(member_of == team), int(names[team])) for team in range(len(names))]
    placement = np.empty(len(names), dtype=np.int32)
    placement[sorted(range(len(names)), key=keys.__getitem__)] = np.arange(1, len(names) + 1)
    return placement[member_of]
