"""The director's metrics: what waits, what became of matches and allocations, which queues it leads."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

# From a tenth of a second, a cycle's period, to ticket_ttl_s.
_WAIT_SECONDS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)
_CYCLE_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)

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
waits = Histogram(
    "launchday_queue_wait_seconds",
    "Seconds from a ticket's creation to its assignment.",
    ["mode"],
    buckets=_WAIT_SECONDS,
)
cycle_duration = Histogram(
    "launchday_director_cycle_seconds", "Time of one matching cycle.", ["mode"], buckets=_CYCLE_SECONDS
)
matches_formed = Counter("launchday_director_matches_formed_total", "Matches that were claimed.", ["mode"])
matches_assigned = Counter(
    "launchday_director_matches_assigned_total", "Matches whose players know where to go.", ["mode"]
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
unreadable = Counter(
    "launchday_director_unreadable_total",
    "What lay in the cache and could not be read, by kind; its tickets ended or search again.",
    ["mode", "kind"],
)
faults = Counter(
    "launchday_director_faults_total", "Faults of ours after which a queue was begun anew.", ["mode"]
)
