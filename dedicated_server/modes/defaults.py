"""What a mode does where it has no hook of its own: where players start, when it is over, who is first."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.cards import ModeCard
from dedicated_server.native.compilation import INLINE
from dedicated_server.simulation.damage import zone_closed
from dedicated_server.simulation.heading import TURN, direction
from dedicated_server.simulation.mode import rank_teams
from dedicated_server.simulation.world import (
    ALIVE,
    DAMAGE_POINTS,
    KILLS,
    PRESENT,
    RESPAWN_TICKS,
    TEAM,
    World,
)

GOLDEN_TURN: Final = round(TURN * (3.0 - 5.0**0.5) / 2.0)  # Vogel's sunflower: even everywhere, no rows
BASE_RADIUS_M: Final = 6.0  # where the card names no bases


def spawn(
    card: ModeCard, teams: npt.NDArray[np.int32], radius_m: float, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Where players start: float[2, P] metres from the zone's centre.

    Spread over a disc where each is alone; else each team in its base, or in one of circles that lie evenly
    around the centre.
    """
    return (
        sunflower(teams, radius_m, generator) if card.each_alone else bases(card, teams, radius_m, generator)
    )


def sunflower(
    teams: npt.NDArray[np.int32], radius_m: float, generator: np.random.Generator
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


def bases(
    card: ModeCard, teams: npt.NDArray[np.int32], radius_m: float, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Put each team in a small circle: its base, or one of those that lie evenly, turned by the seed."""
    places = np.empty((2, len(teams)))
    names = np.unique(teams)
    start = int(generator.integers(TURN))
    for index, team in enumerate(names):
        cosine, sine = direction(start + index * TURN // len(names))
        x_m, y_m, base_m = radius_m * cosine, radius_m * sine, BASE_RADIUS_M
        if int(team) < len(card.bases):
            base = card.bases[int(team)]
            x_m, y_m, base_m = base.x_m, base.y_m, base.radius_m
        members = np.flatnonzero(teams == team)
        for seat, player in enumerate(members):
            east, north = direction(seat * TURN // len(members))
            places[:, player] = x_m + base_m * east, y_m + base_m * north
    return places


@njit(cache=True, nogil=True, **INLINE)
def over(world: World) -> bool:
    """Whether a match ends: time is up, a team has the score that wins, or one team at most is left."""
    return bool(zone_closed(world) or limit_reached(world) or one_team_left(world))


@njit(cache=True, nogil=True, **INLINE)
def limit_reached(world: World) -> bool:
    """Whether a team has reached the limit of one of the card's score fields."""
    for field in range(len(world.limits)):
        if world.limits[field] <= 0:
            continue
        for team in range(world.scores.shape[1]):
            if world.scores[field, team] >= world.limits[field]:
                return True
    return False


@njit(cache=True, nogil=True, **INLINE)
def one_team_left(world: World) -> bool:
    """Whether the players of one team at most are left: alive, or here at all where the dead return."""
    row = ALIVE if world.rules[RESPAWN_TICKS] <= 0.0 else PRESENT
    first_team = -1
    for player in range(world.body.shape[1]):
        if world.status[row, player]:
            if first_team == -1:
                first_team = world.status[TEAM, player]
            elif world.status[TEAM, player] != first_team:
                return False
    return True


def placements(world: World) -> npt.NDArray[np.int32]:
    """Rank teams by the card's scores in their order, then by kills, then by damage dealt: int32[P]."""
    teams = world.status[TEAM]

    def key(members: npt.NDArray[np.bool_]) -> tuple[float, ...]:
        team = int(teams[members][0])
        return (
            *(-int(points) for points in world.scores[:, team]),
            -int(world.status[KILLS, members].sum()),
            -float(world.body[DAMAGE_POINTS, members].sum()),
        )

    return rank_teams(teams, key)
