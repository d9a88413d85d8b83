"""How many requests of which kinds the meta service takes at once; `launchday.resilience.admission` holds
them to it.
"""

from __future__ import annotations

from launchday.resilience.admission.classes import AdmissionClass, AdmissionClasses
from launchday.resilience.admission.waiting_line import LineLimits
from launchday.settings import Settings
from meta_service.domain.hashing import processes_of

CACHE_CONNECTIONS = "the cache's 32 connections"
HASHES_EACH = 10  # under way for each process that hashes: at 22 ms each, the last one waits 0.22 s
# A place gets free every 22 ms, so that 20 ms of waiting would turn every other newcomer away.
PASSWORD_LINE = LineLimits(age_s=0.2, standing_after_s=0.3, standing_age_s=0.2)
OPERATORS = 4  # each may hold one of the store's connections
MONEY = 12  # the store's pool has 8 connections; the others are on their way to it or back


def classes(settings: Settings) -> AdmissionClasses:
    """Return the classes: ``hashing_processes`` and ``logins_per_address_s`` decide those of logins."""
    processes = processes_of(settings.hashing_processes)
    per_source_s = settings.logins_per_address_s
    return AdmissionClasses(
        AdmissionClass(
            "passwords",
            HASHES_EACH * processes,
            f"{processes} processes that hash, {HASHES_EACH} requests each",
            ("POST /v1/login/password", "PUT /v1/account/password"),
            line=PASSWORD_LINE,
            per_source_s=per_source_s,
        ),
        AdmissionClass(
            "logins",
            32,
            CACHE_CONNECTIONS,
            ("POST /v1/login/device", "POST /v1/login/platform", "POST /v1/session/refresh"),
            per_source_s=per_source_s,
        ),
        AdmissionClass(
            "money",
            MONEY,
            "the store's 8 connections, and half as many on their way",
            (
                "* /v1/store/**",
                "* /v1/wallet/**",
                "GET /v1/inventory",
                "GET /v1/account/export",
                "DELETE /v1/account",
                "POST /v1/internal/grants",
                "POST /v1/internal/refunds",
            ),
        ),
        AdmissionClass(
            "operators", OPERATORS, "operators are few, and act while players wait", ("* /v1/operator/**",)
        ),
        AdmissionClass("services", 32, CACHE_CONNECTIONS, ("* /v1/internal/**",)),
        AdmissionClass("players", 32, CACHE_CONNECTIONS),
    )
