"""A client's clock: which server tick it shows its player, and which tick the server is probably playing.

Snapshots carry the server's tick; the network delays each of them differently. The snapshot that was delayed
least in the last seconds gives the *newest possible tick*: the newest that could have arrived by now. What is
shown lies ``delay_ticks`` behind it. The delay adapts until, in all but ``STARVED_SHARE`` of the frames, a
snapshot at least as new as what is shown has arrived. Late, lost and rare snapshots all make the delay
longer; a quiet network makes it shorter again. What is shown never goes backwards, and runs at most ``WARP``
faster or slower than time.

The delay has to be short: for a shot the server rewinds its targets by at most 15 ticks, the round trip
included.
"""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import STAGE, Records, njit
from dedicated_server.protocol.fields import TICK_HZ

# The newest possible tick is that of the last one or two windows: a route that has become longer counts by
# then.
WINDOW_S = 2.0
# Of the frames: the newest snapshot is older than what is shown. Measured, see the tests.
STARVED_SHARE = 0.04
GROWTH_TICKS = 0.25  # added in a frame that would have starved; what is taken away in the others follows
DECAY_TICKS = GROWTH_TICKS * STARVED_SHARE / (1.0 - STARVED_SHARE)
FIRST_DELAY_TICKS = 4.0
MIN_DELAY_TICKS = 1.0
MAX_DELAY_TICKS = 11.0  # with a round trip of 60 ms the limit of what the server rewinds
OUTAGE_TICKS = 30.0  # a silence of half a second says nothing about jitter: the delay does not learn from it
GAIN = 0.1  # share of the difference to the right tick that is made up in a frame, within WARP
WARP = 0.1
JUMP_TICKS = 15.0  # a difference that would take seconds to make up: jump

CLOCK = np.dtype(
    [
        ("snapshot_tick", np.int64),  # newest taken in; 0: none yet
        ("lead_ticks", np.float64),  # tick minus TICK_HZ times now, the greatest of this window
        ("lead_before_ticks", np.float64),  # … and of the window before
        ("window_until_s", np.float64),
        ("delay_ticks", np.float64),
        ("view_tick", np.float64),  # what was shown last; 0: nothing yet
        ("viewed_at_s", np.float64),
        ("frames", np.int64),
        ("starved_frames", np.int64),  # of them: shown was newer than the newest snapshot
        ("jumps", np.int64),
    ],
    align=True,
)


def new_clocks(capacity: int) -> Records:
    """CLOCK[C]: clocks of clients that have heard nothing yet."""
    return np.zeros(capacity, CLOCK)


@njit(cache=True, nogil=True, **STAGE)
def clock_note(clocks: Records, index: int, tick: int, now_s: float) -> None:
    """A snapshot of ``tick`` has arrived. Ticks that go back begin a new session."""
    clock = clocks[index]
    lead = tick - now_s * TICK_HZ
    if clock.snapshot_tick == 0 or tick < clock.snapshot_tick:
        clock.lead_ticks = lead
        clock.lead_before_ticks = lead
        clock.window_until_s = now_s + WINDOW_S
        clock.delay_ticks = FIRST_DELAY_TICKS
        clock.view_tick = 0.0
    elif now_s >= clock.window_until_s:
        clock.lead_before_ticks = clock.lead_ticks
        clock.lead_ticks = lead
        clock.window_until_s = now_s + WINDOW_S
    elif lead > clock.lead_ticks:
        clock.lead_ticks = lead
    clock.snapshot_tick = tick


@njit(cache=True, nogil=True, **STAGE)
def clock_newest_tick(clocks: Records, index: int, now_s: float) -> float:
    """The newest server tick, with fraction, that could have arrived by ``now_s``."""
    clock = clocks[index]
    return float(now_s * TICK_HZ + max(clock.lead_ticks, clock.lead_before_ticks))


@njit(cache=True, nogil=True, **STAGE)
def clock_advance(clocks: Records, index: int, now_s: float) -> float:
    """Go on by a frame.

    The server tick, with fraction, to be shown at ``now_s``, or 0.0 before the first snapshot.
    """
    clock = clocks[index]
    if clock.snapshot_tick == 0:
        return 0.0
    line = clock_newest_tick(clocks, index, now_s)
    age = line - clock.snapshot_tick
    if age <= OUTAGE_TICKS:
        change = GROWTH_TICKS if age > clock.delay_ticks else -DECAY_TICKS
        clock.delay_ticks = min(max(clock.delay_ticks + change, MIN_DELAY_TICKS), MAX_DELAY_TICKS)
    target = max(line - clock.delay_ticks, 0.0)
    passed = max((now_s - clock.viewed_at_s) * TICK_HZ, 0.0)
    ahead = target - (clock.view_tick + passed)
    if clock.view_tick == 0.0:
        clock.view_tick = target
    elif abs(ahead) > JUMP_TICKS:
        clock.view_tick = target
        clock.jumps += 1
    else:
        clock.view_tick += passed + min(max(GAIN * ahead, -WARP * passed), WARP * passed)
    clock.viewed_at_s = now_s
    clock.frames += 1
    clock.starved_frames += clock.view_tick > clock.snapshot_tick
    return float(clock.view_tick)


@njit(cache=True, nogil=True, **STAGE)
def clock_server_tick(clocks: Records, index: int, now_s: float, rtt_s: float) -> float:
    """The tick that the server is probably playing at ``now_s``; the way back counts as half the round trip.

    ``rtt_s`` is the session's, which has the wait for the server's tick in it: half a tick on average.
    """
    return clock_newest_tick(clocks, index, now_s) + max(0.5 * (rtt_s * TICK_HZ - 0.5), 0.0)
