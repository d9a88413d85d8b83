"""Agones' Buffer policy: so many servers more than are in use.

``bufferSize`` is a number, a percentage of the fleet, or a list of these of which the largest counts: a percentage alone leaves a small
fleet without a buffer, a number alone a large one without enough (agones #2504).
"""

from __future__ import annotations

from dataclasses import dataclass

from dedicated_server.fleet.autoscaling.replicas import Decision, Replicas, clamp, round_up

MAX_REPLICAS = 1_000_000


@dataclass(frozen=True, slots=True)
class Buffer:
    """The policy.

    Attributes:
        servers: idle servers to keep.
        percent: of all servers, to keep idle: 0 to below 100.
        least, most: replicas in all. With ``least`` and the buffer 0 the fleet scales to zero, and grows when a match asks in vain.
    """

    servers: int = 0
    percent: float = 0.0
    min_replicas: int = 0
    max_replicas: int = MAX_REPLICAS

    def decide(self, fleet: Replicas, _now: float) -> Decision:
        """Replicas for the buffer beyond the servers in use."""
        in_use = fleet.allocated + fleet.reserved
        of_percent = round_up(in_use * 100.0 / (100.0 - self.percent)) - in_use
        idle = max(self.servers, of_percent, fleet.unmet)
        why = f"{in_use} in use and a buffer of {idle}"
        if idle == fleet.unmet and idle > max(self.servers, of_percent):
            why = f"{in_use} in use and {idle} asked for in vain"
        elif of_percent > self.servers:
            why += f" ({self.percent:g} %)"
        return clamp(Decision(in_use + idle, False, why), self.min_replicas, self.max_replicas)
