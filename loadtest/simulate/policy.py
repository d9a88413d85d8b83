"""What decides how many servers there should be: the fleet's own policies, asked in virtual time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dedicated_server.fleet.autoscaling.buffer import Buffer
from dedicated_server.fleet.autoscaling.replicas import Decision, Replicas
from dedicated_server.fleet.autoscaling.sizing import Demand, Sizing
from loadtest.simulate.world import Parameters, SimulatedWorld

SYNC_S = 1.0  # between two decisions; a tenth of it would cost more time than the matches, and no start-up is that short
UNMET_S = 15.0  # a match that asked in vain counts for so long; the live fleet's figure
DEMAND_WINDOW_S = (
    30.0  # over which arrivals and matches are counted: long enough to count some, short enough to see a rush
)


class Policy(Protocol):
    """An autoscaler.

    Attributes:
        sync_s: seconds between two decisions; inf: the first holds.
    """

    sync_s: float

    def decide(self, world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
        """Set ``world.fleet.target``."""
        ...


class FixedBuffer:
    """So many servers ready or nearly in each region, always: the warm pool of one machine, which needs no decisions."""

    sync_s = math.inf

    def __init__(self, buffer: int) -> None:
        self._buffer = buffer

    def decide(self, world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
        """Set the targets."""
        world.fleet.target[:] = self._buffer


class FleetObserver:
    """The regions as the policies see them, and what they decide put into effect as the live fleet does: idle servers wanted.

    Args:
        regions: how many.
    """

    def __init__(self, regions: int) -> None:
        self._counted = np.zeros(regions, np.int64)
        self._unmet: deque[tuple[float, NDArray[np.int64]]] = deque()

    def observe(self, world: SimulatedWorld, now_s: float) -> list[Replicas]:
        """Each region's servers, and the matches that asked in vain lately."""
        fleet = world.fleet
        self._unmet.append((now_s, fleet.unmet - self._counted))
        self._counted = fleet.unmet.copy()
        while now_s - self._unmet[0][0] >= UNMET_S:
            self._unmet.popleft()
        unmet = np.sum([counts for _, counts in self._unmet], axis=0)
        alive = fleet.starting + fleet.ready + fleet.allocated
        return [
            Replicas(int(alive[at]), int(fleet.ready[at]), 0, int(fleet.allocated[at]), int(unmet[at]))
            for at in range(len(alive))
        ]

    @staticmethod
    def apply(world: SimulatedWorld, region: int, decision: Decision, fleet: Replicas) -> None:
        """Put a decision into effect; one without a number changes nothing."""
        if decision.replicas is not None:
            world.fleet.target[region] = max(0, decision.replicas - fleet.allocated)


class BufferPolicy:
    """The fleet's buffer policy, the same in each region."""

    sync_s = SYNC_S

    def __init__(self, buffer: int, regions: int) -> None:
        self._policy = Buffer(servers=buffer)
        self._observer = FleetObserver(regions)

    def decide(self, world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
        """Ask the policy for each region."""
        for region, fleet in enumerate(self._observer.observe(world, now_s)):
            self._observer.apply(world, region, self._policy.decide(fleet, now_s), fleet)


class ForecastPolicy:
    """The fleet's own sizing by Erlang B, from the arrivals and matches of the last half minute; ``buffer`` is the least that is idle."""

    sync_s = SYNC_S

    def __init__(self, buffer: int, startup_s: Sequence[float], players: float, match_s: float) -> None:
        self._players, self._match_s = players, match_s
        self._policies = [
            Sizing(startup_s=each, sync_s=SYNC_S, min_idle=max(1, buffer)) for each in startup_s
        ]
        self._observer = FleetObserver(len(startup_s))
        self._seen: deque[tuple[float, NDArray[np.int64], NDArray[np.int64]]] = deque()

    def decide(self, world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
        """Ask the policy for each region."""
        self._seen.append((now_s, world.fleet.matches.copy(), world.queue.arrived.copy()))
        while now_s - self._seen[0][0] > DEMAND_WINDOW_S:
            self._seen.popleft()
        since_s, matches, arrived = self._seen[0]
        passed_s = max(now_s - since_s, SYNC_S)
        fleets = self._observer.observe(world, now_s)
        for region, (policy, fleet) in enumerate(zip(self._policies, fleets, strict=True)):
            demand = Demand(
                matches_per_s=float(world.fleet.matches[region] - matches[region]) / passed_s,
                players_per_s=float(world.queue.arrived[region] - arrived[region]) / passed_s,
                queued_players=int(world.queue.waiting[:, region].sum()),
                players_per_match=self._players,
                match_s=self._match_s,
            )
            self._observer.apply(world, region, policy.decide(fleet, demand), fleet)
