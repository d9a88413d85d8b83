"""Tickets that rest: their match's players were all refused at the check-out, so they wait before the next.

Each such match costs a game server. The pause doubles with each refusal, and ``MAX_REFUSALS`` of them end the
ticket (``withdraw_match.lua``). Only the director that saw it lets them rest; one that takes over does not.
"""

from __future__ import annotations

from collections.abc import Sequence

from launchday.clock import Clock
from matchmaker.matching.pool import Pool
from matchmaker.tickets.ticket import binary_ids

FIRST_REST_S = 2.0


class Resting:
    """The tickets of one pool that rest.

    Args:
        pool: they are held there, and released.
        clock: its monotonic time.
    """

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._until: list[tuple[float, Sequence[str]]] = []

    def rest(self, ticket_ids: Sequence[str], refusals: int) -> None:
        """Let tickets rest that are held in the pool, after so many refusals."""
        if ticket_ids:
            rest_s = FIRST_REST_S * 2 ** max(0, refusals - 1)
            self._until.append((self._clock.monotonic() + rest_s, ticket_ids))

    def wake(self) -> None:
        """Let those search that have rested, and have not ended meanwhile."""
        now = self._clock.monotonic()
        due = [ids for until, ids in self._until if until <= now]
        if due:
            self._until = [each for each in self._until if each[0] > now]
            for ids in due:
                # By id: a row may have another ticket by now.
                self._pool.release(self._pool.find(binary_ids(ids)))
