"""Requeue: players who lose a match with its game server are in the queue again, as old as before.

The fleet says which matches failed; the requeue records of their tickets are kept while they play. Every
director process follows the fleet: a match is requeued once, whichever comes first and however often it is
told, because the script that does it removes the record. How far the fleet was followed is in the cache too,
and what may have been missed is found by asking the fleet which matches live.

A player's new ticket is searched for once they read it, and ends after RECLAIM_S if they do not: half of a
match may have gone home before its server died, and slots must not be held for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from dedicated_server.fleet.client import Cursor, FinishedMatch, FleetError, FleetRefusedError
from launchday.clock import Clock
from matchmaker.director.placement import ALL_REFUSED
from matchmaker.queue.cache import asked_to_stop
from matchmaker.queue.entries import MALFORMED
from matchmaker.queue.queue import MAX_REFUSALS
from matchmaker.queue.scripts import KEYS, Argument, Call, Scripts
from matchmaker.tickets.ticket import RecordFormat, RequeueRecord, binary_ids, text_ids

RECLAIM_S = 60.0  # a client gives up a silent server after 10 s; then there is somebody to press a button
LOST_SERVER_REASON = "the game server of the match was lost"
REFUSED_REASON = "the meta service refused the match its players"
WAIT_S = 10.0  # for news of the fleet
LATE_ASSIGNMENT_S = 30.0  # a match may fail so long before its players are assigned to it at all
RECHECK_S = 1.0  # between two looks for such a match
RETRY_S = 1.0
REFUSED_RETRY_S = 60.0

log = structlog.get_logger()


class FleetChanges(Protocol):
    """What a requeuer needs of a fleet. Both raise FleetError."""

    async def finished_matches(
        self, cursor: Cursor, *, wait_s: float = 0.0
    ) -> tuple[Cursor, list[FinishedMatch], bool]:
        """Matches that are over, after a cursor."""

    async def gameservers(self) -> list[dict[str, Any]]:
        """Every game server."""


class Requeuer:
    """Follows a fleet and queues the players of lost matches again.

    Args:
        cache: Valkey or Redis.
        scripts: its scripts.
        fleet: whom to follow.
        ticket_ttl_s: seconds a new ticket is searched for.
        clock: when tickets expire (wall time), how long to look for a match (monotonic), and ids of tickets.

    Attributes:
        requeued, backdated: tickets made by this process; tickets of players who had queued again, which got
            the old age.
    """

    def __init__(
        self,
        cache: Redis,
        scripts: Scripts,
        fleet: FleetChanges,
        *,
        ticket_ttl_s: float,
        clock: Clock,
    ) -> None:
        self._cache = cache
        self._scripts = scripts
        self._fleet = fleet
        self._ticket_ttl_s = ticket_ttl_s
        self._clock = clock
        # Match → monotonic seconds until when to look for it again, and whether its players were refused.
        self._failed: dict[str, tuple[float, bool]] = {}
        self._unavailable = False
        self.requeued = 0
        self.backdated = 0

    async def run(self) -> None:
        """Follow, until cancelled. A fleet that cannot be followed, real Agones for one, is asked again now
        and then.
        """
        looked = False
        while not asked_to_stop():
            try:
                if not looked:
                    await self.check_live_matches()
                    looked = True
                await self.follow(RECHECK_S if self._failed else WAIT_S)
                self._unavailable = False
            except FleetRefusedError as error:
                self._warn_once(
                    (
                        "this fleet does not say which matches it lost: their players have to queue "
                        "again themselves"
                    ),
                    error,
                )
                await self._clock.sleep(REFUSED_RETRY_S)
            except (
                FleetError,
                RedisError,
                *MALFORMED,
            ) as error:  # directors in the same process go on whatever comes
                self._warn_once("cannot follow the fleet, trying again", error)
                await self._clock.sleep(RETRY_S)

    async def follow(self, wait_s: float) -> None:
        """Read what the fleet says since the last time, waiting so many seconds for it.

        Raises FleetError, the cache's errors.
        """
        stored: Any = await self._cache.hmget(KEYS["cursor"], ["epoch", "seq"])
        seen = Cursor(stored[0].decode(), int(stored[1])) if None not in stored else Cursor()
        cursor, finished, missed = await self._fleet.finished_matches(seen, wait_s=wait_s)
        now = self._clock.monotonic()
        for match in finished:
            if not match.ended and match.match_id:
                self._failed[match.match_id] = (now + LATE_ASSIGNMENT_S, ALL_REFUSED in match.reason)
        # Its last players may be assigned a moment after it failed, so it is looked for again.
        self._failed = {match_id: seen for match_id, seen in self._failed.items() if seen[0] > now}
        for match_id, (_, refused) in self._failed.items():
            await self.requeue_match(match_id, refused=refused)
        await self._forget([match.match_id for match in finished if match.ended and match.match_id])
        if missed:
            await self.check_live_matches()
        await self._cache.hset(KEYS["cursor"], mapping={"epoch": cursor.epoch, "seq": str(cursor.seq)})

    async def check_live_matches(self) -> None:
        """Ask the fleet which matches live, and requeue those that nobody knows of.

        Raises FleetError, the cache's errors.
        """
        stored: Any = await self._cache.zrange(KEYS["playing"], 0, -1)
        playing = [match_id.decode() for match_id in stored]
        if not playing:
            return
        known = _outcomes(await self._fleet.gameservers())
        for match_id in playing:
            if match_id not in known:
                await self.requeue_match(match_id)
        await self._forget([match_id for match_id in playing if known.get(match_id) == "ended"])

    async def requeue_match(self, match_id: str, *, refused: bool = False) -> None:
        """Queue the players of a lost match again, unless that has been done. Raises the cache's errors.

        ``refused``: its server got none of them at the check-out; after MAX_REFUSALS of that they are told so
        instead.
        """
        elements: Any = await self._cache.lrange(KEYS["match"] + match_id, 0, -1)
        for element in elements:
            try:
                mode, regions, *record = msgspec.msgpack.decode(element)
                call = self._call(match_id, element, mode, regions, RequeueRecord(*record), refused)
            except MALFORMED as error:  # a damaged one must not keep the others from their queue
                log.error("a match's tickets cannot be read", match_id=match_id, error=str(error))
                await self._cache.lrem(KEYS["match"] + match_id, 1, element)
                continue
            [answer] = await self._scripts.requeue_match.each([call])
            if answer is not None:
                self.requeued += answer[0]
                self.backdated += answer[1]
                log.warning("match requeued", match_id=match_id, requeued=answer[0], queued_again=answer[1])

    def _call(
        self,
        match_id: str,
        element: bytes,
        mode: str,
        regions: Sequence[str],
        record: RequeueRecord,
        refused: bool,
    ) -> Call:
        now = self._clock.now()
        expires_at = now + self._ticket_ttl_s
        records = RecordFormat(len(regions)).unpack(record.records).copy()
        made = [str(self._clock.uuid()) for _ in records]
        rows = [
            (old, str(player_id), new, repr(enqueued_at))
            for old, player_id, new, enqueued_at in zip(
                text_ids(records["ticket_id"]),
                records["player_id"].tolist(),
                made,
                records["enqueued_at"].tolist(),
                strict=True,
            )
        ]
        records["ticket_id"], records["expires_at"] = binary_ids(made), expires_at
        arguments: list[Argument] = [
            match_id,
            element,
            mode,
            ",".join(regions),
            REFUSED_REASON if refused else LOST_SERVER_REASON,
            math.ceil(self._ticket_ttl_s + self._scripts.retention_s),
            repr(now + min(RECLAIM_S, self._ticket_ttl_s)),
            repr(expires_at),
            msgspec.msgpack.encode(rows),
            records.tobytes(),
            msgspec.msgpack.encode(record.attributes),
            MAX_REFUSALS if refused else 0,
        ]
        return Call(
            arguments,
            mode,
            tickets=[*(row[0] for row in rows), *made],
            players=[row[1] for row in rows],
            keys=[KEYS["match"] + match_id],
        )

    async def _forget(self, match_ids: Sequence[str]) -> None:
        """Matches that ended as they should need nothing kept."""
        if match_ids:
            pipeline = self._cache.pipeline(transaction=False)
            pipeline.unlink(*(KEYS["match"] + match_id for match_id in match_ids))
            pipeline.zrem(KEYS["playing"], *match_ids)
            await pipeline.execute()

    def _warn_once(self, what: str, error: Exception) -> None:
        if not self._unavailable:
            log.warning(what, error=str(error))
        self._unavailable = True


def _outcomes(servers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Matches that live, and those that ended as they should."""
    found = {}
    for server in servers:
        if server["match_id"] and server["report"].get("outcome") == "ended":
            found[server["match_id"]] = "ended"
        elif server["match_id"] and server["state"] == "Allocated" and not server["gone"]:
            found[server["match_id"]] = "playing"
    return found
