"""Whether the store is there, by a connection made for the question, never by a request's own time-out.

A request that got no answer in time was late for many reasons: a dead connection of its own, a lock, a full
pool, ourselves. Only a new connection tells. So a failure makes the store suspect, and one task asks: while
it is refused, or not answered, the store counts as away and requests are refused at once; it asks again every
`RETRY_S` until it is answered.
"""

from __future__ import annotations

import asyncio

import structlog

from launchday.clock import Clock
from launchday.resilience import deadline, store_address
from meta_service.store.errors import UNAVAILABLE_ERRORS

PROBE_S = 2.0  # for connecting and one statement
RETRY_S = 1.0

log = structlog.get_logger()


class StorePresence:
    """Knows whether the store is away.

    Args:
        url: postgresql://….
        clock: bounds the probe and times the pauses.

    Attributes:
        away: whether the last probe failed; requests are refused at once then.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self.away = False
        self._asking: asyncio.Task[None] | None = None

    def suspect(self) -> None:
        """Ask, in the background, whether the store is there; nothing where that is being asked already."""
        if self._asking is None or self._asking.done():
            with deadline.serving(None):  # it asks for everybody, not for the request that failed
                self._asking = asyncio.get_running_loop().create_task(self._ask(), name="probe the store")

    async def known(self) -> bool:
        """Whether the store is away, once the question that is being asked has its first answer."""
        while self._asking is not None and not self._asking.done() and not self.away:
            await asyncio.wait([self._asking], timeout=PROBE_S)
        return self.away

    async def close(self) -> None:
        """Stop asking."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _ask(self) -> None:
        while (failure := await self._probe()) is not None:
            if not self.away:
                log.warning("the store is away", reason=failure)
            self.away = True
            await self._clock.sleep(RETRY_S)
        if self.away:
            log.info("the store is back")
        self.away = False

    async def _probe(self) -> str | None:
        try:
            async with deadline.within(self._clock, PROBE_S):
                connection = await store_address.connect(self._url, timeout_s=PROBE_S)
                try:
                    await connection.fetchval("SELECT 1")
                finally:
                    connection.terminate()
        except UNAVAILABLE_ERRORS as error:
            return store_address.explained(error)
        return None
