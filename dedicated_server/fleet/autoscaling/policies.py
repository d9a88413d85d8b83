"""Agones' autoscaling policies that decide by themselves: Buffer, Schedule and Chain.

Each is asked with a fleet's `Replicas` and the wall time, and answers with a `Decision`. The fourth policy,
the Webhook, is in `webhook`, because somebody has to ask it over HTTP first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol

from cronsim import CronSim, CronSimError

from dedicated_server.errors import DedicatedServerError
from dedicated_server.fleet.autoscaling.replicas import MAX_REPLICAS, Decision, Replicas, clamp, round_up

MAX_DURATION_S = 366 * 24 * 3600.0  # of an active period; also how far back its start is looked for
CRON_FIELDS = 5

_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")


class CronError(DedicatedServerError, ValueError):
    """Raised when a text is not a cron expression of five fields.

    The message names the field that is wrong.
    """


class DecidingPolicy(Protocol):
    """Any policy."""

    def decide(self, fleet: Replicas, now: float) -> Decision:
        """Return how many replicas there should be; ``now`` is Unix seconds."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """Agones' Buffer policy: keep a number of servers more than are in use.

    ``bufferSize`` is a number, a percentage of the fleet, or a list of these of which the largest counts: a
    percentage alone leaves a small fleet without a buffer, a number alone leaves a large one without enough
    (agones #2504).

    Attributes:
        servers: idle servers to keep.
        percent: share of all servers to keep idle, from 0 to below 100.
        min_replicas, max_replicas: limits on all servers together. With ``min_replicas`` and the buffer both
            0 the fleet scales to zero, and grows when a match finds no server.
    """

    servers: int = 0
    percent: float = 0.0
    min_replicas: int = 0
    max_replicas: int = MAX_REPLICAS

    def decide(self, fleet: Replicas, _now: float) -> Decision:
        """Return the servers in use plus the buffer."""
        in_use = fleet.allocated + fleet.reserved
        of_percent = round_up(in_use * 100.0 / (100.0 - self.percent)) - in_use
        idle = max(self.servers, of_percent, fleet.unmet)
        reason = f"{in_use} in use and a buffer of {idle}"
        if idle == fleet.unmet and idle > max(self.servers, of_percent):
            reason = f"{in_use} in use and {idle} requested without success"
        elif of_percent > self.servers:
            reason += f" ({self.percent:g} %)"
        return clamp(Decision(in_use + idle, False, reason), self.min_replicas, self.max_replicas)


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression of five fields, as crontab(5) and Debian's cron read it.

    Minute, hour, day of the month, month, day of the week (0 and 7 are Sunday); names of months and days are
    allowed. A day matches when either of the two day fields does, unless one of them starts with ``*``.
    Parsing and stepping are cronsim's; times are wall-clock times without a zone, so a shift by daylight
    saving neither repeats nor skips a start.
    """

    expression: str

    @classmethod
    def parse(cls, expression: str) -> Cron:
        """Read an expression; raises CronError."""
        fields = expression.split()
        if len(fields) != CRON_FIELDS:
            raise CronError(
                f"{expression!r:.60} has {len(fields)} fields: cron has five, such as 0 18 * * fri"
            )
        try:
            CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise CronError(f"{expression!r:.60} is not cron: {str(error).lower()}") from error
        return cls(expression)

    def last_before(self, moment: datetime, within: timedelta) -> datetime | None:
        """Return the last minute in which it fires, at or before ``moment``.

        None where that is ``within`` ago or more. Times are read in ``moment``'s zone.
        """
        local = moment.replace(tzinfo=None)
        earliest = local - min(within, timedelta(seconds=MAX_DURATION_S))
        start = local.replace(second=0, microsecond=0) + timedelta(
            minutes=1
        )  # cronsim begins before its start
        fired = next(CronSim(self.expression, start, reverse=True), None)
        return None if fired is None or fired <= earliest else fired.replace(tzinfo=moment.tzinfo)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Agones' Schedule policy: another policy, active in its time alone.

    Attributes:
        policy: decides while the schedule is active.
        start, end: Unix seconds between which it may be active.
        starts: the minutes in which it becomes active; None: it always is.
        duration_s: seconds for which it stays active; 0: until the next start, so for ever.
        timezone: the zone in which ``starts`` is read.
    """

    policy: DecidingPolicy
    start: float
    end: float
    starts: Cron | None
    duration_s: float
    timezone: tzinfo

    def decide(self, fleet: Replicas, now: float) -> Decision:
        """Return what the inner policy decides, or a decision without replicas out of its time."""
        if self.active(now):
            return self.policy.decide(fleet, now)
        return Decision(None, False, "not scheduled now")

    def active(self, now: float) -> bool:
        """Return whether the schedule is active at ``now`` (Unix seconds)."""
        if not self.start <= now < self.end:
            return False
        if self.starts is None:
            return True
        moment = datetime.fromtimestamp(now, self.timezone)
        reach = timedelta(seconds=self.duration_s or MAX_DURATION_S)
        return self.starts.last_before(moment, reach) is not None


@dataclass(frozen=True, slots=True)
class Chain:
    """Agones' Chain policy: the first of several policies that has something to say decides.

    Attributes:
        links: names and policies, in order.
    """

    links: tuple[tuple[str, DecidingPolicy], ...]

    def decide(self, fleet: Replicas, now: float) -> Decision:
        """Return the decision of the first link that does not pass."""
        for name, policy in self.links:
            decision = policy.decide(fleet, now)
            if decision.replicas is not None:
                return replace(decision, reason=f"{name}: {decision.reason}")
        return Decision(None, False, "no link of the chain applies now")


def parse_duration(text: str) -> float:
    """Return the seconds of a duration as Go writes it: ``1h30m``, ``45s``. Raises ValueError."""
    if text in ("", "0"):
        return 0.0
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r:.40} is no duration: write it like 1h30m or 45s")
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in _DURATION_PART.findall(text))
    if seconds > MAX_DURATION_S:
        raise ValueError(f"{text!r:.40} is longer than a year")
    return float(seconds)
