"""Which regions have no server to give now: their matches wait, the oldest alone asks again now and then."""

from __future__ import annotations

import math

import structlog

from launchday.clock import Clock
from launchday.resilience.retry import Backoff

SERVER_RETRY_S = 0.5  # between two tries in a region that had no server
MAX_RETRY_AFTER_S = 10.0  # of the fleet's wish: a server may be free sooner than it thought
FIRST_SILENCE_S, MAX_SILENCE_S = 0.5, 10.0  # after servers that never answered, one after the other

log = structlog.get_logger()


class RegionWaits:
    """The waits of one queue, by region.

    Args:
        clock: its monotonic time, and chance.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}  # monotonic seconds
        self._why: dict[str, str] = {}
        self._silences: dict[str, Backoff] = {}

    def may_ask(self, region: str) -> bool:
        """Whether a match may ask for a server now. Where the region waits, only the first to ask is told yes
        each time that its wait is over.
        """
        until = self._until.get(region)
        if until is None:
            return True
        now = self._clock.monotonic()
        if now < until:
            return False
        self._until[region] = now + SERVER_RETRY_S
        return True

    def no_server(self, region: str, why: str, retry_after_s: float = 0.0) -> None:
        """The fleet had none, or did not answer. ``retry_after_s``: the seconds that it asked for."""
        wanted_s = retry_after_s if math.isfinite(retry_after_s) else 0.0
        self._wait(region, why, max(SERVER_RETRY_S, min(wanted_s, MAX_RETRY_AFTER_S)))

    def silent(self, region: str, why: str) -> None:
        """A server was given up. Several in a row lengthen the wait: what is slow must not get more to do."""
        pauses = self._silences.setdefault(region, Backoff(self._clock, FIRST_SILENCE_S, MAX_SILENCE_S))
        self._wait(region, why, SERVER_RETRY_S + pauses.next_s())

    def answered(self, region: str) -> None:
        """A match of the region was assigned."""
        self._until.pop(region, None)
        self._why.pop(region, None)
        self._silences.pop(region, None)

    def told(self) -> dict[str, str]:
        """The regions that wait, and why."""
        return dict(self._why)

    def _wait(self, region: str, why: str, seconds: float) -> None:
        if region not in self._until:
            log.warning("no server, waiting", region=region, reason=why)
        self._until[region] = self._clock.monotonic() + seconds
        self._why[region] = why
