"""How late an event loop runs what is due: the first sign that a process has more to do than a core gives."""

from __future__ import annotations

from prometheus_client import Gauge

from launchday.clock import Clock

PERIOD_S = 0.25
WINDOW_S = (
    15.0  # a common time between two scrapes: a stall is in one window or the next, so no scrape misses it
)

LAG = Gauge(
    "launchday_event_loop_lag_seconds",
    f"The longest that something due had to wait for the event loop in the last {WINDOW_S:g} to "
    f"{2 * WINDOW_S:g} seconds.",
)


async def watch_loop(clock: Clock) -> None:
    """Keep the gauge until cancelled. Costs about 20 µs of processor time a second."""
    before_s = worst_s = 0.0
    window_ends = clock.monotonic() + WINDOW_S
    while True:
        due = clock.monotonic() + PERIOD_S
        await clock.sleep(PERIOD_S)
        now = clock.monotonic()
        worst_s = max(worst_s, now - due)
        LAG.set(max(before_s, worst_s))
        if now >= window_ends:
            before_s, worst_s, window_ends = worst_s, 0.0, now + WINDOW_S
