"""Openings: the fleet says that it has a server for a match that it had turned away, and one match asks in
the next cycle.

Each director process follows the fleet's changes by a long poll beside its queues. It only makes what would
be asked anyway be asked sooner: where nothing is heard, because a fleet cannot be followed (real Agones) or
is away, or because a connection is dead that nobody has closed, the queues ask now and then
(``region_waits``). So a notice that is lost costs half a second, and one that is told twice a call.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

import structlog

from dedicated_server.fleet.client import Cursor, FleetError, FleetRefusedError
from launchday.clock import Clock
from matchmaker.director import metrics
from matchmaker.director.region_waits import RegionWaits
from matchmaker.queue.cache import asked_to_stop

WAIT_S = 10.0  # for news of the fleet
RETRY_S = 1.0  # after a call that went wrong
REFUSED_RETRY_S = 60.0

log = structlog.get_logger()


class OpeningsFeed(Protocol):
    """What is followed of a fleet. Both raise FleetError."""

    async def newest_change(self) -> Cursor:
        """Where to begin."""

    async def openings(self, cursor: Cursor, *, wait_s: float = 0.0) -> tuple[Cursor, list[str], bool]:
        """The regions that opened after a cursor, and whether some of them are lost."""


class FleetOpenings:
    """Follows a fleet's openings, and hands them to the queues that listen.

    Args:
        fleet: whom to follow.
        clock: paces the tries.
    """

    def __init__(self, fleet: OpeningsFeed, clock: Clock) -> None:
        self._fleet = fleet
        self._clock = clock
        self._listeners: list[RegionWaits] = []
        self._cursor: Cursor | None = None
        self._unavailable = False

    @contextlib.contextmanager
    def heard_by(self, waits: RegionWaits) -> Iterator[None]:
        """Hand what is heard to the waits of a queue, for as long as the context is open."""
        self._listeners.append(waits)
        try:
            yield
        finally:
            self._listeners.remove(waits)

    async def run(self) -> None:
        """Follow, until cancelled."""
        while not asked_to_stop():
            try:
                await self.follow(WAIT_S)
                self._unavailable = False
            except FleetRefusedError as error:
                self._warn_once(
                    "this fleet does not say when it has a server: it is asked now and then", error
                )
                await self._clock.sleep(REFUSED_RETRY_S)
            except FleetError as error:
                self._warn_once("cannot hear when the fleet has a server, trying again", error)
                await self._clock.sleep(RETRY_S)

    async def follow(self, wait_s: float) -> None:
        """Hand on what opened since the last time, waiting so many seconds for it. Raises FleetError."""
        if self._cursor is None:
            self._cursor = await self._fleet.newest_change()
            self._opened_everywhere()
        self._cursor, regions, lost = await self._fleet.openings(self._cursor, wait_s=wait_s)
        if lost:
            self._opened_everywhere()
        for region in regions:
            metrics.openings.labels(region).inc()
            for waits in self._listeners:
                waits.opened(region)

    def _opened_everywhere(self) -> None:
        for waits in self._listeners:
            waits.opened_everywhere()

    def _warn_once(self, what: str, error: Exception) -> None:
        if not self._unavailable:
            log.warning(what, error=str(error))
        self._unavailable = True
