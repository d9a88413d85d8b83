"""What bots have to know of the modes that they play, from the modes' cards: one row a mode, for kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedicated_server.cards import ModeCard
from dedicated_server.native.compilation import Floats
from dedicated_server.protocol.movement import box_array
from loadtest.bots.terrain import Terrain, new_terrain
from loadtest.scenario.model import Scenario


class ModeTable(NamedTuple):
    """M modes.

    Attributes:
        terrain: their maps.
        reach_m: float64[M], how far their weapons reach.
        respawns: bool[M], whether the dead return.
    """

    terrain: Terrain
    reach_m: Floats
    respawns: npt.NDArray[np.bool_]


def mode_table(cards: Sequence[ModeCard]) -> ModeTable:
    """The table of some modes, in the order of their cards."""
    return ModeTable(
        terrain=new_terrain([(card.map_half_m, box_array(card.boxes)) for card in cards]),
        reach_m=np.array([max(weapon.range_m for weapon in card.weapons) for card in cards]),
        respawns=np.array([card.respawn_s > 0.0 for card in cards]),
    )


def max_players(cards: Mapping[str, ModeCard], scenario: Scenario, match_players: int) -> int:
    """Players of the largest match that there can be in a run.

    Args:
        cards: the modes that may be played.
        scenario: of the run.
        match_players: of a full match of the modes that the settings size.
    """
    by_cards = (card.players_full for card in cards.values() if not card.sized_by_settings)
    return max(scenario.max_match_players, match_players, *by_cards)
