"""What a pool keeps up and how patient it is, and the warm parents as it sees them."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dedicated_server.fleet.pool.gameserver import HealthSpec


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """What the pool keeps up, and how patient it is.

    Attributes:
        regions: a fleet each.
        ready_per_region: idle servers kept Ready in each, until an autoscaler says otherwise.
        max_servers: servers at most, all regions together.
        address: host that servers bind and players are sent to.
        health: the heartbeats expected.
        start_timeout_s: from the fork to Ready.
        stop_timeout_s: from SIGTERM to SIGKILL.
        nodes: warm parents.
        claim_s: from the allocation to the first word of the match; 0: for ever.
        longest_match_s: a server that is Allocated for longer is ended; 0: never.
        memory_bytes: a server that uses more, what it shares left out, is ended; 0: never.
        startup_delay_s: by region, how much later than ordered a server is forked: what it costs where a machine has to be had first.
        tallies: counters and lists that every server starts with, in Agones' JSON: ``{"counters": {…}, "lists": {…}}``.
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
    max_match_s: float = 0.0
    max_memory_bytes: int = 0
    startup_delay_s: Mapping[str, float] = field(default_factory=dict)
    counters_and_lists: Mapping[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """What a warm parent needs to fork one server."""

    name: str
    sdk_port: int
    log: Path


class Spawner(Protocol):
    """The warm parents, seen from the pool."""

    @property
    def warm(self) -> bool:
        """Whether orders are taken now."""

    def fork(self, order: ForkRequest) -> str:
        """Fork a server, and name the parent that does; ``WarmPool.forked`` and later ``WarmPool.exited`` follow."""

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a server that was forked, unless it has ended."""


class Memory(Protocol):
    """How much memory a process has to itself."""

    def __call__(self, pid: int) -> int:
        """Bytes; 0 when it has ended."""


def private_bytes(pid: int) -> int:
    """Memory of a process that it shares with nobody: what a forked server has written to since. One read of /proc, 0.3 ms."""
    try:
        fields = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return sum(int(line.split()[1]) << 10 for line in fields if line.startswith("Private_"))
