"""Policies that size the fleet: the fleet's own ones, asked in virtual time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dedicated_server.fleet.autoscaling.policies import Buffer
from dedicated_server.fleet.autoscaling.replicas import Decision, Replicas
from dedicated_server.fleet.autoscaling.sizing import Demand, Sizing
from loadtest.simulate.world import Parameters, SimulatedWorld

# Between two decisions; a tenth of it would cost more time than all matches, and no server starts so fast
SYNC_S = 1.0
UNMET_S = 15.0  # how long a match that got no server counts; the live fleet's figure
DEMAND_WINDOW_S = (
    30.0  # arrivals and matches are counted over it: long enough to count some, short enough to see a rush
)


class Policy(Protocol):
    """What sets the target of each region.

    Attributes:
        sync_s: seconds between two decisions; inf: the first one holds.
    """

    sync_s: float

    def decide(self, world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
        """Set ``world.fleet.target``."""
        ...


class FixedBuffer:
    """A fixed number of servers ready or starting in each region: the warm pool of one machine, without
    decisions.
    """

    sync_s = math.inf

    def __init__(self, buffer: int) -> None:
        self._buffer = buffer

    def decide(self, world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
        """Set the target of each region to the buffer."""
        world.fleet.target[:] = self._buffer


class FleetObserver:
    """The regions as the policies see them, and the effect of a decision, as in the live fleet: a number of
    idle servers.

    Args:
        regions: how many there are.
    """

    def __init__(self, regions: int) -> None:
        self._counted = np.zeros(regions, np.int64)
        self._unmet: deque[tuple[float, NDArray[np.int64]]] = deque()

    def observe(self, world: SimulatedWorld, now_s: float) -> list[Replicas]:
        """Return each region's servers, and the matches of the last UNMET_S that got none."""
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
        """Apply a decision to a region. A decision without a number changes nothing."""
        if decision.replicas is not None:
            world.fleet.target[region] = max(0, decision.replicas - fleet.allocated)


class BufferPolicy:
    """The fleet's buffer policy.

    Args:
        buffers: servers kept ready, a number for each region.
    """

    sync_s = SYNC_S

    def __init__(self, buffers: Sequence[int]) -> None:
        self._policies = [Buffer(servers=each) for each in buffers]
        self._observer = FleetObserver(len(buffers))

    def decide(self, world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
        """Ask the policy for each region."""
        for region, fleet in enumerate(self._observer.observe(world, now_s)):
            self._observer.apply(world, region, self._policies[region].decide(fleet, now_s), fleet)


class ForecastPolicy:
    """The fleet's sizing by Erlang B, from the arrivals and matches of the last DEMAND_WINDOW_S.

    Args:
        buffers: the least number of idle servers, a number for each region.
        startup_s: of a server, a number for each region.
        players: of a match.
        match_s: length of a match.
    """

    sync_s = SYNC_S

    def __init__(
        self, buffers: Sequence[int], startup_s: Sequence[float], players: float, match_s: float
    ) -> None:
        self._players, self._match_s = players, match_s
        self._policies = [
            Sizing(startup_s=each, sync_s=SYNC_S, min_idle=max(1, buffer))
            for buffer, each in zip(buffers, startup_s, strict=True)
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
