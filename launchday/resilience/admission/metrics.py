"""What the gate counts, for Prometheus: read when it is scraped, so that a request costs nothing more."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from launchday.resilience.admission.gate import Gate, Lane

LABELS = ["class"]
COUNTERS = {
    "admitted": "Requests let in.",
    "refused": "Requests refused because too many of their class were under way or waited.",
    "late": "Requests dropped because their deadline had passed before they were read.",
    "limited": "Requests refused because too many of their class came from their address.",
    "gone": "Requests whose client hung up while they waited.",
}


class GateCollector(Collector):
    """Collects a gate's counts.

    Args:
        gate: of this process.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all classes; see prometheus-client."""
        lanes = self._gate.lanes
        running = GaugeMetricFamily(
            "launchday_admission_running", "Requests under way, by class.", labels=LABELS
        )
        queued = GaugeMetricFamily(
            "launchday_admission_queued", "Requests that wait to be let in, by class.", labels=LABELS
        )
        limits = GaugeMetricFamily(
            "launchday_admission_limit", "Most requests under way at once, by class.", labels=LABELS
        )
        for lane in lanes:
            running.add_metric([lane.kind.name], lane.running)
            queued.add_metric([lane.kind.name], lane.queued)
            if lane.kind.limit is not None:
                limits.add_metric([lane.kind.name], lane.kind.limit)
        yield from (running, queued, limits)
        for name, text in COUNTERS.items():
            yield _counter(f"launchday_admission_{name}", text, lanes, name)
        yield CounterMetricFamily(
            "launchday_admission_connections_refused",
            "Connections beyond what the descriptors allow.",
            value=self._gate.connections_refused,
        )


def _counter(name: str, text: str, lanes: list[Lane], attribute: str) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=LABELS)
    for lane in lanes:
        family.add_metric([lane.kind.name], getattr(lane, attribute))
    return family
