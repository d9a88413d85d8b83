"""The modes of play: one folder a mode, with its numbers and the few functions that are its own (`hooks.py`).

To add a mode, write a folder like its neighbours here, with its card, and name it in
``MODES``.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dedicated_server.modes.battle_royale.hooks import BATTLE_ROYALE
from dedicated_server.modes.teams_of_five.hooks import TEAMS_OF_FIVE
from dedicated_server.native.memory import AllocateZeros
from dedicated_server.simulation.match import Match, MatchConfig
from dedicated_server.simulation.mode import Mode, UnknownModeError
from dedicated_server.simulation.world import Inputs

MODES: Final = {mode.name: mode for mode in (BATTLE_ROYALE, TEAMS_OF_FIVE)}


def mode_named(name: str) -> Mode:
    """Look a mode up. Raises UnknownModeError."""
    try:
        return MODES[name]
    except KeyError:
        raise UnknownModeError(name, MODES) from None


def open_match(config: MatchConfig, inputs: Inputs | None = None, zeros: AllocateZeros = np.zeros) -> Match:
    """Build the match that ``config`` describes, in the mode that it names; arguments as of `Match`.

    Raises UnknownModeError and BadRosterError.
    """
    return Match(config, mode_named(config.mode), inputs, zeros)


__all__ = ["BATTLE_ROYALE", "MODES", "TEAMS_OF_FIVE", "Mode", "UnknownModeError", "mode_named", "open_match"]
