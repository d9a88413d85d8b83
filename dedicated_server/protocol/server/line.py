"""What each client's line carries, judged by when its snapshots are first acknowledged.

A line that is too thin for what it is sent keeps it waiting: round trips become longer and stay so. Nothing
else does that. Loss says nothing about room, radio loses on an empty line, so it is not looked at. Jitter
makes single round trips longer, and not the shortest of several. So a line has a queue where the shortest of
the round trips of a review is longer than the least of the last ten to twenty seconds, by more than its
jitter explains.

While a queue stands, what leaves it in a second is what the line carries: the bytes between two snapshots
that were acknowledged, over the time between their acknowledgements. The client's limit is set below it, the
lower the longer the queue is, so that it drains within about a second; then to a little less than the line
carries. Some seconds later the limit begins to grow, slowly at first, until a queue says that this was too
much, or until it is no limit any more. Every time that it was too much it stays twice as long.

A queue that does not become shorter although less is sent than leaves it is none: the path has become longer.

All of it is a client's own affair. One that acknowledges what it has not received yet gets no more than the
usual rate; one that acknowledges late gets less; and no other client gets more or less by that.

Times are in ticks, bytes count the headers of IP and UDP. `replication.rates` makes a rate of the limit.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dedicated_server.native.compilation import INLINE, INNER, Row, njit
from dedicated_server.protocol.datagrams import IP_UDP_BYTES, MAX_DATAGRAM_BYTES
from dedicated_server.protocol.fields import TICK_HZ

NO_LIMIT: Final = float(MAX_DATAGRAM_BYTES + IP_UDP_BYTES)  # the largest snapshot in every tick
LEAST_LIMIT: Final = 16.0  # 7.7 kbit/s: a snapshot of a hundred bytes in every eighth tick

REVIEW_TICKS: Final = 4
FEW_SAMPLES, MANY_SAMPLES = 2, 4  # round trips that a review needs, to see a long queue and a short one
THIN_SAMPLES: Final = 3  # on a line that has a limit already
# Four round trips in a row beyond so much jitter, or two, come once in some ten thousand. Measured with
# exponential waits of 20 to 200 ms each way, up to 30 % lost, snapshots in every tick to every eighth.
SHORT_QUEUE_TICKS, SHORT_QUEUE_JITTERS = 3.0, 4.5
LONG_QUEUE_JITTERS: Final = 6.5
THIN_QUEUE_JITTERS: Final = 2.0  # a limited line is suspected sooner: a mistake costs it little
DRAINED_TICKS: Final = 1.0  # beyond the jitter: the queue is gone
FIRST_JITTER_TICKS: Final = 2.0  # until more is known, as if so many round trips had been measured
FIRST_JITTER_COUNTS: Final = 8
MEAN_GAIN: Final = 1.0 / 16.0
JITTER_GAIN: Final = 1.0 / 128.0

WINDOW_TICKS: Final = 10 * TICK_HZ  # the least round trip is that of the last one or two windows
DRAIN_TICKS: Final = 60.0
SAFE_SHARE: Final = 0.9  # of what the line carries, once the queue is gone
LEAST_SPAN_TICKS: Final = 8  # over which what leaves a queue is measured
PATIENCE_TICKS: Final = 96  # for the queue to become shorter: at SAFE_SHARE it does by ten ticks
SAME_TICKS: Final = 2.0  # beyond the jitter: no shorter and no longer
FIRST_HOLD_TICKS, LONGEST_HOLD_TICKS = TICK_HZ, 10 * TICK_HZ
GROWTH: Final = 0.0075  # of the limit by review, up to a little more than the line carried;
FAST_GROWTH: Final = 0.03  # beyond that it carries more than it did
KNOWN_SHARE: Final = 1.3
SIZE_GAIN: Final = 1.0 / 16.0
COMFORT_BYTES: Final = 200  # wanted of a snapshot that was cut short: two thirds of it are records

NONE: Final = 1 << 40  # a round trip that was not measured

LINE = np.dtype(
    [
        ("limit_bytes", np.float64),  # a tick; NO_LIMIT: none
        ("capacity_bytes", np.float64),  # that left the queue in a tick, when one stood last; 0.0: none did
        ("measured", np.int64),  # round trips in all
        ("mean_ticks", np.float64),  # of them, smoothed
        ("jitter_ticks", np.float64),  # mean difference from it, of round trips without a queue
        ("wanted_bytes", np.float64),  # of a snapshot, smoothed
        ("least_ticks", np.int64),  # round trip of this window
        ("least_before_ticks", np.int64),  # and of the one before
        ("window_until", np.int64),
        ("recent_ticks", np.int64),  # least round trip since the last review
        ("samples", np.int64),  # round trips since then
        ("review_at", np.int64),
        ("began_at", np.int64),  # what was sent before says nothing of this path
        ("heard_at", np.int64),  # when a snapshot was acknowledged last; or the session's first tick
        ("delivered_bytes", np.int64),  # in snapshots, by their acknowledgements
        ("mark_at", np.int64),  # when there was no queue the last time; −1: not known
        ("mark_bytes", np.int64),  # what had been delivered by then
        ("queued", np.int64),  # whether a queue stands
        ("judged_at", np.int64),  # when the round trip was compared with an earlier one the last time,
        ("judged_ticks", np.int64),  # and how long it was
        ("hold_ticks", np.int64),  # for which a limit stays
        ("grow_at", np.int64),
        ("queues", np.int64),  # how often a queue was found
    ],
    align=True,
)


@njit(cache=True, nogil=True, **INLINE)
def begin_line(line: Row, tick: int) -> None:
    """Know nothing of the line: a session begins, or goes on over another path."""
    line.limit_bytes = NO_LIMIT
    line.capacity_bytes = 0.0
    line.measured = 0
    line.jitter_ticks = FIRST_JITTER_TICKS
    line.wanted_bytes = 0.0
    line.least_ticks = line.least_before_ticks = line.recent_ticks = NONE
    line.window_until = tick + WINDOW_TICKS
    line.samples = 0
    line.review_at = tick + REVIEW_TICKS
    line.began_at = line.heard_at = line.judged_at = line.grow_at = tick
    line.mark_at = -1
    line.queued = 0
    line.hold_ticks = FIRST_HOLD_TICKS


@njit(cache=True, nogil=True, **INLINE)
def note_sent(line: Row, wanted_bytes: int) -> None:
    """A snapshot was sent. ``wanted_bytes``: its size, or what it should have been if it was cut short."""
    if line.wanted_bytes == 0.0:
        line.wanted_bytes = float(wanted_bytes)
    line.wanted_bytes += SIZE_GAIN * (wanted_bytes - line.wanted_bytes)


@njit(cache=True, nogil=True, **INLINE)
def note_acknowledged(line: Row, round_trip: int, counted: bool, tick: int) -> None:
    """The newest snapshot that the client has was acknowledged for the first time, in ``tick``.

    ``counted``: its bytes and those of the snapshots before it are in ``delivered_bytes``, as far as they are
    acknowledged. The server does not remember what it sent longer ago than `HISTORY_TICKS`.
    """
    line.heard_at = tick
    if tick - round_trip < line.began_at:
        return
    if tick >= line.window_until:
        line.window_until = tick + WINDOW_TICKS
        line.least_before_ticks = line.least_ticks
        line.least_ticks = NONE
    line.least_ticks = min(line.least_ticks, round_trip)
    line.recent_ticks = min(line.recent_ticks, round_trip)
    line.samples += 1
    beyond = float(round_trip - _least(line))
    if line.measured == 0:
        line.mean_ticks = float(round_trip)
    line.measured += 1
    apart = abs(round_trip - line.mean_ticks)
    line.mean_ticks += MEAN_GAIN * (round_trip - line.mean_ticks)
    if not line.queued:
        within = min(apart, 2.0 * line.jitter_ticks + SHORT_QUEUE_TICKS)  # a queue that grows is no jitter
        gain = max(JITTER_GAIN, 1.0 / (FIRST_JITTER_COUNTS + line.measured))
        line.jitter_ticks += gain * (within - line.jitter_ticks)
    if not counted:
        line.mark_at = -1
    elif line.mark_at < 0 or beyond <= DRAINED_TICKS + line.jitter_ticks:
        line.mark_at = tick
        line.mark_bytes = line.delivered_bytes
    elif tick - line.mark_at >= LEAST_SPAN_TICKS:
        line.capacity_bytes = (line.delivered_bytes - line.mark_bytes) / (tick - line.mark_at)


@njit(cache=True, nogil=True, **INLINE)
def note_pause(line: Row, tick: int) -> None:
    """A snapshot was acknowledged whose round trip says nothing: the server had stopped meanwhile."""
    line.heard_at = tick
    line.mark_at = -1


@njit(cache=True, nogil=True, **INLINE)
def review_line(line: Row, tick: int) -> None:
    """Set the limit by the round trips since the last review. Call it from ``review_at`` on."""
    line.review_at = tick + REVIEW_TICKS
    if line.samples < FEW_SAMPLES:
        return
    queue = float(line.recent_ticks - _least(line))
    limited = line.limit_bytes < NO_LIMIT
    jitters, samples = SHORT_QUEUE_JITTERS, MANY_SAMPLES
    if limited:
        jitters, samples = THIN_QUEUE_JITTERS, THIN_SAMPLES
    short = queue > SHORT_QUEUE_TICKS + jitters * line.jitter_ticks
    long = queue > SHORT_QUEUE_TICKS + LONG_QUEUE_JITTERS * line.jitter_ticks
    if line.samples < samples and not long and not line.queued:
        return
    if not line.queued and (short or long):
        line.queued = 1
        line.queues += 1
        line.judged_at, line.judged_ticks = tick, line.recent_ticks
        line.hold_ticks = min(2 * line.hold_ticks, LONGEST_HOLD_TICKS)
    if line.queued:
        _drain(line, queue, tick)
    elif limited and tick >= line.grow_at:
        known = line.limit_bytes < KNOWN_SHARE * line.capacity_bytes
        line.limit_bytes *= 1.0 + (GROWTH if known else FAST_GROWTH)
        if line.limit_bytes >= NO_LIMIT:
            line.limit_bytes = NO_LIMIT
            line.hold_ticks = FIRST_HOLD_TICKS
    line.samples = 0
    line.recent_ticks = NONE


@njit(cache=True, nogil=True, **INNER)
def _least(line: Row) -> int:
    return int(min(line.least_ticks, line.least_before_ticks))


@njit(cache=True, nogil=True, **INNER)
def _drain(line: Row, queue: float, tick: int) -> None:
    """Limit what is sent by how long the queue is, until it is gone."""
    capacity = line.capacity_bytes
    if capacity <= 0.0:
        capacity = LEAST_LIMIT
    if line.limit_bytes <= LEAST_LIMIT:  # it may be more than the line carries
        line.judged_at, line.judged_ticks = tick, line.recent_ticks
    elif tick - line.judged_at >= PATIENCE_TICKS:
        if abs(line.recent_ticks - line.judged_ticks) <= SAME_TICKS + line.jitter_ticks:
            line.least_ticks = line.least_before_ticks = line.recent_ticks
            queue = 0.0
        line.judged_at, line.judged_ticks = tick, line.recent_ticks
    if queue <= DRAINED_TICKS + line.jitter_ticks:
        line.queued = 0
        line.limit_bytes = max(SAFE_SHARE * capacity, LEAST_LIMIT)
        line.grow_at = tick + line.hold_ticks
    else:
        line.limit_bytes = max((1.0 - queue / DRAIN_TICKS) * capacity, LEAST_LIMIT)
