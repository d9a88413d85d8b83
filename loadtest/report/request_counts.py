"""Requests a player and a match, by kind: those of the players, and those that services ask each other.

What a player costs a backend in requests decides how many players it carries; the requests among services
are the part that no client shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from loadtest.flood.outcome import RunOutcome

PLAYERS, SERVICES = "players", "services"
OPERATIONS = ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json")
# What the load test itself asks each second, and the fleet's page: no load of the game.
WATCHED = ("/v1/internal/counters", "/v1/counters", "/v1/gameservers", "/v1/changes")
ASKED_BY_SERVICES = ("fleet", "rewards")  # no player of ours asks these
INTERNAL = "/v1/internal/"
# A game server's, outside of the internal routes.
OF_SERVICES = (("matchmaker", "/v1/matches/{match_id}/backfill"),)


@dataclass(frozen=True, slots=True)
class RequestRow:
    """The requests of one kind.

    Attributes:
        kind: the players' own word, or the service that was asked with method and route.
        asked_by: PLAYERS or SERVICES.
        count: tries, those that failed included.
        per_player: divided by the players who came; None where nobody came.
        per_match: divided by the matches that were formed; None where none was.
    """

    kind: str
    asked_by: str
    count: int
    per_player: float | None
    per_match: float | None


def request_rows(outcome: RunOutcome) -> list[RequestRow]:
    """The players' requests in the order of their journey, then those among services, the most first."""
    came = outcome.records.came
    matches = outcome.matches.formed or len(outcome.records.match_ids())

    def row(kind: str, asked_by: str, count: int) -> RequestRow:
        return RequestRow(
            kind, asked_by, count, count / came if came else None, count / matches if matches else None
        )

    services = [
        row(f"{service}: {method} {route}", SERVICES, count)
        for service, routes in outcome.request_counts.by_service.items()
        for (method, route), count in routes.items()
        if count and _asked_by_services(service, route)
    ]
    return [
        *(row(kind, PLAYERS, found.sent) for kind, found in outcome.requests.by_kind.items() if found.sent),
        *sorted(services, key=lambda each: (-each.count, each.kind)),
    ]


def missing_sentence(outcome: RunOutcome) -> str:
    """Which services' requests are not in the table, and why; "" where all are."""
    missing = outcome.request_counts.missing
    if not missing:
        return ""
    return "Not counted: " + "; ".join(f"{service} ({why})" for service, why in missing.items()) + "."


def as_json(outcome: RunOutcome) -> dict[str, Any]:
    """The table, as the run's JSON shows it."""
    return {
        "rows": [
            {
                "kind": each.kind,
                "asked_by": each.asked_by,
                "count": each.count,
                "per_player": _rounded(each.per_player),
                "per_match": _rounded(each.per_match),
            }
            for each in request_rows(outcome)
        ],
        "missing": dict(outcome.request_counts.missing),
    }


def _asked_by_services(service: str, route: str) -> bool:
    if route in OPERATIONS or route in WATCHED:
        return False
    return service in ASKED_BY_SERVICES or route.startswith(INTERNAL) or (service, route) in OF_SERVICES


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
