"""Battle royale: everyone for themselves on one map, until one is left or the zone has closed."""

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
from dedicated_server.simulation.mode import rank_teams, took_part
from dedicated_server.simulation.world import (
    ALIVE,
    CHANGED_TICK,
    DAMAGE_POINTS,
    HEALTH_POINTS,
    KILLS,
    TEAM,
    WORLD_TYPE,
    World,
)

GOLDEN_TURN: Final = round(TURN * (3.0 - 5.0**0.5) / 2.0)  # Vogel's sunflower: even everywhere, no rows


def spawn(
    _card: ModeCard, teams: npt.NDArray[np.int32], radius_m: float, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Spread players evenly over a disc, as the seeds of a sunflower lie; the seed deals the places."""
    players = len(teams)
    places = np.empty((2, players))
    start = int(generator.integers(TURN))
    for place, player in enumerate(generator.permutation(players)):
        distance_m = radius_m * ((place + 0.5) / players) ** 0.5
        cosine, sine = direction(start + place * GOLDEN_TURN)
        places[:, player] = distance_m * cosine, distance_m * sine
    return places


@njit(cache=True, nogil=True, **STAGE)
def over(world_state: int) -> bool:
    """True once at most one team is alive, or the zone has closed."""
    world = load_state(world_state, WORLD_TYPE)
    if zone_closed(world):
        return True
    first_team = -1
    for player in range(world.body.shape[1]):
        if world.status[ALIVE, player]:
            if first_team == -1:
                first_team = world.status[TEAM, player]
            elif world.status[TEAM, player] != first_team:
                return False
    return True


def placements(world: World) -> npt.NDArray[np.int32]:
    """Rank teams by how long they lived, then by health left, kills, damage dealt; absent teams come last."""
    status, body, took = world.status, world.body, took_part(world)

    def key(members: npt.NDArray[np.bool_]) -> tuple[float, ...]:
        alive = status[ALIVE, members].any()
        return (
            -int(took[members].any()),
            -(2**31 if alive else int(status[CHANGED_TICK, members].max())),
            -float(body[HEALTH_POINTS, members].sum()),
            -int(status[KILLS, members].sum()),
            -float(body[DAMAGE_POINTS, members].sum()),
        )

    return rank_teams(status[TEAM], key)
