"""The window of starts: how many matches may be starting at the same time.

A match that starts takes processor time, and twenty that start together on two cores are all late: too late
for whoever waits, who then asks for twenty more. So the fleet finds out how many its machine can start at
once, as TCP finds out how many packets a path can carry (additive increase, multiplicative decrease; Jacobson
1988). Each first report within `LATE_S` of the allocation widens the window by 1/w, so by one for a window's
worth; each start that is later halves it, once.
"""

from __future__ import annotations

LATE_S = 2.0  # a start takes 0.15 s of processor time, and 0.3 s on a machine that is not overloaded
LONGEST_S = 60.0  # a server that has not reported by then may be one that never does: it keeps no place
FIRST_WINDOW = 8.0  # as many as forks in flight, `pool.MAX_STARTING`


class StartWindow:
    """The window of one fleet, and the starts in it.

    Args:
        least, most: bounds of the window; ``most`` 0: there is no window.

    Attributes:
        size: the window.
        late: starts so far that took longer than `LATE_S`.
    """

    def __init__(self, least: int, most: int) -> None:
        self._least = float(least)
        self._most = float(most)
        self.size = max(self._least, min(FIRST_WINDOW, self._most))
        self.late = 0
        self._began: dict[str, float] = {}  # by server, the earliest first
        self._late: set[str] = set()

    def __contains__(self, server: str) -> bool:
        """Whether a server is starting its match."""
        return server in self._began

    def __len__(self) -> int:
        """Starts that are under way."""
        return len(self._began)

    @property
    def limited(self) -> bool:
        """Whether there is a window."""
        return self._most > 0.0

    @property
    def full(self) -> bool:
        """Whether another start has to wait."""
        return self.limited and len(self._began) >= int(self.size)

    def begin(self, server: str, now: float) -> None:
        """Note that a server was given a match at ``now`` (monotonic seconds, here and below)."""
        self._began[server] = now

    def reported(self, server: str, now: float) -> None:
        """Note that a server has begun its match. Only the first time counts."""
        began = self._began.get(server)
        if began is None:
            return
        if now - began > LATE_S:
            self._was_late(server)
        else:
            self.size = min(self.size + 1.0 / self.size, max(self._most, self._least))
        self.ended(server)

    def ended(self, server: str) -> None:
        """Note that a server is not starting any more, whatever became of its match."""
        self._began.pop(server, None)
        self._late.discard(server)

    def step(self, now: float) -> None:
        """Find the starts that are late by now, and forget those that last too long."""
        for server, began in list(self._began.items()):
            if now - began <= LATE_S:
                return  # those behind it began later
            self._was_late(server)
            if now - began > LONGEST_S:
                self.ended(server)

    def pause(self, seconds: float) -> None:
        """Do not count seconds for which nobody could be heard, because the fleet itself was stopped."""
        self._began = {server: began + seconds for server, began in self._began.items()}

    def as_json(self) -> dict[str, int | None]:
        """Return the window as the admin API shows it; None: there is none."""
        return {
            "window": int(self.size) if self.limited else None,
            "under_way": len(self),
            "late": self.late,
        }

    def _was_late(self, server: str) -> None:
        if server not in self._late:
            self._late.add(server)
            self.late += 1
            self.size = max(self._least, self.size / 2.0)
