"""What Prometheus sees of running matches: the tick and its stages, from the servers' reports of once a
second.

A server has no port for metrics, because its process ticks. Its reports go through the sidecar to the fleet,
which Prometheus asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

QUANTILES: Final = (("p50", "0.5"), ("p99", "0.99"))
US: Final = 1e-6

# Metric: its key in a report, and its description. Those of COUNTERS only grow within a match.
GAUGES: Final = {
    "launchday_match_load": ("load", "Share of the period that ticks take, smoothed."),
    "launchday_match_snapshot_every": ("snapshot_every", "Ticks to a snapshot: above 1 under overload."),
    "launchday_match_players_connected": ("players_connected", "Players connected now."),
    "launchday_match_players_alive": ("players_alive", "Players alive now."),
}
COUNTERS: Final = {
    "launchday_match_ticks": ("tick", "Ticks of the match's clock."),
    "launchday_match_missed_ticks": ("missed_ticks", "Ticks left out because they were too late."),
    "launchday_match_snapshot_rate_lowered": (
        "snapshot_rate_lowered",
        "Times that overload lowered the rate.",
    ),
    "launchday_match_inputs_refused": ("inputs_refused", "Inputs faster than time."),
    "launchday_match_rewinds_clamped": ("rewinds_clamped", "Shots at a past too distant."),
    "launchday_match_players_backfilled": (
        "players_backfilled",
        "Players who came into free slots of the running match.",
    ),
    "launchday_match_players_kicked": ("players_kicked", "Players who had to leave, such as banned ones."),
    "launchday_match_pings": ("pings", "Places that players showed to their team."),
    "launchday_match_pings_refused": ("pings_refused", "Pings of players who had shown too many."),
    "launchday_match_reliable_overflow": (
        "reliable_overflow",
        "Reliable messages for which a client that fell behind had no room.",
    ),
    "launchday_match_tokens_expired": (
        "tokens_expired",
        "Times that a client was told that its connect token has expired.",
    ),
    "launchday_match_events_lost": ("events_lost", "Events that found no room in the event buffer."),
}
TIMES: Final = {
    "launchday_match_tick_seconds": ("tick_us", "Time a tick takes."),
    "launchday_match_late_seconds": ("late_us", "How late ticks begin."),
}


class ReportingServer(Protocol):
    """A game server that reports."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def region(self) -> str:
        """The region that it is in."""

    @property
    def report(self) -> dict[str, Any]:
        """Its last report; empty before the first."""


class MatchMetrics(Collector):
    """Reads the reports of servers when Prometheus asks, so that a server that is gone leaves no series
    behind.

    Args:
        servers: returns the servers there are now.
    """

    def __init__(self, servers: Callable[[], Iterable[ReportingServer]]) -> None:
        self.servers = servers

    def collect(self) -> Iterator[Metric]:
        """See Collector. Values that a report lacks, or has in another form, are left out."""
        playing = [
            ([server.name, server.region], server.report)
            for server in self.servers()
            if server.report and "outcome" not in server.report
        ]
        by_server = ["server", "region"]
        for name, (key, meaning) in GAUGES.items():
            gauge = GaugeMetricFamily(name, meaning, labels=by_server)
            for labels, report in playing:
                _add(gauge, labels, report.get(key))
            yield gauge
        for name, (key, meaning) in COUNTERS.items():
            counter = CounterMetricFamily(name, meaning, labels=by_server)
            for labels, report in playing:
                _add(counter, labels, report.get(key))
            yield counter
        for name, (key, meaning) in TIMES.items():
            time = GaugeMetricFamily(name, f"{meaning} Of the last minute.", labels=[*by_server, "quantile"])
            for labels, report in playing:
                for point, quantile in QUANTILES:
                    _add(time, [*labels, quantile], _part(report, key).get(point), US)
            yield time
        words = CounterMetricFamily(
            "launchday_match_words",
            "What clients were told: refusals, farewells, answered farewells, unsealed answers.",
            labels=[*by_server, "word", "reason"],
        )
        for labels, report in playing:
            for word in _part(report, "words"):
                for reason, count in _part(report["words"], word).items():
                    _add(words, [*labels, word, reason], count)
        yield words
        stage = GaugeMetricFamily(
            "launchday_match_stage_seconds",
            "Median time of a tick's stage. Of the last minute.",
            labels=[*by_server, "stage"],
        )
        dropped = CounterMetricFamily(
            "launchday_match_dropped_datagrams", "Datagrams not taken in.", labels=[*by_server, "reason"]
        )
        for labels, report in playing:
            for named, took_us in _part(report, "stages_us").items():
                _add(stage, [*labels, named], took_us, US)
            for reason, count in _part(report, "dropped").items():
                _add(dropped, [*labels, reason], count)
        yield stage
        yield dropped


def _part(report: Mapping[str, Any], key: str) -> dict[str, Any]:
    part = report.get(key)
    return part if isinstance(part, dict) else {}


def _add(
    family: GaugeMetricFamily | CounterMetricFamily, labels: list[str], value: Any, unit: float = 1.0
) -> None:
    if isinstance(value, int | float):
        family.add_metric(labels, value * unit)


_METRICS: Final = MatchMetrics(tuple)
REGISTRY.register(_METRICS)


def collect_from(servers: Iterable[ReportingServer]) -> None:
    """Let Prometheus see the reports of these servers from now on; they are iterated anew for each scrape."""
    _METRICS.servers = lambda: list(servers)
