"""What the fleet's changes say of matches during a run: the servers that they were given, and those that
failed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from dedicated_server.fleet.client import Cursor, FleetAdminClient, FleetError
from loadtest.background import background

WAIT_S = 5.0  # of one long poll; the fleet answers at the first change
RETRY_S = 0.25  # after an answer that did not come
ALLOCATED = "Allocated"
# How the fleet's reason begins where nobody asked a server to end.
BY_ITSELF = (
    "killed by SIG",
    "the warm parent ended",
    "its end was not heard of",
    "not Ready after",
    "no heartbeat for",
)


@dataclass(frozen=True, slots=True)
class AllocatedServer:
    """A game server that was given a match.

    Attributes:
        name: of the server.
        match_id: of the match.
        pid: the server's process; 0 where it is not known.
    """

    name: str
    match_id: str
    pid: int


@dataclass(frozen=True, slots=True)
class FailedMatch:
    """A match that had a server and no result.

    Attributes:
        at_s: when the fleet said so, in seconds of the run.
        server: its game server.
        reason: as the fleet gave it.
    """

    at_s: float
    server: str
    reason: str


@dataclass(frozen=True, slots=True)
class LostServer:
    """A game server that ended by itself though nobody had asked it to.

    Attributes:
        at_s: when the fleet said so, in seconds of the run.
        server: its name.
        how: as the fleet gave it, such as "killed by SIGBUS".
    """

    at_s: float
    server: str
    how: str


OnAllocated = Callable[[AllocatedServer], None]


class AllocationFeed:
    """Follows the changes of a fleet. Use it as an async context manager: what changed before does not count.

    Args:
        fleet: client of the fleet's admin API.
        clock: seconds of the run.

    Attributes:
        allocated: the servers that were given a match, by (name, match id).
        failed: the matches that failed.
        lost: the servers that ended by themselves, whether or not they had a match.
    """

    def __init__(self, fleet: FleetAdminClient, clock: Callable[[], float]) -> None:
        self._fleet, self._clock = fleet, clock
        self._cursor = Cursor()
        self._pids: dict[str, int] = {}
        self._callbacks: list[OnAllocated] = []
        self._following = contextlib.AsyncExitStack()
        self.allocated: dict[tuple[str, str], AllocatedServer] = {}
        self.failed: list[FailedMatch] = []
        self.lost: list[LostServer] = []

    async def __aenter__(self) -> Self:
        with contextlib.suppress(FleetError):
            await self._skip_the_past()
            await self._learn_pids()
        await self._following.enter_async_context(background(self._follow(), "allocations"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._following.aclose()

    @contextlib.contextmanager
    def calling(self, on_allocated: OnAllocated) -> Iterator[None]:
        """Call ``on_allocated`` for each server that is given a match, as soon as it is known."""
        self._callbacks.append(on_allocated)
        try:
            yield
        finally:
            self._callbacks.remove(on_allocated)

    async def _skip_the_past(self) -> None:
        while True:
            cursor, changes, _ = await self._fleet.changes(self._cursor)
            self._cursor = cursor
            if not changes:
                return

    async def _follow(self) -> None:
        while True:
            try:
                self._cursor, changes, _ = await self._fleet.changes(self._cursor, wait_s=WAIT_S)
                if any(self._is_unknown(change) for change in changes):
                    await self._learn_pids()  # while it is Ready, so that it is known when it is allocated
            except FleetError:
                await asyncio.sleep(RETRY_S)
                continue
            for change in changes:
                self._take(change)

    def _is_unknown(self, change: dict[str, Any]) -> bool:
        return change["kind"] == "gameserver" and not change.get("gone") and change["name"] not in self._pids

    async def _learn_pids(self) -> None:
        servers = await self._fleet.gameservers(live="true")
        self._pids = {str(server["name"]): int(server["pid"]) for server in servers if server.get("pid")}

    def _take(self, change: dict[str, Any]) -> None:
        if change["kind"] == "match" and change["outcome"] == "failed":
            self.failed.append(
                FailedMatch(round(self._clock(), 2), str(change["name"]), str(change["reason"]))
            )
        if change["kind"] == "gameserver" and str(change.get("reason", "")).startswith(BY_ITSELF):
            lost = LostServer(round(self._clock(), 2), str(change["name"]), str(change["reason"]))
            self.lost.append(lost)
        if change["kind"] != "gameserver" or change["state"] != ALLOCATED or change.get("gone"):
            return
        name, match_id = str(change["name"]), str(change["match_id"] or "")
        if (name, match_id) in self.allocated:
            return
        self.note(AllocatedServer(name, match_id, int(change.get("pid") or self._pids.get(name, 0))))

    def note(self, server: AllocatedServer) -> None:
        """Note that a server has been given a match, and tell those who want to know."""
        self.allocated[server.name, server.match_id] = server
        for on_allocated in self._callbacks:
            on_allocated(server)
