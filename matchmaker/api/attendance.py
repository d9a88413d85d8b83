"""What an API process does once a second beside its requests: it says that it attends to its players, tells
who of them gave a sign of life, and ends tickets whose time is up or whose players have gone.

A ticket that a player made ends when nobody follows, polls or reads it for ``ticket_liveness_s``: the player
of a client that crashed must not be matched. A read costs no write: the tickets that were looked at are told
together, a few times within that span. Time in which an API process or the cache was away does not count, for
nobody could look then (``attend.lua``), and tickets whose time ran out in it get some anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import structlog
from redis.exceptions import RedisError

from launchday.clock import Clock
from matchmaker.api import metrics
from matchmaker.api.notifier import Notifier
from matchmaker.queue.cache import asked_to_stop
from matchmaker.queue.scripts import Scripts
from matchmaker.queue.ticket_store import MAX_EXPIRED, TicketStore

PERIOD_S = 1.0
MAX_TOUCH_PERIOD_S = (
    10.0  # 50,000 waiting players are 5,000 touches a second then: half a percent of the cache
)
MAX_GATHERING = 1_000  # parties a call that were not complete in time
MAX_TOUCHED = 2_000  # tickets a call: 1 ms of the cache
AWAY_S = 3.0  # without attendance, from which on time does not count; as in shared.lua
FRESH_S = 30.0  # at most, for tickets whose time ran out while nobody could serve them

NOT_COMPLETE = "the party was not complete in time: a member made no ticket"

log = structlog.get_logger()


class Attendance:
    """The attendance of one API process.

    Args:
        scripts, store: of the cache.
        notifier: knows whose streams and polls are open.
        modes: the queues whose tickets expire.
        liveness_s: seconds without a sign of life that end a ticket; 0: none do.
        clock: time, and this process's name.
    """

    def __init__(
        self,
        scripts: Scripts,
        store: TicketStore,
        notifier: Notifier,
        modes: Sequence[str],
        liveness_s: float,
        clock: Clock,
    ) -> None:
        self._scripts = scripts
        self._store = store
        self._notifier = notifier
        self._modes = modes
        self._liveness_s = liveness_s
        self._clock = clock
        self._name = clock.uuid().hex[:12]
        self._touched: set[str] = set()
        self._touch_due = 0.0  # monotonic seconds
        self._in_match = 0

    def touch(self, ticket_id: str) -> None:
        """Note that a ticket's player looked at it."""
        self._touched.add(ticket_id)

    def refused_in_match(self) -> None:
        """Count a player who may make no ticket, because they are in a match."""
        self._in_match += 1

    async def run(self) -> None:
        """Attend, until cancelled. Every API process does, and each ticket ends once."""
        while not asked_to_stop():
            try:
                await self.attend()
            except RedisError as error:
                log.warning("cannot attend to the queue, trying again", error=str(error))
            await self._clock.sleep(PERIOD_S)

    async def attend(self) -> None:
        """Do it once. Raises the cache's errors."""
        if self._liveness_s and self._clock.monotonic() >= self._touch_due:
            await self._tell_signs_of_life()
            self._touch_due = self._clock.monotonic() + min(MAX_TOUCH_PERIOD_S, self._liveness_s / 3)
        refused, self._in_match = self._in_match, 0
        _, gap = await self._scripts.attend([self._name, *(("in_match", refused) if refused else ())])
        away_s = float(gap)
        if away_s > AWAY_S:
            metrics.unattended.inc()
            log.warning("nobody attended to the queue: that time does not count", seconds=round(away_s, 1))
        fresh_s = min(away_s, FRESH_S) if away_s > AWAY_S else 0.0
        while int(await self._scripts.end_gathering([MAX_GATHERING, NOT_COMPLETE])) == MAX_GATHERING:
            pass
        for mode in self._modes:
            await self._store.expire_due(mode, self._clock.now(), fresh_s)
        while self._liveness_s:
            due = int(await self._scripts.end_unwatched([self._liveness_s, MAX_EXPIRED]))
            if due < MAX_EXPIRED:
                return

    async def leave(self) -> None:
        """Attend no more: nobody waits for this process. Raises the cache's errors."""
        await self._scripts.leave_attendance([self._name])

    async def _tell_signs_of_life(self) -> None:
        touched, self._touched = self._touched, set()
        open_ = self._notifier.subscribed()
        metrics.waiters.set(len(open_))
        try:
            for part in _parts(touched.union(open_), MAX_TOUCHED):
                await self._scripts.touch_tickets(["".join(part)])
        except BaseException:
            self._touched |= touched
            raise


def _parts(ids: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(ids)
    while part := list(islice(rest, size)):
        yield part
