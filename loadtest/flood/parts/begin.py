"""When the parts of a flood begin: all at one time, so that their arrivals add up to the scenario's."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import re
import time
from collections.abc import Callable

from loadtest.errors import PartError

MAX_AHEAD_S = 86_400.0
TOMORROW_S = 21_600.0  # a time of day that was longer ago is that of tomorrow
CLOCK_TIME = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?Z?", re.ASCII)


def begin_time(text: str, now: float) -> float:
    """Read when parts begin together.

    Args:
        text: an ISO date and time, or a time of day such as 12:00:05; in UTC where it has no offset.
        now: Unix seconds. Of a time of day the next one is meant.

    Returns:
        Unix seconds.

    Raises:
        PartError: it is no such time, has passed, or is more than a day ahead.
    """
    try:
        if CLOCK_TIME.fullmatch(text):
            today = datetime.datetime.fromtimestamp(now, datetime.UTC).date()
            time = datetime.time.fromisoformat(
                text.removesuffix("Z") if text[1] != ":" else f"0{text.removesuffix('Z')}"
            )
            begins = datetime.datetime.combine(today, time, datetime.UTC)
            if begins.timestamp() < now - TOMORROW_S:
                begins += datetime.timedelta(days=1)
        else:
            begins = datetime.datetime.fromisoformat(text)
            begins = begins if begins.tzinfo else begins.replace(tzinfo=datetime.UTC)
        at = begins.timestamp()
    except (ValueError, OverflowError) as error:
        raise PartError(
            f"--begin {text}: give a time in UTC such as 12:00:05, or a date and time such as "
            "2026-11-30T12:00:05+01:00"
        ) from error
    if at < now:
        raise PartError(
            f"--begin {text}: that was {now - at:,.0f} s ago; give all parts a time to come, in UTC"
        )
    if at > now + MAX_AHEAD_S:
        raise PartError(f"--begin {text}: that is more than a day ahead")
    return at


async def wait_for_begin(
    begin_at: float | None, stop_event: asyncio.Event, say: Callable[[str, str], None]
) -> None:
    """Wait until a time, or until the run is stopped.

    Args:
        begin_at: Unix seconds; None: now.
        stop_event: when set, nobody waits.
        say: prints a line in a style.
    """
    if begin_at is None:
        return
    left_s = begin_at - time.time()
    at = datetime.datetime.fromtimestamp(begin_at, datetime.UTC)
    if left_s < 0:
        say(f"it begins {-left_s:.1f} s after {at:%H:%M:%S} UTC: give all parts a later --begin", "yellow")
        return
    say(f"ready; it begins at {at:%H:%M:%S} UTC, in {left_s:.0f} s", "")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(left_s):
            await stop_event.wait()
