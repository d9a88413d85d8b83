"""The fleet's metrics: under Agones' names what Agones has too, under ours what it has not.

Agones counts servers by the state that they are in, so a server that crashed is seen for a moment or never
(agones #2758). Here each end of a server and of a match is counted, by why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import Counter, Gauge, Histogram

from dedicated_server.fleet.pool.region import Region
from dedicated_server.fleet.pool.start_window import StartWindow
from dedicated_server.fleet.pool.states import Ending, State

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

OUTCOMES = ("ended", "failed", "taken-back")

servers_ended = Counter(
    "launchday_gameservers_ended", "Game servers that ended, by why.", ["fleet_name", "reason"]
)
matches_finished = Counter(
    "launchday_fleet_matches", "Matches that are over, by what became of them.", ["fleet_name", "outcome"]
)
fork_failures = Counter("launchday_fleet_fork_failures", "Forks that the machine refused.")
parent_restarts = Counter("launchday_fleet_parent_restarts", "Warm parents that ended and were replaced.")
disk_errors = Counter(
    "launchday_fleet_disk_errors", "Writes that a disk refused, by what was to be written.", ["what"]
)
pauses = Counter("launchday_fleet_pauses", "Times that this process was stopped and woke late.")
starts_late = Gauge("launchday_fleet_starts_late", "Matches so far whose server began late.")
starts_window = Gauge("launchday_fleet_starts_window", "Matches that may be starting at once; 0: no limit.")
starts_under_way = Gauge("launchday_fleet_starts_under_way", "Matches that are starting.")


def begin(regions: Iterable[str]) -> None:
    """Show every counter of these regions from the start, so that its first step from 0 can be seen."""
    for region in regions:
        for ending in Ending:
            servers_ended.labels(region, ending.value)
        for outcome in OUTCOMES:
            matches_finished.labels(region, outcome)


def observe_starts(starts: StartWindow) -> None:
    """Set the gauges of the window of starts."""
    starts_window.set(int(starts.size) if starts.limited else 0)
    starts_under_way.set(len(starts))
    starts_late.set(starts.late)


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
