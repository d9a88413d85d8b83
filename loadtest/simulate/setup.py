"""A run before it starts: who comes, the rules, the fleet, and what goes wrong when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from loadtest.simulate.kernel_rules import RuleTable
from loadtest.simulate.policy import Policy
from loadtest.simulate.world import ModeTable, Parameters, Tickets


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that happens to the fleet.

    Attributes:
        at_s: when.
        does: kill: servers with a match die; close: the region takes no match and starts no server; pause: it takes no match;
            open: it does both again; note: nothing that waits or servers would show.
        region: a column of the round trips, or -1 for all.
        count: servers to kill.
        text: for the report; empty: not worth a mark.
    """

    at_s: float
    effect: Literal["kill", "close", "pause", "open", "note"]
    region: int
    count: int
    text: str


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a run needs; it is used up by one run, which changes the crowd's later arrivals.

    Attributes:
        regions: the fleet's regions, the columns of the round trips.
        mode_names: the modes.
        ready: int64[R], servers at the start.
        most: int64[R], servers at most in each region.
        startup_s: float64[R], from the start of a server until it is ready.
        skill_sum, skill_squares: float64[T], sums of the players' true skills and of their squares, a ticket.
        incidents: in order of time.
        until_s: when the run ends, whoever still plays.
        seed: of what happens on the way: start-ups, match lengths, deaths, rests.
    """

    tickets: Tickets
    modes: ModeTable
    parameters: Parameters
    rules: RuleTable
    policy: Policy
    regions: tuple[str, ...]
    mode_names: tuple[str, ...]
    ready: NDArray[np.int64]
    max_servers: NDArray[np.int64]
    startup_s: NDArray[np.float64]
    skill_sum: NDArray[np.float64]
    skill_squares: NDArray[np.float64]
    incidents: tuple[Incident, ...]
    until_s: float
    seed: int
