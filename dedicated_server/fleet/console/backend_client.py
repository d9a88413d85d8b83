"""What the page shows of other services: counters of matchmaker and rewards, and a player's check-out."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from dedicated_server.fleet.console.signing import current_signer
from launchday.clock import Clock
from launchday.resilience.http_client import NoAnswerError, Response, ServiceClient
from launchday.settings import Settings

TOKEN_TTL_S = 24 * 3600.0
PATIENCE_S = 2.0
MAX_DEAD_LETTERS = 7
DEAD_LETTERS_PATIENCE_S = 10.0  # the rewards service reads them from the broker


@dataclass
class BackendCounters:
    """The newest answers; None where a service did not answer, which ``unreachable`` then names."""

    queue: dict[str, Any] | None = None
    events: dict[str, Any] | None = None
    unreachable: list[str] = field(default_factory=list)


class BackendClient:
    """Asks the other services with a token of the console's own, once for all visitors.

    Attributes:
        queue_over_time: samples of (Unix seconds, players queued, p95 wait in seconds), a quarter of an hour
            of them.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._counters = BackendCounters()
        self._read_at = -math.inf
        self.queue_over_time: deque[tuple[float, int, float]] = deque(maxlen=900)
        self._services = {
            name: ServiceClient(url, patience_s=PATIENCE_S, connections=4, clock=clock, retry=False)
            for name, url in (
                ("matchmaker", settings.matchmaker_url),
                ("rewards", settings.rewards_url),
                ("meta", settings.meta_url),
            )
        }
        self._dead_letters: list[dict[str, Any]] | None = None
        self._dead_letters_at = -1

    async def counters(self) -> BackendCounters:
        """Return the counters, at most a second old."""
        now = self._clock.monotonic()
        if now - self._read_at >= 1.0:
            self._read_at = now
            found = BackendCounters()
            found.queue = await self._counters_of("matchmaker", found)
            found.events = await self._counters_of("rewards", found)
            self._counters = found
            if found.queue is not None:
                sample = (
                    self._clock.wall(),
                    int(found.queue["searching"]),
                    float(found.queue["wait_s"]["p95"]),
                )
                self.queue_over_time.append(sample)
        return self._counters

    async def dead_letters(self) -> list[dict[str, Any]] | None:
        """Return the newest dead letters; None where the rewards service does not answer.

        They are asked for when their number has changed.
        """
        events = self._counters.events
        if events is None:
            self._dead_letters = None
        elif self._dead_letters is None or self._dead_letters_at != events["dead_letters"]:
            self._dead_letters_at = events["dead_letters"]
            self._dead_letters = await self._newest_dead_letters() if self._dead_letters_at else []
        return self._dead_letters

    async def _newest_dead_letters(self) -> list[dict[str, Any]] | None:
        path = f"/v1/internal/dead-letters?limit={MAX_DEAD_LETTERS}"
        try:
            response = await self._get("rewards", path, DEAD_LETTERS_PATIENCE_S)
            found: list[dict[str, Any]] = response.json()["dead_letters"]
        except (NoAnswerError, ValueError, LookupError, TypeError):
            return None
        return found

    async def player(self, player_id: str) -> dict[str, Any]:
        """Return a player's check-out, and whether their changes are stored. Raises LookupError."""
        try:
            response = await self._get("meta", f"/v1/internal/players/{int(player_id)}/lease")
        except NoAnswerError as error:
            raise LookupError("The meta service does not answer: try again in a moment.") from error
        if response.status_code == 404:
            raise LookupError(f"There is no player {player_id}.")
        if not response.is_success:
            raise LookupError(f"The meta service answered HTTP {response.status_code}.")
        body: dict[str, Any] = response.json()
        return body

    async def _counters_of(self, name: str, found: BackendCounters) -> dict[str, Any] | None:
        try:
            response = await self._get(name, "/v1/internal/counters")
            body = response.json() if response.is_success else None
        except (NoAnswerError, ValueError):
            body = None
        if not isinstance(body, dict):
            found.unreachable.append(name)
            return None
        return body

    async def _get(self, service: str, path: str, patience_s: float = PATIENCE_S) -> Response:
        signer = current_signer(self._settings, self._clock)
        token = signer.service_token("console", self._clock.wall(), TOKEN_TTL_S)
        return await self._services[service].request("GET", path, token=token, patience_s=patience_s)
