"""Why a game server has to go, whatever it says itself: it hangs, never began its match, or takes more than it may."""

from __future__ import annotations

from dedicated_server.fleet.gameserver import GameServer
from dedicated_server.fleet.plan import PoolPlan
from dedicated_server.fleet.states import ON_THE_WAY, UP, State


def fault_of(server: GameServer, plan: PoolPlan, now: float) -> str | None:
    """The reason, None while there is none; ``server.memory_bytes`` is what was measured last."""
    if server.state in ON_THE_WAY and now - server.fork_at > plan.start_timeout_s:
        return f"not Ready after {plan.start_timeout_s:g} s"
    if server.state in UP and now - server.last_health_at > plan.health.timeout_s:
        return f"no heartbeat for {plan.health.timeout_s:g} s"
    if server.state is not State.ALLOCATED:
        return None
    if server.claim_by is not None and now >= server.claim_by:
        return f"its match did not begin within {plan.claim_s:g} s"
    if 0 < plan.longest_match_s < now - server.allocated_at:
        return f"in its match for more than {plan.longest_match_s:g} s"
    if 0 < plan.memory_bytes < server.memory_bytes:
        return f"more than {plan.memory_bytes >> 20} MB of memory"
    return None
