"""Agones' Schedule policy: another policy, but only in its time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Protocol

from dedicated_server.fleet.autoscaling.cron import Cron
from dedicated_server.fleet.autoscaling.replicas import Decision, Replicas

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
MAX_DURATION_S = 366 * 24 * 3600.0


class DecidingPolicy(Protocol):
    """A policy."""

    def decide(self, fleet: Replicas, now: float) -> Decision:
        """Say how many replicas there should be; ``now`` is Unix seconds."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The policy.

    Attributes:
        policy: what decides while it is active.
        start, end: Unix seconds between which it may be active.
        starts: the minutes in which it becomes active; None: always.
        duration_s: how long it stays so; 0: until it becomes active again, so for ever.
        timezone: whose clock ``starts`` is read on.
    """

    policy: DecidingPolicy
    start: float
    end: float
    starts: Cron | None
    duration_s: float
    timezone: tzinfo

    def decide(self, fleet: Replicas, now: float) -> Decision:
        """What the inner policy says, or nothing out of its time."""
        if self.active(now):
            return self.policy.decide(fleet, now)
        return Decision(None, False, "not scheduled now")

    def active(self, now: float) -> bool:
        """Whether it is its time."""
        if not self.start <= now < self.end:
            return False
        if self.starts is None:
            return True
        moment = datetime.fromtimestamp(now, self.timezone)
        reach = timedelta(seconds=self.duration_s or MAX_DURATION_S)
        return self.starts.last_before(moment, reach) is not None


def parse_duration(text: str) -> float:
    """Seconds of a duration as Go writes it: ``1h30m``, ``45s``. Raises ValueError."""
    if text in ("", "0"):
        return 0.0
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r:.40} is no duration: write it like 1h30m or 45s")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if seconds > MAX_DURATION_S:
        raise ValueError(f"{text!r:.40} is longer than a year")
    return float(seconds)
