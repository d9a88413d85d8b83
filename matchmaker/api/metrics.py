"""The API's metrics: what became of requests for tickets, and what the sweep of the queue ended.

Rate, errors and duration of its HTTP requests are every service's (``launchday.resilience.request_metrics``).
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge

tickets = Counter(
    "launchday_tickets_total",
    "Requests for a ticket by outcome: created, repeated, busy, other-wish, mismatch, in-match, logged-out.",
    ["outcome"],
)
poisoned = Counter(
    "launchday_tickets_poisoned_total", "Tickets that could not be written and failed alone: a fault of ours."
)
tokens = Counter("launchday_ticket_tokens_total", "Connect tokens that players asked for anew.")
unattended = Counter(
    "launchday_attendance_gaps_total",
    "Times that no API process, or the cache, was there for players, so that their time did not count.",
)
waiters = Gauge("launchday_ticket_waiters", "Streams and long polls that are open.")
