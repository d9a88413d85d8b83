"""The counters of every service, read over HTTP: what each says it has done, which the ledger compares.

Counters live as long as their service or its store, so a run compares the difference between its end and its
start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from launchday.resilience.http_client import NoAnswerError, ServiceClient
from launchday.settings import Settings
from loadtest.errors import BackendError

PATIENCE_S = 5.0  # each is a handful of counters; a slower answer means that the service hangs

REQUESTS_METRIC = "launchday_http_requests_total"
MAX_COUNT = 2.0**53

ServiceCounters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BackendCounters:
    """What every service had counted at one moment.

    Attributes:
        matchmaker: queued, matched, cancelled, expired, failed, searching, matches; requeued,
            reclaimed, abandoned, backdated; in_match, and ``given_up``: matches by the reason.
        fleet: matches_started, matches_ended, matches_failed, of which matches_failed_given_up had no player
            yet, matches_taken_back, kills, players_lost, and ``reports`` of game servers; told_refusals,
            told_farewells, told_answered and told_unsealed: what they told clients, by the reason.
        meta: checkouts, commits, closed, open, writebehind_depth.
        rewards: kills_applied, lag; gaps, missing_records and unknown_gaps of the logs, also of analytics.
    """

    matchmaker: ServiceCounters
    fleet: ServiceCounters
    meta: ServiceCounters
    rewards: ServiceCounters

    def since(self, earlier: BackendCounters) -> BackendCounters:
        """The difference of every counter to ``earlier``; levels and lists stay as they are."""
        return BackendCounters(
            *(_difference(getattr(self, name), getattr(earlier, name), COUNTERS[name]) for name in COUNTERS)
        )


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """Requests that the services have counted, each its own.

    Attributes:
        by_service: service → (method, route) → requests.
        missing: services that did not tell, with why.
    """

    by_service: Mapping[str, Mapping[tuple[str, str], int]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    def since(self, earlier: RequestCounts) -> RequestCounts:
        """The difference to ``earlier``, of the services that have told both times.

        A service that has been started again counts from 0: what it counted before is not known, so of it
        there are the requests since then.
        """
        found = {}
        for service, routes in self.by_service.items():
            if service not in earlier.missing:
                before = earlier.by_service.get(service, {})
                restarted = any(routes.get(route, 0) < count for route, count in before.items())
                found[service] = {
                    route: grown
                    for route, count in routes.items()
                    if (grown := count if restarted else count - before.get(route, 0))
                }
        return RequestCounts(found, {**earlier.missing, **self.missing})


def parse_request_counts(text: str) -> dict[tuple[str, str], int]:
    """Read the counts of requests from a service's metrics in Prometheus' text format.

    Args:
        text: of the answer; only the samples of one counter are read.

    Returns:
        (method, route) → requests of all statuses.

    Raises:
        ValueError: a sample of that counter cannot be read.
    """
    found: dict[tuple[str, str], int] = {}
    lines = [line for line in text.split("\n") if line.startswith(REQUESTS_METRIC + "{")]
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            route = (sample.labels.get("method", ""), sample.labels.get("route", ""))
            if not 0 <= sample.value < MAX_COUNT:
                raise ValueError(f"{sample.value} is no number of requests")
            found[route] = found.get(route, 0) + int(sample.value)
    return found


# Entries that only grow; the others are levels (searching, open, lag) or summaries.
COUNTERS = {
    "matchmaker": (
        "queued",
        "matched",
        "cancelled",
        "expired",
        "failed",
        "matches",
        "requeued",
        "reclaimed",
        "abandoned",
        "backdated",
        "given_up",
        "in_match",
    ),
    "fleet": (
        "matches_started",
        "matches_ended",
        "matches_failed",
        "matches_failed_given_up",
        "matches_taken_back",
        "kills",
        "deaths",
        "players_connected",
        "players_lost",
        "feeds_refused",
        "servers_started",
        "told_refusals",
        "told_farewells",
        "told_answered",
        "told_unsealed",
    ),
    "meta": ("checkouts", "commits", "expired", "closed", "writebehind_written"),
    "rewards": (
        "kills_applied",
        "events_applied",
        "duplicates",
        "dead_letters",
        "gaps",
        "missing_records",
        "unknown_gaps",
        "analytics_gaps",
        "analytics_missing_records",
        "analytics_unknown_gaps",
    ),
}


def _difference(now: ServiceCounters, earlier: ServiceCounters, names: tuple[str, ...]) -> ServiceCounters:
    return {
        **now,
        **{name: _less(now[name], earlier.get(name)) for name in names if now.get(name) is not None},
    }


def _less(now: Any, earlier: Any) -> Any:
    """What a counter has grown by; of counts by reason, those that have grown."""
    if not isinstance(now, Mapping):
        return now - (earlier or 0)
    grown = {reason: count - (earlier or {}).get(reason, 0) for reason, count in now.items()}
    return {reason: count for reason, count in grown.items() if count}


class CountersReader:
    """Reads the counters of all services at the same time.

    Args:
        settings: addresses of the services.
        token: a service token.
    """

    def __init__(self, settings: Settings, token: str) -> None:
        self._services = {
            name: ServiceClient(url, token=token, patience_s=PATIENCE_S, connections=2)
            for name, url in (
                ("matchmaker", settings.matchmaker_url),
                ("fleet", settings.fleet_url),
                ("meta", settings.meta_url),
                ("rewards", settings.rewards_url),
            )
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._services.values():
            await client.aclose()

    async def read(self) -> BackendCounters:
        """The counters now.

        Raises BackendError, which names the service that did not answer and its address.
        """
        return BackendCounters(
            *await asyncio.gather(*(self.read_service(service) for service in self._services))
        )

    @property
    def services(self) -> tuple[str, ...]:
        """Their names, which are those of the fields of BackendCounters."""
        return tuple(self._services)

    async def read_requests(self) -> RequestCounts:
        """The requests that each service has counted until now; one that does not tell is named."""
        answers = await asyncio.gather(*(self._requests(client) for client in self._services.values()))
        told = dict(zip(self._services, answers, strict=True))
        return RequestCounts(
            {service: answer for service, answer in told.items() if not isinstance(answer, str)},
            {service: answer for service, answer in told.items() if isinstance(answer, str)},
        )

    async def _requests(self, client: ServiceClient) -> dict[tuple[str, str], int] | str:
        try:
            answer = await client.request("GET", "/metrics")
            if not answer.is_success:
                return f"answers {answer.status_code}"
            return parse_request_counts(answer.text)
        except (NoAnswerError, ValueError) as error:
            return str(error)[:200]

    async def read_service(self, service: str) -> ServiceCounters:
        """The counters of one service. Raises BackendError."""
        client = self._services[service]
        path = "/v1/counters" if service == "fleet" else "/v1/internal/counters"
        url = client.base_url + path
        try:
            answer = await client.request("GET", path)
        except NoAnswerError as error:
            raise BackendError(f"{service} does not answer at {url}: {error}") from error
        if not answer.is_success:
            raise BackendError(f"{service} answers {answer.status_code} at {url}: {answer.text[:200]}")
        counters: ServiceCounters = answer.json()
        return counters
