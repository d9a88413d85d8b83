"""Both nights of daylight saving: the clock of the time zone jumps while players play."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime, timedelta

from loadtest.bench.environments.commands import doctor_and_flood
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.options import Options

JUMPS_AFTER_S = 9.0  # about when the backend is up
HALF_A_YEAR = timedelta(days=182)
HOUR = timedelta(hours=1)


def night(forward: bool, options: Options) -> Found:
    """A zone of this night alone, by POSIX' rules for TZ, so that nobody has to set a clock."""
    at = datetime.fromtimestamp(time.time() + JUMPS_AFTER_S, UTC)
    return doctor_and_flood(options, env={"TZ": zone_that_jumps(at, forward=forward)})


def zone_that_jumps(at: datetime, *, forward: bool) -> str:
    """A TZ whose clock goes an hour forward, or back, at a moment given in UTC; in winter it is UTC.

    Source: IEEE Std 1003.1, 8.3. The change back is said in summer's time, days are counted from 0.
    """
    other = at - HALF_A_YEAR
    begins, ends = (at, other) if forward else (other, at)
    return f"WIN0SUM-1,{_rule(begins)},{_rule(ends + HOUR)}"


def _rule(when: datetime) -> str:
    return f"{when.timetuple().tm_yday - 1}/{when:%H:%M:%S}"


CASES = (
    Case("night_in_march", functools.partial(night, True)),
    Case("night_in_october", functools.partial(night, False)),
)
