"""Which regions have no server to give now: their matches wait, and the oldest alone asks again, as soon as
the fleet says that it has one (``openings``), and now and then all the same.
"""

from __future__ import annotations

import math
from collections import Counter

import structlog

from launchday.clock import Clock
from launchday.resilience.retry import Backoff

SERVER_RETRY_S = 0.5  # between two tries in a region that had no server, and of which nothing was heard
MAX_RETRY_AFTER_S = 10.0  # of the fleet's wish: a server may be free sooner than it thought
FIRST_SILENCE_S, MAX_SILENCE_S = 0.5, 10.0  # after servers that never answered, one after the other
MAX_OPENINGS = 100  # of a region, that no match has taken up

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
        self._silent: set[str] = set()  # regions that wait because of a server that never answered
        self._openings: Counter[str] = Counter()  # heard of, for each of which one match may ask
        self._heard_at: dict[str, float] = {}  # monotonic seconds of a region's last opening

    def may_ask(self, region: str) -> bool:
        """Whether a match may ask for a server now. Where the region waits, only the first to ask is told yes
        each time that its wait is over; and one for each opening.
        """
        until = self._until.get(region)
        if until is None:
            return True
        now = self._clock.monotonic()
        if self._openings[region] > 0:
            self._openings[region] -= 1
        elif now < until:
            return False
        self._until[region] = max(until, now + SERVER_RETRY_S)
        return True

    def opened(self, region: str) -> None:
        """The fleet says that a match which it had turned away may get a server. After servers that never
        answered the region waits all the same: it was not the fleet that had none.
        """
        self._heard_at[region] = self._clock.monotonic()
        if region in self._until and region not in self._silent:
            self._openings[region] = min(MAX_OPENINGS, self._openings[region] + 1)

    def opened_everywhere(self) -> None:
        """Openings may have been missed: one match of each region may ask."""
        for region in list(self._until):
            self.opened(region)

    def no_server(
        self, region: str, why: str, retry_after_s: float = 0.0, *, asked_at: float = math.inf
    ) -> None:
        """The fleet had none, or did not answer.

        Args:
            region: where.
            why: in plain words.
            retry_after_s: the seconds that it asked for.
            asked_at: monotonic seconds; what opened since then was not meant by its answer.
        """
        wanted_s = retry_after_s if math.isfinite(retry_after_s) else 0.0
        self._silent.discard(region)
        self._wait(region, why, max(SERVER_RETRY_S, min(wanted_s, MAX_RETRY_AFTER_S)))
        if self._heard_at.get(region, -math.inf) >= asked_at:
            self._openings[region] = max(1, self._openings[region])
        else:
            self._openings[region] = 0  # others were faster

    def silent(self, region: str, why: str) -> None:
        """A server was given up. Several in a row lengthen the wait: what is slow must not get more to do."""
        pauses = self._silences.setdefault(region, Backoff(self._clock, FIRST_SILENCE_S, MAX_SILENCE_S))
        self._silent.add(region)
        self._openings[region] = 0
        self._wait(region, why, SERVER_RETRY_S + pauses.next_s())

    def answered(self, region: str) -> None:
        """A match of the region was assigned."""
        self._until.pop(region, None)
        self._why.pop(region, None)
        self._silences.pop(region, None)
        self._silent.discard(region)
        self._openings[region] = 0

    def told(self) -> dict[str, str]:
        """The regions that wait, and why."""
        return dict(self._why)

    def _wait(self, region: str, why: str, seconds: float) -> None:
        if region not in self._until:
            log.warning("no server, waiting", region=region, reason=why)
        self._until[region] = self._clock.monotonic() + seconds
        self._why[region] = why
