"""Time that counts only while this process runs.

A director that was stopped for half a minute must not find, as it wakes, that everybody's time is over: what
they answered meanwhile waits in its sockets. So a pause of any length counts as one step, and whoever wakes
late grants fresh time.
"""

from __future__ import annotations

from launchday.clock import Clock

MAX_STEP_S = 5.0  # between two looks no call of a director waits for longer


class Patience:
    """An amount of time that is used up by looking at it.

    Args:
        clock: whose monotonic time passes.
        total_s: seconds of patience.
        max_step_s: the most that passes between two looks, in seconds.
    """

    def __init__(self, clock: Clock, total_s: float, max_step_s: float = MAX_STEP_S) -> None:
        self._clock = clock
        self._left_s = total_s
        self._max_step_s = max_step_s
        self._looked = clock.monotonic()

    def over(self) -> bool:
        """Whether it is used up. Look after each wait."""
        now = self._clock.monotonic()
        self._left_s -= min(now - self._looked, self._max_step_s)
        self._looked = now
        return self._left_s <= 0.0

    def grant(self, seconds: float) -> None:
        """Make sure that so many seconds are left."""
        self._left_s = max(self._left_s, seconds)
