"""What a pool is configured with, and the warm parents as it sees them."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dedicated_server.protocol.server_addresses import ServerAddresses


@dataclass(frozen=True, slots=True)
class HealthSpec:
    """How often heartbeats are expected, in Agones' terms.

    Attributes:
        period_s: seconds from one heartbeat to the next.
        failure_threshold: periods without a heartbeat after which a server is Unhealthy.
        initial_delay_s: seconds after the start before heartbeats are expected; shown in the record alone.
    """

    period_s: float = 5.0
    failure_threshold: int = 3
    initial_delay_s: float = 5.0

    @property
    def timeout_s(self) -> float:
        """Seconds without a heartbeat after which a server is Unhealthy."""
        return self.period_s * self.failure_threshold

    def as_json(self) -> dict[str, Any]:
        """Return the ``health`` part of Agones' record."""
        return {
            "disabled": False,
            "period_seconds": max(1, round(self.period_s)),
            "failure_threshold": self.failure_threshold,
            "initial_delay_seconds": max(1, round(self.initial_delay_s)),
        }


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """What the pool keeps up, its limits, and its time-outs.

    Attributes:
        regions: each has a fleet of its own.
        ready_per_region: idle servers kept Ready in each region, until an autoscaler says otherwise.
        max_servers: limit on the servers of all regions together.
        ready_by_region, max_by_region: other figures for some regions; the limit of a region is beside that
            of all.
        address: host that players are sent to.
        addresses_by_region: where the servers of some regions are reached instead.
        health: the heartbeats expected.
        start_timeout_s: seconds from the fork to Ready.
        stop_timeout_s: seconds from SIGTERM to SIGKILL.
        warm_parents: how many fork servers.
        claim_s: seconds from the allocation to the begin of the match; 0: no limit.
        starts_least, starts_most: bounds of the window of starts; ``starts_most`` 0: there is no window.
        max_match_s: seconds after which a server that is still Allocated is ended; 0: no limit.
        max_memory_bytes: a server that has more memory to itself is ended; 0: no limit.
        startup_delay_s: by region, seconds from the decision to the fork. It simulates the time that a
            machine takes to be provisioned.
        counters_and_lists: what every server starts with, in Agones' JSON: ``{"counters": {…}, "lists":
            {…}}``.
    """

    regions: tuple[str, ...]
    ready_per_region: int
    max_servers: int
    address: str
    health: HealthSpec
    start_timeout_s: float = 30.0
    stop_timeout_s: float = 5.0
    warm_parents: int = 1
    claim_s: float = 0.0
    starts_least: int = 1
    starts_most: int = 0
    max_match_s: float = 0.0
    max_memory_bytes: int = 0
    startup_delay_s: Mapping[str, float] = field(default_factory=dict)
    counters_and_lists: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    ready_by_region: Mapping[str, int] = field(default_factory=dict)
    max_by_region: Mapping[str, int] = field(default_factory=dict)
    addresses_by_region: Mapping[str, ServerAddresses] = field(default_factory=dict)

    def ready_in(self, region: str) -> int:
        """Return how many idle servers a region keeps Ready."""
        return self.ready_by_region.get(region, self.ready_per_region)

    def addresses_in(self, region: str) -> ServerAddresses:
        """Return where the servers of a region are reached."""
        return self.addresses_by_region.get(region) or ServerAddresses((self.address,))

    def max_in(self, region: str) -> int:
        """Return the most servers of a region by itself."""
        return min(self.max_by_region.get(region, self.max_servers), self.max_servers)


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """What a warm parent needs to fork one server.

    Attributes:
        name: the server's name.
        sdk_port: TCP port of its sidecar on loopback.
        log: the file that it writes to.
    """

    name: str
    sdk_port: int
    log: Path


class Spawner(Protocol):
    """The warm parents, seen from the pool."""

    @property
    def warm(self) -> bool:
        """Whether servers can be forked now."""

    def fork(self, request: ForkRequest) -> str:
        """Fork a server and return the name of the parent that does.

        ``WarmPool.forked`` and later ``WarmPool.exited`` follow.
        """

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a server that was forked, unless it has ended."""
