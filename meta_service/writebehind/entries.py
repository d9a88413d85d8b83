"""Where a look at an append-only book begins, whose entries are numbered before others see them."""

from __future__ import annotations

from collections import deque

from meta_service.writebehind.regions import OVERLAP_S


class EntryCursor:
    """Where the next look begins: at what was the newest entry `OVERLAP_S` ago.

    Entries become visible some seconds after they got their numbers.
    """

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()  # Unix seconds, the newest entry then

    def after(self, now: float, first: int) -> int:
        """The entry after which to look; ``first`` where this is the first look."""
        if not self._looks:
            self._looks.append((now, first))
        return self._looks[0][1]

    def looked(self, now: float, newest: int) -> None:
        """A look at ``now`` (Unix seconds) has seen all that was visible up to the entry ``newest``."""
        self._looks.append((now, newest))
        while len(self._looks) > 1 and self._looks[1][0] <= now - OVERLAP_S:
            self._looks.popleft()
