"""Lifecycle events of game servers for Kafka, made from the pool's change log.

They follow the change log as operators' pages do: an allocation knows nothing of them, and a broker that does
not answer delays nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from dedicated_server.fleet.pool.changes import Changes
from dedicated_server.fleet.pool.states import State
from launchday.clock import Clock
from rewards.events import EventIds, ServerState, Source, server_lifecycle

if TYPE_CHECKING:
    from dedicated_server.match.events import EventSink

GATHER_PERIOD_S: Final = (
    0.2  # between two reads of the log, so that a burst of allocations is not interrupted often
)
EVENTS_PER_BATCH: Final = 20  # events made before others get a turn: a quarter of a millisecond
MAX_WAIT_S: Final = 60.0
MAX_REASON_CHARACTERS: Final = 200  # characters, see events.parse

# Of the states before Ready only Scheduled is an event: a server enters it once, with its first call.
# Reserved is none.
EVENT_STATES: Final[Mapping[State, ServerState]] = {
    State.SCHEDULED: ServerState.STARTED,
    State.READY: ServerState.READY,
    State.ALLOCATED: ServerState.ALLOCATED,
    State.SHUTDOWN: ServerState.ENDED,
    State.UNHEALTHY: ServerState.LOST,
    State.ERROR: ServerState.LOST,
}


class LifecycleEvents:
    """Tells the states of one fleet's servers, each once.

    Attributes:
        lost: how often changes were overwritten before they were read.
    """

    def __init__(self, changes: Changes, sink: EventSink, clock: Clock) -> None:
        self._changes = changes
        self._sink = sink
        self._clock = clock
        self._ids = EventIds.from_clock(clock)
        self._seen = changes.last
        self._last: dict[str, tuple[str, str | None]] = {}  # by server: the state and match emitted last
        self.overruns = 0

    async def run(self) -> None:
        """Emit events until cancelled."""
        while True:
            if await self._changes.wait(self._seen, MAX_WAIT_S):
                while found := self._next(EVENTS_PER_BATCH):
                    self._emit(found)
                    await self._clock.sleep(0)
                await self._clock.sleep(GATHER_PERIOD_S)

    def finish(self) -> None:
        """Emit what is left, all at once."""
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
            event_state = EVENT_STATES.get(state)
            if event_state is None or self._last.get(name) == (state, match_id):
                continue  # its state has not changed: it was cordoned, for example
            self._last[name] = (state, match_id)
            source = Source(name, change["region"], _uuid(match_id), ids=self._ids)
            self._sink.emit(
                server_lifecycle(
                    source,
                    now_s=change["at"],
                    state=event_state,
                    reason=change["reason"][:MAX_REASON_CHARACTERS],
                )
            )


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:  # the fleet takes matches with any id
        return None
