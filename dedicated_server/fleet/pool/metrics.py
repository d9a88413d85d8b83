"""The fleet's metrics, under Agones' names."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

from dedicated_server.fleet.pool.region import Region
from dedicated_server.fleet.pool.states import State

_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_STATE_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)

gameservers_count = Gauge("agones_gameservers_count", "Game servers by state.", ["type", "fleet_name"])
fleets_replicas_count = Gauge("agones_fleets_replicas_count", "Game servers of a fleet.", ["name", "type"])
allocations_duration = Histogram(
    "agones_gameserver_allocations_duration_seconds",
    "Time to allocate a game server.",
    ["status"],
    buckets=_SECONDS,
)
allocations_retry = Counter(
    "agones_gameserver_allocations_retry_total",
    "Allocations that were requested again with a key that has its server.",
)
state_duration = Histogram(
    "agones_gameserver_state_duration",
    "Seconds that game servers spent in a state.",
    ["fleet_name", "type"],
    buckets=_STATE_SECONDS,
)
buffer_size = Gauge(
    "agones_fleet_autoscalers_buffer_size", "Idle game servers wanted.", ["name", "fleet_name", "type"]
)
desired_replicas = Gauge(
    "agones_fleet_autoscalers_desired_replicas_count", "Game servers wanted.", ["name", "fleet_name"]
)
current_replicas = Gauge(
    "agones_fleet_autoscalers_current_replicas_count", "Game servers that exist.", ["name", "fleet_name"]
)
limited = Gauge(
    "agones_fleet_autoscalers_limited",
    "Whether a minimum or a maximum decided the last time.",
    ["name", "fleet_name"],
)


def observe_allocation(status: str, seconds: float) -> None:
    """Count one allocation call that took ``seconds``."""
    allocations_duration.labels(status).observe(seconds)


def observe_state(region: str, state: State, seconds: float) -> None:
    """Count the seconds that a server spent in a state that it has left."""
    state_duration.labels(region, state.value).observe(seconds)


def observe_regions(regions: Mapping[str, Region]) -> None:
    """Set the gauges to the present counts."""
    for name, region in regions.items():
        counts = {state: len(servers) for state, servers in region.in_state.items()}
        for state, count in counts.items():
            gameservers_count.labels(state.value, name).set(count)
        in_use = counts[State.ALLOCATED] + counts[State.RESERVED]
        fleets_replicas_count.labels(name, "desired").set(region.idle_wanted + in_use)
        fleets_replicas_count.labels(name, "total").set(sum(counts.values()))
        fleets_replicas_count.labels(name, "ready").set(counts[State.READY])
        fleets_replicas_count.labels(name, "allocated").set(counts[State.ALLOCATED])
        fleets_replicas_count.labels(name, "reserved").set(counts[State.RESERVED])


def observe_decision(region: str, idle: int, wanted: int, existing: int, was_limited: bool) -> None:
    """Set an autoscaler's gauges: idle servers, servers wanted and existing, whether a limit decided."""
    buffer_size.labels(region, region, "count").set(idle)
    desired_replicas.labels(region, region).set(wanted)
    current_replicas.labels(region, region).set(existing)
    limited.labels(region, region).set(was_limited)
