"""Why tickets wait: the director answers who asks, one at a time, beside the matching.

A question comes along with a cycle's new tickets. The cycle copies the tickets that an answer needs, which
takes some milliseconds of a pool of 100,000; the rest is done in a thread, and then there is a pause as long
as that took. Nobody asks, nothing is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray
from redis.exceptions import RedisError

from launchday.clock import Clock
from matchmaker.matching.pool import SEARCHING, Pool, Rows
from matchmaker.plans.why import explain_ticket
from matchmaker.queue.queue import Queue
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer
from matchmaker.rules.modes import SearchRules
from matchmaker.rules.rules import RATING, Rules
from matchmaker.tickets.ticket import RecordFormat, binary_ids, text_ids

MAX_TICKETS = 2_000  # that are looked at: half of them the nearest in skill, half the oldest
MIN_PAUSE_S = 0.25

NOT_KNOWN = "the queue's director has not read the ticket yet"
HELD = "the ticket is held back: its match is being claimed, or its players were refused a moment ago"
NOT_READABLE = "the ticket does not suit the rules as they are now, or its party is not whole"
AT_FAULT = "the director could not find out; its log says why"

Explain = Callable[..., dict[str, Any]]

log = structlog.get_logger()


class Snapshot(NamedTuple):
    """Tickets of a pool, copied for a thread.

    Attributes:
        records: in RecordFormat, [N], parties together.
        attributes: of each as JSON; empty where the rules read nothing.
        ticket_id: which is asked about.
        now: Unix seconds.
    """

    records: NDArray[np.void]
    attributes: Sequence[str]
    ticket_id: str
    now: float


class WhyAnswers:
    """Answers for one queue.

    Args:
        queue: where the answers go.
        rules, regions: the queue's.
        clock: runs an explanation in a thread, and paces them.
        explain: says why, as ``matchmaker.plans.why.explain_ticket``.
    """

    def __init__(
        self,
        queue: Queue,
        rules: Rules | SearchRules,
        regions: Sequence[str],
        clock: Clock,
        explain: Explain = explain_ticket,
    ) -> None:
        self._queue = queue
        self._rules = rules
        self._regions = list(regions)
        self._clock = clock
        self._explain = explain
        self._busy = False
        self._rested = 0.0  # monotonic seconds

    def wanted(self) -> int:
        """How many questions can be answered now: 0 or 1."""
        return int(not self._busy and self._clock.monotonic() >= self._rested)

    def answer(self, pool: Pool, asked: Sequence[str], now: float, tasks: asyncio.TaskGroup) -> None:
        """Begin to answer what was asked, in a task; ``now`` is Unix seconds. Nothing asked: nothing done."""
        for ticket_id in asked[:1]:
            self._busy = True
            tasks.create_task(self._answer(ticket_id, _snapshot(pool, ticket_id, now)))

    async def _answer(self, ticket_id: str, seen: Snapshot | str) -> None:
        begun = self._clock.monotonic()
        try:
            told = await self._clock.run_in_thread(self._told, seen)
            await self._queue.tell_why(ticket_id, told)
        except RedisError as error:
            log.warning("nobody was told why a ticket waits", ticket_id=ticket_id, error=str(error))
        finally:
            ended = self._clock.monotonic()
            self._rested = ended + max(MIN_PAUSE_S, ended - begun)
            self._busy = False

    def _told(self, seen: Snapshot | str) -> bytes:
        """What is told, as JSON: in a thread, and whatever goes wrong is no more than that."""
        if isinstance(seen, str):
            return _said(seen)
        try:
            tickets, group, platform, asked = tickets_of(seen, self._rules, self._regions)
            if asked is None:
                return _said(NOT_READABLE)
            why = self._explain(self._rules, tickets, asked, seen.now, group=group, platform=platform)
            says = why.get("reason") or ("it has a match now" if why.get("matched") else "")
            return _said(says, why)
        except Exception:  # the queue goes on whatever an explanation comes to
            log.exception("no explanation", mode=self._rules.mode, ticket_id=seen.ticket_id)
            return _said(AT_FAULT)


def _said(says: str, why: dict[str, Any] | None = None) -> bytes:
    return msgspec.json.encode({"says": says, "why": why})


def _snapshot(pool: Pool, ticket_id: str, now: float) -> Snapshot | str:
    """The tickets that an answer needs, or the answer itself."""
    try:
        found = pool.find(binary_ids([ticket_id])).tolist()
    except ValueError:  # no id at all: damaged in the cache
        found = []
    if not found:
        return NOT_KNOWN
    [own] = found
    if pool.state[own] != SEARCHING:
        return HELD
    rows = _nearest(pool, own, pool.searching(now))
    kept = pool.requeue_record(rows)
    records = RecordFormat(pool.latency_ms.shape[1]).unpack(kept.records)
    return Snapshot(records, kept.attributes, ticket_id, now)


def _nearest(pool: Pool, own: int, rows: Rows) -> Rows:
    """The rows that are looked at, parties whole and together: all, or half the nearest in skill and half the
    oldest.
    """
    if len(rows) > MAX_TICKETS:
        half = MAX_TICKETS // 2
        distance = np.abs(pool.skill[rows] - pool.skill[own])
        near = np.argpartition(distance, half)[:half]
        old = np.argpartition(pool.enqueued_at[rows], half)[:half]
        chosen = np.union1d(rows[np.union1d(near, old)], [own])
        parties = np.unique(pool.party[chosen])
        rows = np.union1d(chosen, rows[np.isin(pool.party[rows], parties[parties != 0])])
    return rows[np.lexsort((pool.player_id[rows], pool.party[rows]))]


def tickets_of(
    seen: Snapshot, rules: Rules | SearchRules, regions: Sequence[str]
) -> tuple[list[FlexMatchTicket], list[int], list[int], str | None]:
    """Return tickets as rules read them, a party being one: each ticket, its group, its platform; and the id
    of the one that the question is about, None where it cannot be read.
    """
    tickets: list[FlexMatchTicket] = []
    group: list[int] = []
    platform: list[int] = []
    asked: str | None = None
    ids = text_ids(seen.records["ticket_id"])
    begin = 0
    while begin < len(ids):
        head = seen.records[begin]
        end = begin + 1
        while head["party"] and end < len(ids) and seen.records[end]["party"] == head["party"]:
            end += 1
        players = [_player(seen, at, rules, regions) for at in range(begin, end)]
        whole = [player for player in players if player is not None]
        if len(whole) == end - begin and (not head["party"] or end - begin == head["party_size"]):
            start = float(seen.records["enqueued_at"][begin:end].max())
            tickets.append(FlexMatchTicket(ids[begin], start, tuple(whole)))
            group.append(int(head["group"]))
            platform.append(int(head["platform"]))
            if seen.ticket_id in ids[begin:end]:
                asked = ids[begin]
        begin = end
    return tickets, group, platform, asked


def _player(
    seen: Snapshot, at: int, rules: Rules | SearchRules, regions: Sequence[str]
) -> TicketPlayer | None:
    record = seen.records[at]
    rating = float(record["skill_mean"])
    attributes: Any = {RATING: rating}
    if isinstance(rules, SearchRules):
        try:
            attributes = rules.attributes.read(seen.attributes[at] if seen.attributes else "", rating)
        except (TypeError, ValueError, LookupError):  # damaged in the cache
            return None
        if attributes is None:
            return None
    near = {
        region: value
        for region, value in zip(regions, record["latency_ms"].tolist(), strict=True)
        if value <= rules.max_latency_ms
    }
    return TicketPlayer(str(record["player_id"]), None, attributes, near)
