"""Our sizing policy as a webhook in Agones' JSON, which measures the demand by the matchmaker's counters.

The counters are of all regions together, since their start; their differences over half a minute are rates. A
region's share of them is its share of the running matches: by Little's law a rate is running matches ÷ their
length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog
from fastapi import APIRouter, Request

from dedicated_server.cards import cards_in_force
from dedicated_server.fleet.autoscaling import webhook
from dedicated_server.fleet.autoscaling.sizing import Demand, Sizing
from launchday.clock import Clock
from launchday.problems import ProblemError
from launchday.resilience.http_client import NoAnswerError, ServiceClient
from launchday.settings import Settings

WINDOW_S = 30.0
POLL_S = 1.0
FLEET_TTL_S = 60.0
MATCH_S = 300.0  # of modes that all have sizes of their own

log = structlog.get_logger()


def usual_match_s(settings: Settings) -> float:
    """Seconds that a match takes at most, where one number has to do for all modes: the settings' or, where
    they have none, that of the mode whose size they say. Raises CardError.
    """
    cards = cards_in_force(settings.modes).values()
    return settings.match_s or next((card.match_s for card in cards if card.sized_by_settings), MATCH_S)


class DemandSample(NamedTuple):
    """The matchmaker's counters at one instant; ``at`` is monotonic seconds."""

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
    """The demand as the matchmaker's counters show it.

    Args:
        match_s: seconds that a match takes a server.
        players_per_match: players of a match, until the counters show it.
    """

    def __init__(self, match_s: float, players_per_match: float) -> None:
        self._match_s = match_s
        self._players_per_match = players_per_match
        self._readings: deque[DemandSample] = deque()
        self._asked: dict[str, _FleetDemand] = {}

    def add(self, reading: DemandSample) -> None:
        """Add a sample. A count that fell means that the counters were reset: earlier samples are dropped."""
        if self._readings and reading.queued < self._readings[-1].queued:
            self._readings.clear()
        self._readings.append(reading)
        while len(self._readings) > 2 and reading.at - self._readings[0].at > WINDOW_S:
            self._readings.popleft()

    def demand(self, fleet_name: str, allocated: int, now: float) -> Demand:
        """Return the demand on a fleet with ``allocated`` servers in a match; ``now`` is monotonic."""
        self._asked[fleet_name] = _FleetDemand(now, allocated)
        self._asked = {name: one for name, one in self._asked.items() if now - one.at < FLEET_TTL_S}
        # One more in each, so that a region without a match has a share, too.
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


async def poll(meter: DemandMeter, matchmaker: ServiceClient, clock: Clock) -> None:
    """Read the matchmaker's counters every second until cancelled. Without an answer the last rates hold."""
    unavailable = False
    while True:
        try:
            response = await matchmaker.request(
                "GET", "/v1/internal/counters", patience_s=POLL_S, retry=False
            )
            if not response.is_success:
                raise LookupError(f"the matchmaker answers {response.status_code}")
            meter.add(_sample(response.json(), clock.monotonic()))
            unavailable = False
        except (NoAnswerError, LookupError, TypeError, ValueError) as error:
            if not unavailable:
                log.warning("the matchmaker's counters cannot be read", error=str(error) or repr(error))
            unavailable = True
        await clock.sleep(POLL_S)


def _sample(counters: Any, now: float) -> DemandSample:
    return DemandSample(now, *(int(counters[name]) for name in ("queued", "matched", "matches", "searching")))


router = APIRouter(tags=["autoscaling"])


@router.post("/autoscale")
async def autoscale(review: dict[str, Any], request: Request) -> dict[str, Any]:
    """Answer a FleetAutoscaleReview. It changes nothing and needs no token, because Agones sends none."""
    meter: DemandMeter = request.app.state.demand
    sizing_of: Callable[[str], Sizing] = request.app.state.sizing
    try:
        asked = webhook.read_question(review)
    except webhook.ReviewError as error:
        raise ProblemError(422, "no-review", str(error)) from error
    demand = meter.demand(asked.fleet_name, asked.fleet.allocated, request.app.state.clock.monotonic())
    decision = sizing_of(asked.fleet_name).decide(asked.fleet, demand)
    return {**webhook.answer(review, asked.uid, decision), "reason": decision.reason}
