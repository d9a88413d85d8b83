"""Server lifecycle for whoever reads events: what the pool's changes say of game servers, told to Kafka after the fact.

It follows the changes as operators' pages do, so an allocation knows nothing of it, and a broker that is away holds nobody up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol
from uuid import UUID

from dedicated_server.fleet.pool.changes import Changes
from dedicated_server.fleet.pool.states import State
from rewards.events import Envelope, ServerState, Source, server_lifecycle

GATHER_PERIOD_S: Final = 0.2  # between two looks, so that a storm of allocations is not interrupted for each
EVENTS_PER_BATCH: Final = 20  # events made before others get a turn: a quarter of a millisecond
MAX_WAIT_S: Final = 60.0
MAX_REASON_CHARACTERS: Final = 200  # characters, see events.parse

# A server that starts calls its sidecar once, so STARTED is told once. Reserved servers and those on the way are the fleet's own business.
EVENT_STATES: Final[Mapping[State, ServerState]] = {
    State.SCHEDULED: ServerState.STARTED,
    State.READY: ServerState.READY,
    State.ALLOCATED: ServerState.ALLOCATED,
    State.SHUTDOWN: ServerState.ENDED,
    State.UNHEALTHY: ServerState.LOST,
    State.ERROR: ServerState.LOST,
}


class EventSink(Protocol):
    """Where events go: an EventProducer."""

    def emit(self, envelope: Envelope) -> bool:
        """Queue one event without waiting."""


class LifecycleEvents:
    """Tells the states of one fleet's servers, each once.

    Attributes:
        lost: how often changes were overwritten before they were read.
    """

    def __init__(self, changes: Changes, sink: EventSink) -> None:
        self._changes = changes
        self._outlet = sink
        self._seen = changes.last
        self._last: dict[str, tuple[str, str | None]] = {}  # by server: the state and match told last
        self.overruns = 0

    async def run(self) -> None:
        """Tell for ever; cancel it to stop."""
        while True:
            if await self._changes.wait(self._seen, MAX_WAIT_S):
                while found := self._next(EVENTS_PER_BATCH):
                    self._emit(found)
                    await asyncio.sleep(0)
                await asyncio.sleep(GATHER_PERIOD_S)

    def finish(self) -> None:
        """Tell what is left, all at once."""
        while found := self._next(EVENTS_PER_BATCH):
            self._emit(found)

    def _next(self, limit: int) -> list[dict[str, Any]]:
        found, lost = self._changes.since(self._seen, limit)
        if lost:
            self.overruns += 1
        if found:
            self._seen = found[-1]["seq"]
        return found

    def _emit(self, changes: Iterable[dict[str, Any]]) -> None:
        for change in changes:
            if change["kind"] != "gameserver":
                continue
            name, state, match_id = change["name"], change["state"], change["match_id"]
            if change["gone"]:
                self._last.pop(name, None)
                continue
            told = EVENT_STATES.get(state)
            if told is None or self._last.get(name) == (state, match_id):
                continue  # cordoned, say: its state is what it was
            self._last[name] = (state, match_id)
            source = Source(name, change["region"], _uuid(match_id))
            self._outlet.emit(
                server_lifecycle(
                    source, now_s=change["at"], state=told, reason=change["reason"][:MAX_REASON_CHARACTERS]
                )
            )


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:  # the fleet takes matches of any name
        return None
