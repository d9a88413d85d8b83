"""Liveness: how a fleet watches heartbeats and memory, and why it ends a server."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from dedicated_server.fleet.pool.config import PoolConfig
from dedicated_server.fleet.pool.gameserver import GameServer
from dedicated_server.fleet.pool.states import RUNNING_STATES, STARTING_STATES, Ending, State


class Memory(Protocol):
    """How much memory a process has to itself."""

    def __call__(self, pid: int) -> int:
        """Return bytes; 0 when the process has ended."""


def private_bytes(pid: int) -> int:
    """Return the bytes of memory that a process shares with nobody: what a forked server wrote to.

    One read of ``/proc``, 0.3 ms; 0 when the process has ended.
    """
    try:
        fields = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return sum(int(line.split()[1]) << 10 for line in fields if line.startswith("Private_"))


def unhealthy(server: GameServer, config: PoolConfig, now: float) -> tuple[Ending, str] | None:
    """Return why a server has to be ended, for metrics and for people; None while there is no reason.

    It hangs, never began its match, plays for too long, or takes too much memory.

    Args:
        server: ``memory_bytes`` is what was measured last.
        config: the time-outs and limits.
        now: monotonic seconds.
    """
    if server.state in STARTING_STATES and now - server.fork_mono_s > config.start_timeout_s:
        return Ending.START_FAILED, f"not Ready after {config.start_timeout_s:g} s"
    if server.state in RUNNING_STATES and now - server.health_mono_s > config.health.timeout_s:
        return Ending.HUNG, f"no heartbeat for {config.health.timeout_s:g} s"
    if server.state is not State.ALLOCATED:
        return None
    if server.claim_mono_s is not None and now >= server.claim_mono_s:
        return Ending.UNCLAIMED, f"its match did not begin within {config.claim_s:g} s"
    if 0 < config.max_match_s < now - server.allocated_mono_s:
        return Ending.TOO_LONG, f"in its match for more than {config.max_match_s:g} s"
    if 0 < config.max_memory_bytes < server.memory_bytes:
        return Ending.MEMORY, f"more than {config.max_memory_bytes >> 20} MB of memory"
    return None
