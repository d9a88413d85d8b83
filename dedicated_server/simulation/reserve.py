"""The reserve: inputs that wait to be played, as many as a player's line needs and no more.

One input of a player is played in a tick. What arrives early waits; where none has arrived, the player
stands, and what comes then waits a tick longer. So the reserve of a player whose inputs come late grows by
itself. That it is larger than it needs to be shows in the ticks that leave something in it: when hardly any
tick leaves nothing, the client is told to count more slowly, 2 %, until some do. It is told to count faster
when ticks without an input go on, as with a clock that is slow.

The reserve is bounded. Of more than ``MAX_RESERVE`` inputs the oldest are refused. So are, one a second,
those of a client that does not count more slowly when it is told to. Whoever holds inputs back, to let others
see them stand or leap, gains nothing: they are played as everybody's are, and later.

All of it is one number a player, ``SPARE_TICKS``: how long there has been something to spare, or how often
there was nothing to play.
"""

from __future__ import annotations

from typing import Final

from dedicated_server.native.compilation import INLINE, Ints, njit
from dedicated_server.protocol.fields import PACE_FASTER, PACE_SLOWER, PACE_STEADY
from dedicated_server.simulation.world import SPARE_TICKS

MAX_RESERVE: Final = 8  # inputs, 133 ms: more would make a player too late for the others to hit
SPARE_ENOUGH: Final = 128  # ticks with something to spare: two seconds, then the client is to be slower
EMPTIED: Final = 64  # what a tick counts that leaves nothing: with one of 64 the reserve is right
MISSED: Final = 128  # what a tick counts in which nothing was there to play; two in two seconds are too many
LEAST_SPARE: Final = -2 * MISSED
# A client that counts 2 % more slowly has played seven inputs off by then, all that there can be to spare.
PATIENCE: Final = 10 * EMPTIED


@njit(cache=True, nogil=True, **INLINE)
def note_reserve(status: Ints, player: int, waiting: int, missed: bool) -> None:
    """Note what a tick has left of a player's inputs.

    ``waiting``: how many wait. ``missed``: there were not as many as the tick should have played.
    """
    spare = int(status[SPARE_TICKS, player])
    if missed:
        spare = max(min(spare, 0) - MISSED, LEAST_SPARE)
    elif waiting == 0:
        if spare > 0:
            spare = max(min(spare, SPARE_ENOUGH) - EMPTIED, 0)
    elif waiting == 1:
        spare += 1
    else:
        spare = max(spare, 0) + 1
    status[SPARE_TICKS, player] = spare


@njit(cache=True, nogil=True, **INLINE)
def is_overdue(status: Ints, player: int) -> bool:
    """Whether a client has long been told to be slower, and is not: one of its inputs is to be refused."""
    if status[SPARE_TICKS, player] < PATIENCE:
        return False
    status[SPARE_TICKS, player] -= EMPTIED
    return True


@njit(cache=True, nogil=True, **INLINE)
def pace_of(spare_ticks: int) -> int:
    """How fast a client is to count its ticks, PACE_…."""
    if spare_ticks > SPARE_ENOUGH:
        return PACE_SLOWER
    return PACE_FASTER if spare_ticks < -MISSED else PACE_STEADY
