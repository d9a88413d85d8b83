"""How many requests of which kinds the matchmaker takes at once; `launchday.resilience.admission` holds
them to it.
"""

from __future__ import annotations

from launchday.resilience.admission.classes import WAITING_PROTECTS, AdmissionClass, AdmissionClasses

# Two writes of 500 tickets at most are under way (`ticket_writer`), and what comes meanwhile goes together
# with the next: fewer at once make smaller writes and dearer tickets. docs/decisions.md has the figures.
MAX_TICKETS = 1000

CLASSES = AdmissionClasses(
    AdmissionClass(
        "waiting",
        None,
        WAITING_PROTECTS,
        ("GET /v1/tickets/*/events", "GET /v1/tickets/*?wait_s"),
        bounded=False,
    ),
    AdmissionClass("tickets", MAX_TICKETS, "two writes of 500 tickets each", ("POST /v1/tickets",)),
    AdmissionClass(
        "services", 32, "the cache's connections; directors and game servers call", ("* /v1/internal/**",)
    ),
    AdmissionClass("players", 32, "the cache's connections"),
)
