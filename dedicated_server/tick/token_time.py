"""By which time the connect tokens of a match expire.

A token is dated by whoever issued it, a director on another machine, and by this machine's clock it may have
ended before it began. A token opens one seat of one match on one server, so to take it for too long does no
harm, while to take it for too short leaves a match without players. So it has expired when both say so: this
machine's wall clock, as it is now, and the director's, as it went on since it named it in the allocation.
"""

from __future__ import annotations

from typing import Final

from dedicated_server.protocol.server.wire import ServerWire
from dedicated_server.tick.pacing import TickClock

PERIOD_S: Final = 1.0  # between two looks at the wall clock, outside of the ticks


class TokenTime:
    """Keeps the wire of a match at the time by which tokens expire.

    Args:
        clock: the server's; make this when the server is allocated.
        issuer_s: Unix seconds of the director's clock then; 0: it named none.
    """

    def __init__(self, clock: TickClock, issuer_s: float) -> None:
        self._clock = clock
        self._issuer_ahead_s = issuer_s - clock.unix_s(clock.now_ns()) if issuer_s else float("inf")

    def ahead_s(self) -> float:
        """Seconds by which that time is ahead of the time of ticks."""
        wall_ahead_s = self._clock.wall() - self._clock.unix_s(self._clock.now_ns())
        return min(wall_ahead_s, self._issuer_ahead_s)

    def set(self, wire: ServerWire) -> None:
        """Set it anew; call it every `PERIOD_S`."""
        wire.token_ahead_s = self.ahead_s()
