"""The director's metrics: what waits, what became of matches and allocations, which queues it leads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

# From a tenth of a second, a cycle's period, to ticket_ttl_s.
_WAIT_SECONDS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)
_CYCLE_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class WaitHistogram(Collector):
    """Seconds from a ticket's creation to its assignment, by mode.

    A match's waits are counted in one call: prometheus_client's own histogram takes 3 µs a ticket, a tenth of
    what the director spends on it.
    """

    def __init__(self) -> None:
        self._counts: dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]] = {}
        self._sums_s: dict[str, float] = {}

    def observe(self, mode: str, waits_s: Sequence[float]) -> None:
        """Count the waits of a match's tickets."""
        counts = self._counts.setdefault(mode, np.zeros(len(_WAIT_SECONDS) + 1, np.int64))
        # A bucket's upper bound belongs to it.
        counts += np.bincount(np.searchsorted(_WAIT_SECONDS, waits_s), minlength=len(counts))
        self._sums_s[mode] = self._sums_s.get(mode, 0.0) + sum(waits_s)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The histogram as Prometheus reads it."""
        family = HistogramMetricFamily(
            "launchday_queue_wait_seconds",
            "Seconds from a ticket's creation to its assignment.",
            labels=["mode"],
        )
        bounds = [*map(str, _WAIT_SECONDS), "+Inf"]
        for mode, counts in self._counts.items():
            buckets = list(zip(bounds, np.cumsum(counts).tolist(), strict=True))
            family.add_metric([mode], buckets, self._sums_s[mode])
        yield family


waits = WaitHistogram()
REGISTRY.register(waits)

office = Gauge(
    "launchday_director_office",
    "1 where this process leads the queue, 0 where it stands by.",
    ["mode"],
)
players_waiting = Gauge(
    "launchday_queue_players", "Players who search, by the region nearest to them.", ["mode", "region"]
)
oldest_ticket = Gauge(
    "launchday_queue_oldest_ticket_seconds", "Seconds that the oldest ticket has waited.", ["mode"]
)
matches_without_server = Gauge(
    "launchday_queue_matches_without_server", "Matches that were formed and wait for a server.", ["mode"]
)
matches_placing = Gauge(
    "launchday_director_matches_placing", "Matches whose server is being asked for, or is late.", ["mode"]
)
tickets_cut = Gauge(
    "launchday_director_tickets_cut",
    "Tickets that the last cycle had no work left for; the next one begins with them.",
    ["mode"],
)
cycle_duration = Histogram(
    "launchday_director_cycle_seconds", "Time of one matching cycle.", ["mode"], buckets=_CYCLE_SECONDS
)
matches_formed = Counter("launchday_director_matches_formed_total", "Matches that were claimed.", ["mode"])
matches_assigned = Counter(
    "launchday_director_matches_assigned_total", "Matches whose players know where to go.", ["mode"]
)
tokens_refused = Counter(
    "launchday_director_tokens_refused_total",
    "Times that a game server did not take a director's token, by its reason.",
    ["region", "reason"],
)
matches_given_up = Counter(
    "launchday_director_matches_given_up_total",
    "Matches that were closed before their players were assigned, by reason.",
    ["mode", "reason"],
)
servers_late = Counter(
    "launchday_director_servers_late_total",
    "Servers that did not answer within server_answer_s and were asked again.",
    ["mode"],
)
allocations = Counter(
    "launchday_director_allocations_total",
    "Answers of the fleet to the director: allocated, no_server, unavailable, refused, lost.",
    ["region", "result"],
)
openings = Counter(
    "launchday_director_openings_total",
    "Times that the fleet said that it has a server for a match that it had turned away.",
    ["region"],
)
unreadable = Counter(
    "launchday_director_unreadable_total",
    "What lay in the cache and could not be read, by kind; its tickets ended or search again.",
    ["mode", "kind"],
)
faults = Counter(
    "launchday_director_faults_total", "Faults of ours after which a queue was begun anew.", ["mode"]
)
