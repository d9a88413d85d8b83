"""The modes of play: one folder a mode, with its card and the few functions that are its own (`hooks.py`)."""

from __future__ import annotations

from typing import Final

import numpy as np

from dedicated_server.cards import ModeCard
from dedicated_server.modes.battle_royale import hooks as battle_royale
from dedicated_server.modes.teams_of_five import hooks as teams_of_five
from dedicated_server.native.memory import AllocateZeros
from dedicated_server.simulation.match import Match, MatchConfig
from dedicated_server.simulation.mode import Mode, UnknownModeError
from dedicated_server.simulation.world import Inputs

HOOKS: Final = {"battle_royale": battle_royale, "teams_of_five": teams_of_five}


def load_mode(card: ModeCard) -> Mode:
    """The card with its hooks. Raises UnknownModeError."""
    if card.name not in HOOKS:
        raise UnknownModeError(card.name, HOOKS)
    hooks = HOOKS[card.name]
    return Mode(card, hooks.spawn, hooks.over, hooks.placements)


def open_match(config: MatchConfig, inputs: Inputs | None = None, zeros: AllocateZeros = np.zeros) -> Match:
    """Build the match that ``config`` describes, in the mode of its card; arguments as of `Match`.

    Raises UnknownModeError and BadRosterError.
    """
    return Match(config, load_mode(config.card), inputs, zeros)


__all__ = ["Mode", "UnknownModeError", "load_mode", "open_match"]
