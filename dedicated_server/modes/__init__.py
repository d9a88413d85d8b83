"""The modes of play: each a table of numbers and the few functions that are its own, in one file.

To add one: write a file like its neighbours and name it in ``MODES``.
"""

from __future__ import annotations

from typing import Final

from dedicated_server.modes.battle_royale.hooks import BATTLE_ROYALE
from dedicated_server.modes.teams_of_five.hooks import TEAMS_OF_FIVE
from dedicated_server.simulation.mode import Mode, UnknownModeError

MODES: Final = {mode.name: mode for mode in (BATTLE_ROYALE, TEAMS_OF_FIVE)}


def mode_named(name: str) -> Mode:
    """Look a mode up. Raises UnknownModeError."""
    try:
        return MODES[name]
    except KeyError:
        raise UnknownModeError(name, MODES) from None


__all__ = ["BATTLE_ROYALE", "MODES", "TEAMS_OF_FIVE", "Mode", "UnknownModeError", "mode_named"]
