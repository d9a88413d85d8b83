"""How far the wall clocks of two parts of a backend are apart, and that somebody hears of it.

Every answer of a service of ours, and every question of our client, carries the wall clock in the header
`HEADER`. Whoever asked knows when it sent the question and when it had the answer; the answer was stamped in
between, so the least difference that explains the three is no matter of how long the call took.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Gauge

from launchday.clock import MAX_STEP_S, Clock, SystemClock
from launchday.settings import settings

HEADER = "Launchday-Time"
"""The Unix seconds of whoever asks or answers, by their wall clock."""
RAW_HEADER = HEADER.lower().encode()
PERIOD_S = 5.0  # between two looks at a clock that nobody else reads

SKEW = Gauge(
    "launchday_clock_skew_seconds",
    "Seconds by which a peer's wall clock is ahead of this process's at least, as last heard.",
    ["peer"],
)
STEPS = Counter("launchday_clock_steps", "Steps of the machine's wall clock that this process has seen.")

log = structlog.get_logger()


def to_shared_time(caller: str | None, clock: Clock) -> float:
    """Return what to add to a caller's Unix times so that they are of the time that processes here share.

    Args:
        caller: their header; None, or nonsense: nothing is known of their clock, so it counts as ours.
        clock: ours.
    """
    their_s = _seconds(caller or "")
    ahead_s = clock.now() - (clock.wall() if their_s is None else their_s)
    return ahead_s if abs(ahead_s) > MAX_STEP_S else 0.0  # a call may be under way for so long


@dataclass(slots=True)
class _Peer:
    gauge: Gauge
    last_s: float = 0.0
    said_s: float = 0.0  # the skew that the log has told last; 0: none


class ClockSkew:
    """What a process knows of its peers' clocks.

    Args:
        limit_s: seconds above which the log says so; None: ``LAUNCHDAY_CLOCK_SKEW_S``.
    """

    def __init__(self, limit_s: float | None = None) -> None:
        self._limit_s = limit_s
        self._peers: dict[str, _Peer] = {}

    def heard(self, peer: str, theirs: str | bytes, sent: float, received: float) -> float | None:
        """Take the header of an answer.

        Args:
            peer: whose it is, as the log and the gauge name it.
            theirs: the header's value.
            sent, received: our wall clock before the question and after the answer.

        Returns the seconds by which their clock is ahead at least; None where the header says nothing, or our
        clock was stepped back meanwhile.
        """
        their_s = _seconds(theirs)
        if their_s is None or received < sent:
            return None
        skew_s = max(their_s - received, 0.0) + min(their_s - sent, 0.0)
        self.note(peer, skew_s)
        return skew_s

    def note(self, peer: str, skew_s: float, whose: str = "") -> None:
        """Take a difference: the seconds by which a peer's clock is ahead of ours.

        The log says what is heard twice: one of two processes of a machine may have seen a step first.

        ``whose`` names the one of several that the gauge does not tell apart.
        """
        known = self._peers.get(peer)
        if known is None:
            known = self._peers[peer] = _Peer(SKEW.labels(peer))
        known.gauge.set(skew_s)
        if not skew_s and not known.said_s:
            known.last_s = 0.0
            return
        if self._limit_s is None:
            self._limit_s = settings().clock_skew_s  # once: this is on the way of every answer
        limit_s = self._limit_s
        again, known.last_s = abs(known.last_s) > limit_s, skew_s
        if abs(skew_s) > limit_s:
            if again and abs(skew_s - known.said_s) > limit_s:
                known.said_s = skew_s
                log.warning(
                    "clocks differ: check the time service of both machines",
                    peer=whose or peer,
                    ahead_s=round(skew_s, 3),
                )
        elif known.said_s:
            known.said_s = 0.0
            log.info("clocks agree again", peer=peer)


def _seconds(header: str | bytes) -> float | None:
    try:
        seconds = float(header)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


PEERS = ClockSkew()
"""Of this process."""


async def watch_clock(clock: Clock) -> None:
    """Look at a clock now and then, until cancelled, so that a step is seen, said and counted in time."""
    counted = 0
    while True:
        clock.wall()
        if isinstance(clock, SystemClock) and clock.steps > counted:
            STEPS.inc(clock.steps - counted)
            counted = clock.steps
        await clock.sleep(PERIOD_S)
