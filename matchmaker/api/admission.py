"""How many requests of which kinds the matchmaker takes at once; `launchday.resilience.admission` holds
them to it.
"""

from __future__ import annotations

from launchday.resilience.admission.classes import WAITING_PROTECTS, AdmissionClass, AdmissionClasses
from launchday.resilience.admission.waiting_line import LineLimits

# What comes while two writes are under way goes together with the next, so fewer at once make smaller writes
# and dearer tickets: 256 at once cost a third of the rate. Beyond one write's 500 they wait for each other.
MAX_TICKETS = 500
# 500 take a quarter of a second where the matchmaker has half a core: with 1 s before it, p99 was 0.9 s.
TICKET_LINE = LineLimits(age_s=0.2, standing_after_s=0.3)

MAX_QUESTIONS = 8

CLASSES = AdmissionClasses(
    AdmissionClass(
        "waiting",
        None,
        WAITING_PROTECTS,
        ("GET /v1/tickets/*/events", "GET /v1/tickets/*?wait_s"),
        bounded=False,
    ),
    AdmissionClass(
        "tickets",
        MAX_TICKETS,
        "the writer: two writes under way, of 500 tickets at most",
        ("POST /v1/tickets",),
        line=TICKET_LINE,
    ),
    AdmissionClass(
        "questions",
        MAX_QUESTIONS,
        "the director: it explains some two tickets a second, beside the matching",
        ("GET /v1/tickets/*/why",),
    ),
    AdmissionClass(
        "services", 32, "the cache's connections; directors and game servers call", ("* /v1/internal/**",)
    ),
    AdmissionClass("players", 32, "the cache's connections"),
)
