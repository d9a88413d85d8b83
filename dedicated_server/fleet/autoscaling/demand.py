"""Our sizing policy as a webhook in Agones' JSON: what a fleet asks is answered with what the matchmaker's books say of the demand.

The books are counts since ever of all regions together; their differences over half a minute are rates, and a region's share of them is that
of the matches it plays (a rate is matches in play ÷ length, by Little's law, so shares of matches in play are shares of the rate).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx
import structlog
from fastapi import APIRouter, Request

from dedicated_server.fleet.autoscaling import webhook
from dedicated_server.fleet.autoscaling.sizing import Demand, Sizing
from launchday.problems import ProblemError

WINDOW_S = 30.0
POLL_S = 1.0
FLEET_TTL_S = 60.0

log = structlog.get_logger()


class DemandSample(NamedTuple):
    """The matchmaker's books at one instant."""

    at: float
    queued: int
    matched: int
    matches: int
    searching: int


@dataclass(slots=True)
class _FleetDemand:
    at: float
    allocated: int


class DemandMeter:
    """What the matchmaker's books say of the demand.

    Args:
        match_s: seconds that a match takes a server.
        players_per_match: how many it takes, until the books tell.
    """

    def __init__(self, match_s: float, players_per_match: float) -> None:
        self._match_s = match_s
        self._players_per_match = players_per_match
        self._readings: deque[DemandSample] = deque()
        self._asked: dict[str, _FleetDemand] = {}

    def add(self, reading: DemandSample) -> None:
        """Add a reading; a count that fell says that the books began anew, and so do we."""
        if self._readings and reading.queued < self._readings[-1].queued:
            self._readings.clear()
        self._readings.append(reading)
        while len(self._readings) > 2 and reading.at - self._readings[0].at > WINDOW_S:
            self._readings.popleft()

    def demand(self, fleet_name: str, allocated: int, now: float) -> Demand:
        """The demand on one fleet, of which ``allocated`` servers are in a match."""
        self._asked[fleet_name] = _FleetDemand(now, allocated)
        self._asked = {name: one for name, one in self._asked.items() if now - one.at < FLEET_TTL_S}
        # One more in each: a region without a match yet is not a region without a share.
        share = (allocated + 1) / sum(one.allocated + 1 for one in self._asked.values())
        if not self._readings:
            return Demand(allocated / self._match_s, 0.0, 0, self._players_per_match, self._match_s)
        first, last = self._readings[0], self._readings[-1]
        over_s = max(last.at - first.at, POLL_S)
        players = last.matched / last.matches if last.matches else self._players_per_match
        return Demand(
            matches_per_s=share * (last.matches - first.matches) / over_s,
            players_per_s=share * (last.queued - first.queued) / over_s,
            queued_players=round(share * last.searching),
            players_per_match=players,
            match_s=self._match_s,
        )


async def poll(
    meter: DemandMeter, http: httpx.AsyncClient, url: str, clock: Callable[[], float] = time.time
) -> None:
    """Read the matchmaker's books every second until cancelled. While it is away the last rates stand."""
    away = False
    while True:
        try:
            response = await http.get(f"{url}/v1/internal/books", timeout=POLL_S)
            response.raise_for_status()
            meter.add(_sample(response.json(), clock()))
            away = False
        except (httpx.HTTPError, LookupError, TypeError, ValueError) as error:
            if not away:
                log.warning("the matchmaker's books cannot be read", url=url, error=str(error) or repr(error))
            away = True
        await asyncio.sleep(POLL_S)


def _sample(books: Any, now: float) -> DemandSample:
    return DemandSample(now, *(int(books[name]) for name in ("queued", "matched", "matches", "searching")))


router = APIRouter(tags=["autoscaling"])


@router.post("/autoscale")
async def autoscale(review: dict[str, Any], request: Request) -> dict[str, Any]:
    """Answer a FleetAutoscaleReview, ours or Agones'. It changes nothing and asks for no token, as Agones sends none."""
    meter: DemandMeter = request.app.state.demand
    sizing_of: Callable[[str], Sizing] = request.app.state.sizing
    try:
        asked = webhook.read_question(review)
    except webhook.ReviewError as error:
        raise ProblemError(422, "no-review", str(error)) from error
    demand = meter.demand(asked.fleet_name, asked.fleet.allocated, time.time())
    decision = sizing_of(asked.fleet_name).decide(asked.fleet, demand)
    return {**webhook.answer(review, asked.uid, decision), "reason": decision.reason}
