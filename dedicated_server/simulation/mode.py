"""What a mode of play is made of; the modes themselves are folders of `dedicated_server.modes`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dedicated_server.errors import DedicatedServerError
from dedicated_server.simulation.world import World

Spawn = Callable[["Mode", npt.NDArray[np.int32], float, np.random.Generator], npt.NDArray[np.float64]]
Over = Callable[[int], bool]
Placements = Callable[[World], npt.NDArray[np.int32]]


class UnknownModeError(DedicatedServerError, ValueError):
    """Raised when a match is asked for in a mode that does not exist. The message names those that do."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"no mode {name!r}; there are {', '.join(sorted(known))}")


@dataclass(frozen=True)
class Mode:
    """The numbers of a mode, and the three functions that make it different from others: its hooks."""

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
    over: Over  # compiled: (address of the stored world) -> bool; asked once a tick
    placements: Placements  # int32[N], 1 is best, asked once; the members of a team share theirs


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
