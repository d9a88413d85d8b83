"""The modes of play: one folder a mode, with its card and the few functions that are its own (`hooks.py`).

`loading.load_mode` makes a mode of a card; `toolbox` is what hooks are written with.
"""

from __future__ import annotations

import numpy as np

from dedicated_server.modes.hooks_error import HooksError
from dedicated_server.modes.loading import load_goals, load_mode
from dedicated_server.native.memory import AllocateZeros
from dedicated_server.simulation.match import Match, MatchConfig
from dedicated_server.simulation.mode import Mode
from dedicated_server.simulation.world import Inputs


def open_match(config: MatchConfig, inputs: Inputs | None = None, zeros: AllocateZeros = np.zeros) -> Match:
    """Build the match that ``config`` describes, in the mode of its card; arguments as of `Match`.

    Raises HooksError and BadRosterError.
    """
    return Match(config, load_mode(config.card), inputs, zeros)


__all__ = ["HooksError", "Mode", "load_goals", "load_mode", "open_match"]
