"""Battle royale: everyone for themselves on one map, until one is left or the zone has closed.

Where players start and when it is over are what a mode does by default where each is alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dedicated_server.modes.toolbox import World, rank_teams
from dedicated_server.simulation.mode import took_part
from dedicated_server.simulation.world import (
    ALIVE,
    CHANGED_TICK,
    DAMAGE_POINTS,
    HEALTH_POINTS,
    KILLS,
    TEAM,
)


def placements(world: World) -> npt.NDArray[np.int32]:
    """Rank teams by how long they lived, then by health left, kills, damage dealt; who never came is last."""
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
