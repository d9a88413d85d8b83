"""Where the players of a benchmark are, and the mode that they play: battle royale in which nothing ends the match."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from dedicated_server.modes import BATTLE_ROYALE, MODES, Mode

MAP_HALF_M: Final = 1_000.0  # of battle royale, and what positions on the wire can express
CLUSTER_HALF_M: Final = 35.0  # corner to corner 99 m: all are in the innermost rings of all, at the full rate
SCALE_PLAYERS: Final = 1_600  # fill the map at the density at which `scale` is measured
MODE_NAME: Final = "bench"


@dataclass(frozen=True, slots=True)
class Layout:
    """A square around the map's centre in which the players start, and stay."""

    name: str
    half_m: float


MAP: Final = Layout("map", MAP_HALF_M)
CLUSTER: Final = Layout("cluster", CLUSTER_HALF_M)
LAYOUTS: Final = {layout.name: layout for layout in (MAP, CLUSTER)}


def constant_density(players: int) -> Layout:
    """A square in which so many players stand as dense as SCALE_PLAYERS on the whole map: 400 to the square kilometre."""
    return Layout("constant density", MAP_HALF_M * (players / SCALE_PLAYERS) ** 0.5)


def add_mode() -> None:
    """Make MODE_NAME known to this process.

    All stages do what they do in battle royale: the zone is computed for everybody, shots hit, hits hurt and kill. But who dies is back
    in the next tick, so that there is always as much to do, and the zone is wider than the map and never closes.
    """
    MODES[MODE_NAME] = replace(
        BATTLE_ROYALE,
        name=MODE_NAME,
        zone_margin_m=MAP_HALF_M,
        zone_hold_share=1.0,
        respawn_s=1.0 / 60.0,
        spawn_positions=_spawn_in_square,
    )


def _spawn_in_square(
    _mode: Mode, teams: npt.NDArray[np.int32], radius_m: float, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Anywhere in the square of half side ``radius_m``, evenly."""
    return generator.uniform(-radius_m, radius_m, (2, len(teams)))
