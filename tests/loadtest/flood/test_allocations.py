from __future__ import annotations

import asyncio
from typing import Any, cast

from dedicated_server.fleet.client import Cursor, FleetAdminClient, FleetUnavailableError
from loadtest.flood.watching.allocations import AllocatedServer, AllocationFeed
from tests.waiting import until


def allocated(name: str, match_id: str, **more: Any) -> dict[str, Any]:
    return {"kind": "gameserver", "name": name, "state": "Allocated", "match_id": match_id, **more}


class FakeFleet:
    """A fleet whose changes are pages, each given out once; then it says nothing more."""

    def __init__(self, *pages: list[dict[str, Any]] | Exception) -> None:
        self.pages = list(pages)
        self.pids = {"a": 11}

    async def gameservers(self, **_filters: str) -> list[dict[str, Any]]:
        return [{"name": name, "pid": pid} for name, pid in self.pids.items()]

    async def changes(
        self, cursor: Cursor, *, wait_s: float = 0.0
    ) -> tuple[Cursor, list[dict[str, Any]], bool]:
        if not self.pages:
            await asyncio.Event().wait()
        page = self.pages.pop(0)
        if isinstance(page, Exception):
            raise page
        return Cursor("epoch", cursor.seq + len(page)), page, False


def feed_of(*pages: list[dict[str, Any]] | Exception) -> AllocationFeed:
    return AllocationFeed(cast(FleetAdminClient, FakeFleet(*pages)), lambda: 7.0)


async def test_each_server_that_is_given_a_match_counts_once_and_none_from_before_the_run() -> None:
    before = [allocated("old", "m-0")]
    during = [allocated("a", "m-1"), allocated("a", "m-1"), allocated("b", "m-2", pid=22)]
    after = [allocated("a", "m-1", gone=True), allocated("a", "m-3")]
    told: list[AllocatedServer] = []
    feed = feed_of(before, [], during, after)
    with feed.calling(told.append):
        async with feed:
            await until(lambda: len(feed.allocated) == 3)
    assert told == [
        AllocatedServer("a", "m-1", 11),
        AllocatedServer("b", "m-2", 22),
        AllocatedServer("a", "m-3", 11),
    ]


async def test_servers_that_ended_by_themselves_are_kept_with_a_match_or_without() -> None:
    def gone(name: str, reason: str, **more: Any) -> dict[str, Any]:
        return {
            "kind": "gameserver",
            "name": name,
            "state": "Unhealthy",
            "match_id": None,
            "reason": reason,
            **more,
        }

    changes = [
        gone("a", "killed by SIGBUS"),
        gone("a", "", gone=True),
        gone("b", "its match was ended by director"),
        gone("c", "killed by ann"),
        gone("d", "killed by SIGSEGV", state="Shutdown", gone=True),
    ]
    async with feed_of([], changes) as feed:
        await until(lambda: len(feed.lost) == 2)
    assert [(lost.server, lost.how) for lost in feed.lost] == [
        ("a", "killed by SIGBUS"),
        ("d", "killed by SIGSEGV"),
    ]


async def test_why_matches_failed_is_kept_and_a_fleet_that_does_not_answer_is_asked_again() -> None:
    failed = {"kind": "match", "name": "a", "outcome": "failed", "reason": "no heartbeat for 5 s"}
    ended = {"kind": "match", "name": "b", "outcome": "ended", "reason": ""}
    async with feed_of([], FleetUnavailableError("no answer"), [failed, ended]) as feed:
        await until(lambda: feed.failed)
    assert [(match.at_s, match.server, match.reason) for match in feed.failed] == [
        (7.0, "a", "no heartbeat for 5 s")
    ]
