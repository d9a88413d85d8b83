"""The counters of every service, read over HTTP: what each says it has done, which the ledger compares.

Counters live as long as their service or its store, so a run compares the difference between its end and its
start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from launchday.settings import Settings
from loadtest.errors import BackendError

TIMEOUT_S = 5.0  # each is a handful of counters; a slower answer means that the service hangs

ServiceCounters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BackendCounters:
    """What every service had counted at one moment.

    Attributes:
        matchmaker: queued, matched, cancelled, expired, failed, searching, matches; requeued,
            reclaimed, abandoned, backdated.
        fleet: matches_started, matches_ended, matches_failed, kills, players_lost, and ``reports`` of game
            servers.
        meta: checkouts, commits, open, writebehind_depth.
        rewards: kills_applied, lag.
    """

    matchmaker: ServiceCounters
    fleet: ServiceCounters
    meta: ServiceCounters
    rewards: ServiceCounters

    def since(self, earlier: BackendCounters) -> BackendCounters:
        """The difference of every counter to ``earlier``; levels and lists stay as they are."""
        return BackendCounters(
            *(
                _difference(getattr(self, name), getattr(earlier, name), COUNTERS[name])
                for name in ("matchmaker", "fleet", "meta", "rewards")
            )
        )


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
    ),
    "fleet": (
        "matches_started",
        "matches_ended",
        "matches_failed",
        "kills",
        "deaths",
        "players_connected",
        "players_lost",
        "servers_started",
    ),
    "meta": ("checkouts", "commits", "expired", "writebehind_written"),
    "rewards": ("kills_applied", "events_applied", "duplicates", "dead_letters"),
}


def _difference(now: ServiceCounters, earlier: ServiceCounters, names: tuple[str, ...]) -> ServiceCounters:
    return {**now, **{name: now[name] - earlier.get(name, 0) for name in names if name in now}}


class CountersReader:
    """Reads the counters of all services at the same time.

    Args:
        settings: addresses of the services.
        token: a service token.
    """

    def __init__(self, settings: Settings, token: str) -> None:
        self._urls = {
            "matchmaker": f"{settings.matchmaker_url}/v1/internal/counters",
            "fleet": f"{settings.fleet_url}/v1/counters",
            "meta": f"{settings.meta_url}/v1/internal/counters",
            "rewards": f"{settings.rewards_url}/v1/internal/counters",
        }
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            trust_env=False,  # the environment's proxy is not meant for our own services
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def read(self) -> BackendCounters:
        """The counters now.

        Raises BackendError, which names the service that did not answer and its address.
        """
        return BackendCounters(
            *await asyncio.gather(*(self._get(service, url) for service, url in self._urls.items()))
        )

    async def _get(self, service: str, url: str) -> ServiceCounters:
        try:
            answer = await self._http.get(url)
        except httpx.HTTPError as error:
            raise BackendError(
                f"{service} does not answer at {url}: {error or type(error).__name__}"
            ) from error
        if not answer.is_success:
            raise BackendError(f"{service} answers {answer.status_code} at {url}: {answer.text[:200]}")
        counters: ServiceCounters = answer.json()
        return counters
