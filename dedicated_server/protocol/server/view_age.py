"""How old what a player is shown can be: what the server goes by when an input says which tick that was.

A snapshot is sent when its tick has been played. So how many ticks ago the acknowledged one was, when the
acknowledgement comes, is the round trip, with all that delayed, lost and thinned out snapshots on their way.
A client shows its player what lies behind the newest snapshot, by as much as snapshots come late
(`client.clock`). The server follows that delay as the client does: it grows when an acknowledgement is older
than expected, and shrinks slowly otherwise. So it is the round trip and the delay together, in ticks.

Nobody can be shown less than they acknowledge. Who acknowledges late makes their line longer for all that
they do.
"""

from __future__ import annotations

import math
from typing import Final

from dedicated_server.native.compilation import INLINE, Row, njit
from dedicated_server.protocol.inputs import VIEW_SLACK_TICKS

FIRST_DELAY_TICKS: Final = 4.0  # a client's, before it knows its line
GROWTH_TICKS: Final = 0.25  # as of `client.clock`
DECAY_TICKS: Final = GROWTH_TICKS * 0.04 / 0.96
OUTAGE_TICKS: Final = 30  # a silence says nothing of the delay
MAX_AGE_TICKS: Final = 24.0  # more is not believed of any line


@njit(cache=True, nogil=True, **INLINE)
def note_view_age(slot: Row, tick: int, ack_tick: int, is_first: bool) -> int:
    """Take in an acknowledgement; return the oldest tick that its newest input can have been shown.

    Args:
        slot: the client's row of SLOT.
        tick: the one in which the acknowledgement is read.
        ack_tick: the newest snapshot that the client has acknowledged; 0: none, and nothing can have been
            shown. An older one acknowledged beside it says nothing.
        is_first: whether it is the first of the session.
    """
    if ack_tick <= 0:
        return tick
    age = tick - ack_tick
    if is_first:
        slot.view_age_ticks = age + FIRST_DELAY_TICKS
    elif age <= OUTAGE_TICKS:
        change = GROWTH_TICKS if age > slot.view_age_ticks else -DECAY_TICKS
        slot.view_age_ticks = max(slot.view_age_ticks + change, 0.0)
    slot.view_age_ticks = min(slot.view_age_ticks, MAX_AGE_TICKS)
    known: int = math.ceil(slot.view_age_ticks)
    return tick - known - VIEW_SLACK_TICKS
