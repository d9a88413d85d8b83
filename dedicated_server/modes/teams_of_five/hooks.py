"""Teams of five: two sides on a small map, the dead return, the side with the most kills wins."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.cards import ModeCard
from dedicated_server.native.compilation import STAGE
from dedicated_server.native.memory import load_state
from dedicated_server.simulation.damage import zone_closed
from dedicated_server.simulation.heading import TURN, direction
from dedicated_server.simulation.mode import rank_teams
from dedicated_server.simulation.world import (
    DAMAGE_POINTS,
    KILLS,
    PRESENT,
    TEAM,
    WORLD_TYPE,
    World,
)

BASE_RADIUS_M: Final = 6.0


def spawn(
    _card: ModeCard, teams: npt.NDArray[np.int32], radius_m: float, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Put each team in a small circle; the circles lie evenly around the map's centre, turned by the seed."""
    places = np.empty((2, len(teams)))
    names = np.unique(teams)
    start = int(generator.integers(TURN))
    for index, team in enumerate(names):
        cosine, sine = direction(start + index * TURN // len(names))
        members = np.flatnonzero(teams == team)
        for seat, player in enumerate(members):
            east, north = direction(seat * TURN // len(members))
            places[:, player] = (
                radius_m * cosine + BASE_RADIUS_M * east,
                radius_m * sine + BASE_RADIUS_M * north,
            )
    return places


@njit(cache=True, nogil=True, **STAGE)
def over(world_state: int) -> bool:
    """True once a team has the kills to win, one side is gone for good, or time is up."""
    world = load_state(world_state, WORLD_TYPE)
    if zone_closed(world):
        return True
    players = world.body.shape[1]
    first_team, sides = -1, 0
    for player in range(players):
        if not world.status[PRESENT, player]:
            continue
        team = world.status[TEAM, player]
        if sides == 0:
            first_team, sides = team, 1
        elif team != first_team:
            sides = 2
        kills = 0
        for other in range(players):
            if world.status[TEAM, other] == team:
                kills += world.status[KILLS, other]
        if kills >= world.limits[0]:
            return True
    return sides < 2


def placements(world: World) -> npt.NDArray[np.int32]:
    """Rank teams by kills, then by damage dealt."""

    def key(members: npt.NDArray[np.bool_]) -> tuple[float, ...]:
        return -int(world.status[KILLS, members].sum()), -float(world.body[DAMAGE_POINTS, members].sum())

    return rank_teams(world.status[TEAM], key)
