"""The published part of each mode of play: what a client must know to predict its own movement.

One card a mode, read by the server's rules of the mode (`dedicated_server.modes`) and by the client's
prediction. Nothing here needs numba, so that any process may read it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

MAX_PLAYERS: Final = 1_600  # of a match, of any mode: the largest that a tick was measured with


class ModeCard(NamedTuple):
    """What server and client agree on."""

    name: str
    speed_m_per_s: float
    map_half_m: float  # the map is a square of twice this, around its centre


BATTLE_ROYALE_CARD: Final = ModeCard("battle_royale", speed_m_per_s=6.0, map_half_m=1_000.0)
TEAMS_OF_FIVE_CARD: Final = ModeCard("teams_of_five", speed_m_per_s=6.0, map_half_m=120.0)

MODE_CARDS: Final = {card.name: card for card in (BATTLE_ROYALE_CARD, TEAMS_OF_FIVE_CARD)}
