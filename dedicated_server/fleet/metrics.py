"""The fleet's metrics, by Agones' names."""

from __future__ import annotations

from prometheus_client import Gauge, Histogram

from dedicated_server.fleet.pool import WarmPool
from dedicated_server.fleet.states import State

_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)

gameservers_count = Gauge("agones_gameservers_count", "Game servers by state.", ["type", "fleet_name"])
fleets_replicas_count = Gauge("agones_fleets_replicas_count", "Game servers of a fleet.", ["name", "type"])
allocations_duration = Histogram(
    "agones_gameserver_allocations_duration_seconds",
    "Time to allocate a game server.",
    ["status"],
    buckets=_SECONDS,
)


def observe_allocation(status: str, seconds: float) -> None:
    """Count one allocation call."""
    allocations_duration.labels(status).observe(seconds)


def observe_pool(pool: WarmPool) -> None:
    """Set the gauges to what the pool holds now."""
    for region in pool.plan.regions:
        counts = {state: len(pool.in_state(region, state)) for state in State}
        for state, count in counts.items():
            gameservers_count.labels(state.value, region).set(count)
        fleets_replicas_count.labels(region, "desired").set(
            pool.plan.ready_per_region + counts[State.ALLOCATED]
        )
        fleets_replicas_count.labels(region, "total").set(sum(counts.values()))
        fleets_replicas_count.labels(region, "ready").set(counts[State.READY])
        fleets_replicas_count.labels(region, "allocated").set(counts[State.ALLOCATED])
        fleets_replicas_count.labels(region, "reserved").set(counts[State.RESERVED])
