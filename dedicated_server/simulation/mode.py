"""What a mode of play is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dedicated_server.simulation.world import World

Spawn = Callable[["Mode", npt.NDArray[np.int32], float, np.random.Generator], npt.NDArray[np.float64]]
Over = Callable[[int], bool]
Placements = Callable[[World], npt.NDArray[np.int32]]


class UnknownModeError(ValueError):
    """Raised when a match is asked for in a mode that is not there. The message names those that are."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"no mode {name!r}; there are {', '.join(sorted(known))}")


@dataclass(frozen=True)
class Mode:
    """The numbers of a mode, and the three functions that make it different from others."""

    name: str
    speed_m_per_s: float
    map_half_m: float  # the map is a square of twice this, around its centre
    max_spawn_radius_m: float  # players start within this of the zone's centre, or closer in short matches
    zone_margin_m: float  # the zone starts so much larger than the circle of spawns
    zone_hold_share: float  # part of the match before the zone begins to shrink
    zone_points_per_s: float  # health points lost outside it
    respawn_s: float  # 0: dead is dead
    kill_target: int  # kills with which a team wins; 0: none
    weapon: int  # row of weapons.WEAPONS

    spawn_positions: (
        Spawn  # (mode, teams int32[N], radius_m, generator) -> float[2, N] metres from the zone's centre
    )
    over: Over  # compiled: (address of the pinned world) -> bool; asked once a tick
    placements: Placements  # int32[N], 1 is best, asked once; the members of a team share theirs
