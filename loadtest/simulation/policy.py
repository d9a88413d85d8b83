"""What decides how many servers there should be: the fleet's own policies, asked in virtual time."""

from __future__ import annotations

import math
from typing import Protocol

from loadtest.simulation.world import Terms, World


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
    """So many servers ready or nearly in each region, always: the buffer of the fleet's warm pool."""

    sync_s = math.inf
    replicas = False

    def __init__(self, buffer: int) -> None:
        self._buffer = buffer

    def decide(self, world: World, terms: Terms, now_s: float) -> None:
        """Set the targets."""
        world.fleet.target[:] = self._buffer
