"""How many requests of which kinds the fleet takes at once; `launchday.resilience.admission` holds them to
it."""

from __future__ import annotations

from launchday.resilience.admission.classes import WAITING_PROTECTS, AdmissionClass, AdmissionClasses

CLASSES = AdmissionClasses(
    AdmissionClass(
        "waiting", None, WAITING_PROTECTS, ("GET /v1/events", "GET /v1/changes?wait_s"), bounded=False
    ),
    AdmissionClass(
        "allocations",
        64,
        "the event loop: an allocation takes 0.2 ms of it, an append to its journal included",
        ("POST /gameserverallocation",),
    ),
    AdmissionClass("admin", 32, "the event loop: a list of all servers takes milliseconds of it"),
)
