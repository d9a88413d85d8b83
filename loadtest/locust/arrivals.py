"""The share of a scenario's players that one of Locust's workers plays."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from loadtest.scenario.model import Scenario
from loadtest.scenario.population import Population, draw_population


def share_of(scenario: Scenario, index: int, of: int) -> Population:
    """Return one worker's players of a scenario: the same players, at the same times, as in the whole.

    Shares are disjoint and together complete, and a party is in one share with all its members.

    Args:
        scenario: whose seed draws the players, so every worker draws the same.
        index: of the worker, from 0.
        of: how many workers there are.

    Returns:
        the players, in the order of their arrival; none where there are more workers than parties.
    """
    population = draw_population(scenario)
    mine = np.flatnonzero(population.party % of == index)
    arrays: dict[str, Any] = {
        field.name: value[mine]
        for field in fields(population)
        if isinstance(value := getattr(population, field.name), np.ndarray)
    }
    return replace(population, **arrays)
