"""What decides how many servers there should be: the fleet's own policies, asked in virtual time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dedicated_server.fleet.autoscaling.buffer import Buffer
from dedicated_server.fleet.autoscaling.replicas import Replicas
from dedicated_server.fleet.autoscaling.sizing import Demand, Sizing
from loadtest.simulation.world import Terms, World

SYNC_S = 1.0  # between two decisions; a tenth of it would cost more time than the matches, and no start-up is that short
LATELY_S = 30.0  # over which arrivals and matches are counted: long enough to count some, short enough to see a rush


class Policy(Protocol):
    """An autoscaler.

    Attributes:
        sync_s: seconds between two decisions; inf: the first holds.
        replicas: whether its targets count all servers, or those alone that are ready or nearly.
    """

    sync_s: float
    replicas: bool

    def decide(self, world: World, terms: Terms, now_s: float) -> None:
        """Set ``world.fleet.target``."""
        ...


class KeepReady:
    """So many servers ready or nearly in each region, always: the warm pool of one machine, which needs no decisions."""

    sync_s = math.inf
    replicas = False

    def __init__(self, buffer: int) -> None:
        self._buffer = buffer

    def decide(self, world: World, terms: Terms, now_s: float) -> None:
        """Set the targets."""
        world.fleet.target[:] = self._buffer


class Buffered:
    """The fleet's buffer policy, the same in each region."""

    sync_s = SYNC_S
    replicas = True

    def __init__(self, buffer: int) -> None:
        self._policy = Buffer(servers=buffer)

    def decide(self, world: World, terms: Terms, now_s: float) -> None:
        """Ask the policy for each region."""
        for region, fleet in enumerate(fleets(world)):
            decision = self._policy.decide(fleet, now_s)
            if decision.replicas is not None:
                world.fleet.target[region] = decision.replicas


class Forecast:
    """The fleet's own sizing by Erlang B, from the arrivals and matches of the last half minute; ``buffer`` is the least that is idle."""

    sync_s = SYNC_S
    replicas = True

    def __init__(self, buffer: int, startup_s: Sequence[float], players: float, match_s: float) -> None:
        self._players, self._match_s = players, match_s
        self._policies = [
            Sizing(startup_s=each, sync_s=SYNC_S, least_idle=max(1, buffer)) for each in startup_s
        ]
        self._seen: deque[tuple[float, NDArray[np.int64], NDArray[np.int64]]] = deque()

    def decide(self, world: World, terms: Terms, now_s: float) -> None:
        """Ask the policy for each region."""
        self._seen.append((now_s, world.fleet.matches.copy(), world.queue.arrived.copy()))
        while now_s - self._seen[0][0] > LATELY_S:
            self._seen.popleft()
        since_s, matches, arrived = self._seen[0]
        passed_s = max(now_s - since_s, SYNC_S)
        for region, (policy, fleet) in enumerate(zip(self._policies, fleets(world), strict=True)):
            demand = Demand(
                matches_per_s=float(world.fleet.matches[region] - matches[region]) / passed_s,
                players_per_s=float(world.queue.arrived[region] - arrived[region]) / passed_s,
                queued_players=int(world.queue.waiting[:, region].sum()),
                players_per_match=self._players,
                match_s=self._match_s,
            )
            decision = policy.decide(fleet, demand)
            if decision.replicas is not None:
                world.fleet.target[region] = decision.replicas


def fleets(world: World) -> list[Replicas]:
    """Each region's servers as the policies see them; what asked in vain since the last look counts once."""
    fleet = world.fleet
    found = [
        Replicas(
            replicas=int(fleet.starting[region] + fleet.ready[region] + fleet.allocated[region]),
            ready=int(fleet.ready[region]),
            reserved=0,
            allocated=int(fleet.allocated[region]),
            unmet=int(fleet.unmet[region]),
        )
        for region in range(len(fleet.ready))
    ]
    fleet.unmet[:] = 0
    return found
