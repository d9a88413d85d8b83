"""Why a game server has to go, whatever it says itself: it hangs, never began its match, or takes more than it may."""

from __future__ import annotations

from dedicated_server.fleet.pool.config import PoolConfig
from dedicated_server.fleet.pool.gameserver import GameServer
from dedicated_server.fleet.pool.states import RUNNING_STATES, STARTING_STATES, State


def unhealthy_reason(server: GameServer, plan: PoolConfig, now: float) -> str | None:
    """The reason, None while there is none; ``server.memory_bytes`` is what was measured last."""
    if server.state in STARTING_STATES and now - server.fork_at > plan.start_timeout_s:
        return f"not Ready after {plan.start_timeout_s:g} s"
    if server.state in RUNNING_STATES and now - server.last_health_at > plan.health.timeout_s:
        return f"no heartbeat for {plan.health.timeout_s:g} s"
    if server.state is not State.ALLOCATED:
        return None
    if server.claim_deadline is not None and now >= server.claim_deadline:
        return f"its match did not begin within {plan.claim_s:g} s"
    if 0 < plan.max_match_s < now - server.allocated_at:
        return f"in its match for more than {plan.max_match_s:g} s"
    if 0 < plan.max_memory_bytes < server.memory_bytes:
        return f"more than {plan.max_memory_bytes >> 20} MB of memory"
    return None
