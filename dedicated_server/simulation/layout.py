"""What a match's arrays are like, as its mode's card has it: weapons, boxes, objects, scores, own rows."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dedicated_server.cards.card import ModeCard
from dedicated_server.cards.kinds import KIND_NAMES, KIND_OBSTACLE
from dedicated_server.protocol.movement import box_array


class WorldLayout(NamedTuple):
    """A card in numbers."""

    weapons: npt.NDArray[np.float64]  # [W, 3] damage, interval in ticks, range in metres
    boxes: npt.NDArray[np.float64]  # [B, 4] west, south, east, north, metres
    kinds: npt.NDArray[np.int32]  # [M] of each object
    teams: int  # 0: a team a player
    limits: npt.NDArray[np.int32]  # [F] of each score
    own_players: int  # how many rows of each
    own_teams: int
    own_match: int

    @property
    def obstacles(self) -> int:
        """How many objects are obstacles."""
        return int(np.count_nonzero(self.kinds == KIND_OBSTACLE))


def layout_of(card: ModeCard) -> WorldLayout:
    """What the world of a match in the card's mode is like; objects lie by kind, in the order of kinds."""
    counts = [card.objects.get(name, 0) for name in KIND_NAMES]
    return WorldLayout(
        weapons=np.array(
            [[weapon.damage_points, weapon.interval_ticks, weapon.range_m] for weapon in card.weapons],
            dtype=np.float64,
        ),
        boxes=box_array(card.boxes),
        kinds=np.repeat(np.arange(len(KIND_NAMES), dtype=np.int32), counts),
        teams=card.teams,
        limits=np.array([field.limit for field in card.score], dtype=np.int32),
        own_players=len(card.rows.players),
        own_teams=len(card.rows.teams),
        own_match=len(card.rows.match),
    )


RIFLES_ONLY: Final = WorldLayout(
    weapons=np.array([[10.0, 8.0, 80.0]]),
    boxes=np.zeros((0, 4)),
    kinds=np.zeros(0, dtype=np.int32),
    teams=0,
    limits=np.zeros(0, dtype=np.int32),
    own_players=0,
    own_teams=0,
    own_match=0,
)
"""An open field without objects or scores, and one weapon: enough for whatever does not care about a mode."""
