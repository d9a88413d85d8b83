"""A scenario's arrivals as a number of users over time, for load generators that keep a number of users."""

from __future__ import annotations

import numpy as np

from loadtest.scenario.model import Scenario
from loadtest.scenario.population import draw_population


class ArrivalShape:
    """How many users a scenario has at a time: as many as have arrived by then."""

    def __init__(self, scenario: Scenario) -> None:
        self._arrives_s = draw_population(scenario).arrives_s
        self._end_s = float(self._arrives_s[-1]) + scenario.behaviours.patience_s + scenario.max_match_s

    def users_at(self, now_s: float) -> int | None:
        """Players who have arrived by ``now_s``; None once all have played a match or given up waiting."""
        if now_s > self._end_s:
            return None
        return int(np.searchsorted(self._arrives_s, now_s, side="right"))
