"""The match loop: what the director that leads a queue does, cycle after cycle, from tickets to matches to
servers.

A cycle reads like this: read new tickets, settle who is on the way into a running match, form matches, hold
back those that no server is there for, claim the others' tickets, ask the players where the mode asks them,
and place. Placements go on beside the cycles that follow, and the lease is renewed beside them all: a search
may take longer than it lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import numpy as np
import structlog

from launchday.clock import Clock
from matchmaker.director import metrics
from matchmaker.director.backfill import Backfill
from matchmaker.director.depth import DepthReport
from matchmaker.director.formed_match import FormedMatch, MatchMaking
from matchmaker.director.openings import FleetOpenings
from matchmaker.director.placement import Placed, Placement, PlacementOutcome
from matchmaker.director.region_waits import RegionWaits
from matchmaker.director.resting import Resting
from matchmaker.director.why import WhyAnswers
from matchmaker.matching.matcher import KernelMatcher, Matcher
from matchmaker.matching.pool import HELD, Pool, Rows
from matchmaker.matching.rule_set_matcher import RuleSetMatcher
from matchmaker.queue.cache import asked_to_stop
from matchmaker.queue.entries import QueueEntry
from matchmaker.queue.proposals import UnreadableProposal
from matchmaker.queue.queue import CLOSING, Queue
from matchmaker.rules.modes import SearchRules
from matchmaker.rules.rules import Rules
from matchmaker.tickets.ticket import binary_ids, text_ids

MAX_CLAIMED = 32  # matches a round trip: those before are placed while the cache claims the next
UNREADABLE_REASON = "the ticket could not be read: make a new one"

log = structlog.get_logger()


class MatchLoop:
    """The cycles of the director that leads one queue, until it leads no more.

    Args:
        queue: the queue, with the director's fencing token.
        rules: the mode's rules.
        regions: the fleet's regions.
        placement: places matches.
        clock: ages count by its wall time, the loop's own waits by its monotonic time; draws match ids and
            seeds.
        backfill: fills running matches.
        lease_s: seconds for which the lead is held; it is renewed thrice in that time.
        openings: says when the fleet has a server again; None: nobody does.

    Attributes:
        cycles: that it has served.
        pool: the tickets that search.
    """

    def __init__(
        self,
        queue: Queue,
        rules: Rules | SearchRules,
        regions: Sequence[str],
        placement: Placement,
        clock: Clock,
        backfill: Backfill,
        *,
        lease_s: float,
        openings: FleetOpenings | None = None,
    ) -> None:
        self._openings = openings
        self._backfill = backfill
        self._queue = queue
        self._rules = rules
        self._placement = placement
        self._clock = clock
        self._lease_s = lease_s
        self._finished: list[bytes] = []  # stream entries of which nothing is left
        self._awaiting_acceptance: list[FormedMatch] = []  # matches whose players are still to accept them
        self._making = MatchMaking(rules, regions, clock)
        self._waits = RegionWaits(clock)
        self._depth = DepthReport(queue, rules.mode, regions, self._waits, clock)
        self.pool = Pool(len(regions))
        self.cycles = 0
        self._resting = Resting(self.pool, clock)
        self._why = WhyAnswers(queue, rules, regions, clock)
        self._matcher: Matcher = (
            KernelMatcher(rules) if isinstance(rules, Rules) else RuleSetMatcher(rules, regions, clock)
        )

    async def serve(self, period_s: float) -> None:
        """Run cycles until cancelled.

        Raises LeaseLostError once another director leads, and the cache's errors.
        """
        heard = self._openings.heard_by(self._waits) if self._openings else contextlib.nullcontext()
        with heard:
            await self._serve(period_s)

    async def _serve(self, period_s: float) -> None:
        async with asyncio.TaskGroup() as placements:
            placements.create_task(self._keep_lead())
            await self.recover(placements)
            while not asked_to_stop():
                with metrics.cycle_duration.labels(self._rules.mode).time():
                    await self.cycle(placements)
                self.cycles += 1
                await self._clock.sleep(period_s)
            raise asyncio.CancelledError  # an exception, so that the placements end with the cycles

    async def cycle(self, placements: asyncio.TaskGroup) -> None:
        """One matching cycle. Placements go on beside the cycles that follow."""
        await self._add_entries(await self._queue.read_new(self._why.wanted()))
        now = self._clock.now()
        self._why.answer(self.pool, self._queue.asked, now, placements)
        self._drop(await self._backfill.settle(self.pool, now))
        self._resting.wake()
        formed = await self._form(now)
        wanted, claimed = [match for match in formed if self._waits.may_ask(match.proposal.region)], 0
        to_accept = []
        for begin in range(0, len(wanted), MAX_CLAIMED):
            for match in await self._propose(wanted[begin : begin + MAX_CLAIMED]):
                claimed += 1
                if match.proposal.accept_by is None:
                    placements.create_task(self._place(match))
                else:
                    to_accept.append(match)
        for match in await self._accepted_matches(now):
            placements.create_task(self._place(match))
        self._awaiting_acceptance += to_accept
        await self._depth.publish(self.pool, now, len(formed) - claimed)
        finished, self._finished = self._finished, []
        await self._queue.acknowledge(finished)

    async def recover(self, placements: asyncio.TaskGroup) -> None:
        """Take over what the director before this one left: its tickets, and its matches without a server."""
        proposals, unreadable = await self._queue.proposals()
        await self._add_entries(await self._queue.read_unfinished())
        rows = np.flatnonzero(self.pool.state)
        live = await self._queue.live(text_ids(self.pool.ticket_id[rows]))
        self._drop(rows[~live])
        counts = await self._queue.accepted([proposal.match_id for proposal in proposals])
        for proposal, count in zip(proposals, counts, strict=True):
            held = self.pool.find(binary_ids(proposal.ticket_ids))
            self.pool.hold(held)
            match, closing = FormedMatch(proposal, held), count <= CLOSING
            if proposal.accept_by is None or count >= len(proposal.ticket_ids) or closing:
                placements.create_task(self._place(match, recovered=True, closing=closing))
            else:
                self._awaiting_acceptance.append(match)
        for damaged in unreadable:
            metrics.unreadable.labels(self._rules.mode, "match").inc()
            placements.create_task(self._abandon(damaged))
        await self._backfill.recover(self.pool)
        if len(rows):
            log.info("took over", mode=self._rules.mode, tickets=int(live.sum()), matches=len(proposals))

    async def _abandon(self, damaged: UnreadableProposal) -> None:
        held = self.pool.find(binary_ids(damaged.ticket_ids))
        self.pool.hold(held)
        await self._placement.abandon(damaged)
        self.pool.release(held)

    async def _keep_lead(self) -> None:
        while True:
            await self._clock.sleep(self._lease_s / 3)
            await self._queue.renew_lease()

    async def _add_entries(self, entries: list[QueueEntry]) -> None:
        for entry in entries:
            if len(entry.records):
                rows = self.pool.add(entry.entry_id, entry.records, entry.attributes)
                self._matcher.add_tickets(rows, entry.attributes)
            elif len(entry.backdated[0]):
                self._finished += self.pool.backdate(entry.entry_id, *entry.backdated)
            else:
                self._drop(self.pool.find(entry.gone))
                self._finished.append(entry.entry_id)
            if entry.fault or len(entry.unreadable):
                metrics.unreadable.labels(self._rules.mode, "entry" if entry.fault else "ticket").inc()
            if len(entry.unreadable):
                ids = text_ids(entry.unreadable)
                log.error("tickets cannot be read", mode=self._rules.mode, tickets=ids)
                await self._queue.fail_tickets(ids, UNREADABLE_REASON)

    def _drop(self, rows: Rows) -> None:
        self._finished += self.pool.remove(rows)

    async def _form(self, now: float) -> list[FormedMatch]:
        """Return all matches that can be formed, the one with the oldest ticket first; claim what running
        matches get.
        """
        found = await self._matcher.match(
            self.pool, now, self._making.seed(), self._backfill.open_slots(self.pool)
        )
        for reason, rows in found.unmatchable.items():
            await self._queue.fail_tickets(text_ids(self.pool.ticket_id[rows]), reason)
            self._drop(rows)
        self._drop(await self._backfill.claim(found.backfill, self.pool, now))
        self._depth.cut = found.cut
        return self._making.proposals(self.pool, found, now)

    async def _accepted_matches(self, now: float) -> list[FormedMatch]:
        """Matches that all of their players have accepted; those that somebody declined, or whose time is up,
        are given up.
        """
        counts = await self._queue.accepted([match.proposal.match_id for match in self._awaiting_acceptance])
        agreed, waiting = [], []
        for match, count in zip(self._awaiting_acceptance, counts, strict=True):
            if count >= len(match.proposal.ticket_ids):
                agreed.append(match)
                continue
            due = count < 0 or now > (match.proposal.accept_by or 0.0)
            ended = await self._queue.decline(match.proposal) if due else None
            if ended is None:
                waiting.append(match)
            else:
                self._search_again(match, ended)
        self._awaiting_acceptance = waiting
        return agreed

    async def _propose(self, matches: list[FormedMatch]) -> list[FormedMatch]:
        """Claim the matches' tickets; return the matches that could be claimed."""
        if not matches:
            return []
        claimed = []
        matches = [match.with_quality(self.pool) for match in matches]
        answers = await self._queue.propose([match.proposal for match in matches])
        for match, gone in zip(matches, answers, strict=True):
            if gone:
                self._drop(match.rows[gone])  # the others are matched anew in the next cycle
            else:
                self.pool.hold(match.rows)
                claimed.append(match)
        metrics.matches_formed.labels(self._rules.mode).inc(len(claimed))
        return claimed

    async def _place(self, match: FormedMatch, *, recovered: bool = False, closing: bool = False) -> None:
        record = self.pool.requeue_record(match.rows)
        self._depth.placing += 1
        asked_at = self._clock.monotonic()
        try:
            placed = await self._placement.place(match.proposal, record, recovered=recovered, closing=closing)
        finally:
            self._depth.placing -= 1
        if placed.tickets is None:
            self._drop(match.rows)
        elif placed.outcome is PlacementOutcome.PLAYERS_REFUSED:
            self._drop_ended(match, placed.tickets.ended)
            kept = self._kept(match, placed.tickets.ended)
            self._resting.rest(kept, placed.tickets.refusals)
        else:
            self._search_again(match, placed.tickets.ended)
        self._note(match.proposal.region, placed, asked_at)

    def _note(self, region: str, placed: Placed, asked_at: float) -> None:
        """What a placement that began at ``asked_at`` (monotonic seconds) says about its region."""
        if placed.why:
            self._depth.given_up[placed.why] += 1
        match placed.outcome:
            case PlacementOutcome.ASSIGNED | PlacementOutcome.FAILED:
                self._waits.answered(region)
            case PlacementOutcome.NO_SERVER | PlacementOutcome.FLEET_UNAVAILABLE:
                self._waits.no_server(region, placed.reason, placed.retry_after_s, asked_at=asked_at)
            case PlacementOutcome.UNREACHABLE:
                self._waits.silent(region, placed.reason)
            case PlacementOutcome.PLAYERS_REFUSED:
                pass  # the region's servers are well; these players rest

    def _search_again(self, match: FormedMatch, ended: Sequence[int]) -> None:
        """The match's tickets search again, but for those at the places ``ended``."""
        # Those of a match that a player declined search again before the director reads it, and may have left
        # since: their rows are free, or another ticket's.
        ids = binary_ids(match.proposal.ticket_ids)
        rows = match.rows[np.isin(self.pool.ticket_id[match.rows, 1], ids[:, 1])]
        self.pool.release(rows[self.pool.state[rows] == HELD])
        self._drop_ended(match, ended)

    def _drop_ended(self, match: FormedMatch, ended: Sequence[int]) -> None:
        if ended:
            self._drop(self.pool.find(binary_ids([match.proposal.ticket_ids[place] for place in ended])))

    @staticmethod
    def _kept(match: FormedMatch, ended: Sequence[int]) -> list[str]:
        gone = set(ended)
        return [id_ for place, id_ in enumerate(match.proposal.ticket_ids) if place not in gone]
