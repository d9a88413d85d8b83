"""The match loop: what the director that leads a queue does, cycle after cycle, from tickets to matches to
servers.

A cycle reads like this: read new tickets, settle who is on the way into a running match, form matches, hold
back those that no server is there for, claim the others' tickets, ask the players where the mode asks them,
and place. Placements go on beside the cycles that follow.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import structlog

from launchday.clock import Clock
from matchmaker.director.backfill import Backfill
from matchmaker.director.placement import Placement, PlacementOutcome
from matchmaker.matching.matcher import KernelMatcher, Matcher
from matchmaker.matching.pool import Pool, Rows
from matchmaker.matching.rule_set_matcher import RuleSetMatcher
from matchmaker.matching.team_balance import match_quality
from matchmaker.messages import QueueDepth
from matchmaker.queue.cache import asked_to_stop
from matchmaker.queue.queue import BackfillTerms, MatchProposal, Queue, QueueEntry
from matchmaker.rules.modes import SearchRules
from matchmaker.rules.rules import Rules
from matchmaker.tickets.ticket import binary_ids, text_ids

SERVER_RETRY_S = 0.5  # between two tries to get a server in a region that had none
MAX_CLAIMED = 32  # matches a round trip: those before are placed while the cache claims the next
DEPTH_PERIOD_S = 1.0  # between two reports of how long the queue is

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FormedMatch:
    """A formed match and the rows of its tickets, in order of their slots."""

    proposal: MatchProposal
    rows: Rows


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
    """

    def __init__(
        self,
        queue: Queue,
        rules: Rules | SearchRules,
        regions: Sequence[str],
        placement: Placement,
        clock: Clock,
        backfill: Backfill,
    ) -> None:
        self._backfill = backfill
        self._queue = queue
        self._rules = rules
        self._regions = regions
        self._placement = placement
        self._clock = clock
        self._seeds = clock.random("match-seed")
        # Monotonic seconds, by region that had no server at the last try.
        self._no_server_until: dict[str, float] = {}
        self._finished: list[bytes] = []  # stream entries of which nothing is left
        self._awaiting_acceptance: list[FormedMatch] = []  # matches whose players are still to accept them
        self._depth_due = -math.inf  # monotonic seconds
        self.pool = Pool(len(regions))
        self._matcher: Matcher = (
            KernelMatcher(rules) if isinstance(rules, Rules) else RuleSetMatcher(rules, regions, clock)
        )

    async def serve(self, period_s: float) -> None:
        """Run cycles until cancelled.

        Raises LeaseLostError once another director leads, and the cache's errors.
        """
        async with asyncio.TaskGroup() as placements:
            await self.recover(placements)
            while not asked_to_stop():
                await self.cycle(placements)
                await self._clock.sleep(period_s)
            raise asyncio.CancelledError  # an exception, so that the placements end with the cycles

    async def cycle(self, placements: asyncio.TaskGroup) -> None:
        """One matching cycle. Placements go on beside the cycles that follow."""
        self._add_entries(await self._queue.read_new())
        now = self._clock.now()
        self._drop(await self._backfill.settle(self.pool, now))
        formed = await self._form(now)
        wanted, claimed = self._worth_proposing(formed), 0
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
        await self._publish_depth(now, len(formed) - claimed)
        finished, self._finished = self._finished, []
        await self._queue.acknowledge(finished)

    async def recover(self, placements: asyncio.TaskGroup) -> None:
        """Take over what the director before this one left: its tickets, and its matches without a server."""
        proposals = await self._queue.proposals()
        self._add_entries(await self._queue.read_unfinished())
        rows = np.flatnonzero(self.pool.state)
        live = await self._queue.live(text_ids(self.pool.ticket_id[rows]))
        self._drop(rows[~live])
        for proposal in proposals:
            held = self.pool.find(binary_ids(proposal.ticket_ids))
            self.pool.hold(held)
            if proposal.accept_by is None:
                placements.create_task(self._place(FormedMatch(proposal, held)))
            else:
                self._awaiting_acceptance.append(FormedMatch(proposal, held))
        await self._backfill.recover(self.pool)
        if len(rows):
            log.info("took over", mode=self._rules.mode, tickets=int(live.sum()), matches=len(proposals))

    def _add_entries(self, entries: list[QueueEntry]) -> None:
        for entry in entries:
            if len(entry.records):
                rows = self.pool.add(entry.entry_id, entry.records, entry.attributes)
                self._matcher.add_tickets(rows, entry.attributes)
            elif len(entry.backdated[0]):
                self._finished += self.pool.backdate(entry.entry_id, *entry.backdated)
            else:
                self._drop(self.pool.find(entry.gone))
                self._finished.append(entry.entry_id)

    def _drop(self, rows: Rows) -> None:
        self._finished += self.pool.remove(rows)

    async def _form(self, now: float) -> list[FormedMatch]:
        """Return all matches that can be formed, the one with the oldest ticket first; claim what running
        matches get.
        """
        formed = await self._matcher.match(
            self.pool, now, self._seeds.getrandbits(31), self._backfill.open_slots()
        )
        for reason, rows in formed.unmatchable.items():
            await self._queue.fail_tickets(text_ids(self.pool.ticket_id[rows]), reason)
            self._drop(rows)
        self._drop(await self._backfill.claim(formed.backfill, self.pool, now))
        match_of, team_of = formed.match_of, formed.team_of
        by_match = np.lexsort((team_of, match_of))
        by_match = by_match[np.searchsorted(match_of[by_match], 0) :]
        ends = np.cumsum(np.bincount(match_of[by_match], minlength=len(formed.region_of)))
        places = np.split(by_match, ends[:-1]) if len(ends) else []
        matches = [
            self._match(formed.rows[at], team_of[at].tolist(), int(region), now)
            for at, region in zip(places, formed.region_of, strict=True)
        ]
        return sorted(matches, key=lambda match: min(match.proposal.enqueued_at))

    def _match(self, rows: Rows, teams: list[int], region: int, now: float) -> FormedMatch:
        accept_s = self._rules.accept_s
        # One team of all is battle royale: each against all.
        teams = list(range(len(rows))) if self._rules.teams == 1 else teams
        proposal = MatchProposal(
            match_id=str(self._clock.uuid()),
            mode=self._rules.mode,
            region=self._regions[region],
            seed=self._seeds.getrandbits(31),
            match_s=self._rules.match_s,
            formed_at=now,
            ticket_ids=text_ids(self.pool.ticket_id[rows]),
            player_ids=self.pool.player_id[rows].tolist(),
            enqueued_at=self.pool.enqueued_at[rows].tolist(),
            latency_ms=self.pool.latency_ms[rows, region].tolist(),
            teams=teams,
            accept_by=now + accept_s if accept_s else None,
            game_mode=self._rules.game_mode,
            backfill=self._backfill_terms(rows),
        )
        return FormedMatch(proposal, rows)

    def _backfill_terms(self, rows: Rows) -> BackfillTerms | None:
        rules, skill = self._rules, self.pool.skill[rows]
        if rules.backfill_until == 0.0:
            return None
        return BackfillTerms(
            queue=rules.mode,
            until_s=rules.backfill_until * rules.match_s,
            group=int(self.pool.group[rows].max()),  # above 0 where anybody keeps to their platform
            skill_lowest=float(skill.min()),
            skill_highest=float(skill.max()),
        )

    async def _accepted_matches(self, now: float) -> list[FormedMatch]:
        """Matches that all of their players have accepted; those whose time is up are given up."""
        counts = await self._queue.accepted([match.proposal.match_id for match in self._awaiting_acceptance])
        agreed, waiting = [], []
        for match, count in zip(self._awaiting_acceptance, counts, strict=True):
            if count >= len(match.proposal.ticket_ids):
                agreed.append(match)
            elif now <= (match.proposal.accept_by or 0.0):
                waiting.append(match)
            else:
                ended = set(await self._queue.decline(match.proposal))
                gone = binary_ids(
                    [id_ for place, id_ in enumerate(match.proposal.ticket_ids) if place in ended]
                )
                self.pool.release(match.rows)
                self._drop(self.pool.find(gone))
        self._awaiting_acceptance = waiting
        return agreed

    async def _publish_depth(self, now: float, without_server: int) -> None:
        if self._clock.monotonic() < self._depth_due:
            return
        self._depth_due = self._clock.monotonic() + DEPTH_PERIOD_S
        rows = self.pool.searching(now)
        players = np.zeros(len(self._regions), np.int64)
        if len(rows) and len(self._regions):
            nearest = np.where(np.isnan(self.pool.latency_ms[rows]), np.inf, self.pool.latency_ms[rows])
            players = np.bincount(nearest.argmin(axis=1), minlength=len(self._regions))
        oldest_s = now - float(self.pool.enqueued_at[rows].min()) if len(rows) else 0.0
        searching = dict(zip(self._regions, players.tolist(), strict=True))
        await self._queue.publish_depth(
            QueueDepth(now, searching, without_server, round(max(0.0, oldest_s), 3))
        )

    def _worth_proposing(self, matches: list[FormedMatch]) -> list[FormedMatch]:
        """Leave out matches in regions that have no server: there the oldest match alone asks again, now and
        then.
        """
        wanted, now = [], self._clock.monotonic()
        for match in matches:
            no_server_until = self._no_server_until.get(match.proposal.region)
            if no_server_until is not None:
                if now < no_server_until:
                    continue
                self._no_server_until[match.proposal.region] = now + SERVER_RETRY_S
            wanted.append(match)
        return wanted

    async def _propose(self, matches: list[FormedMatch]) -> list[FormedMatch]:
        """Claim the matches' tickets; return the matches that could be claimed."""
        if not matches:
            return []
        claimed = []
        matches = [self._with_quality(match) for match in matches]
        answers = await self._queue.propose([match.proposal for match in matches])
        for match, gone in zip(matches, answers, strict=True):
            if gone:
                self._drop(match.rows[gone])  # the others are matched anew in the next cycle
            else:
                self.pool.hold(match.rows)
                claimed.append(match)
        return claimed

    def _with_quality(self, match: FormedMatch) -> FormedMatch:
        """Return a match with its quality; of those alone that are proposed: while servers are short most are
        formed in vain.
        """
        proposal, rows = match.proposal, match.rows
        quality = match_quality(self.pool.skill[rows], self.pool.skill_deviation[rows], proposal.teams)
        return FormedMatch(msgspec.structs.replace(proposal, quality=quality), rows)

    async def _place(self, match: FormedMatch) -> None:
        outcome = await self._placement.place(match.proposal, self.pool.requeue_record(match.rows))
        region = match.proposal.region
        if outcome in (PlacementOutcome.ASSIGNED, PlacementOutcome.FAILED):
            self._drop(match.rows)
            self._no_server_until.pop(region, None)
            return
        self.pool.release(match.rows)
        if outcome is PlacementOutcome.UNREACHABLE:
            return  # there are servers: the next one may answer
        if region not in self._no_server_until:
            log.warning("no server, waiting", region=region, outcome=outcome.name)
        self._no_server_until[region] = self._clock.monotonic() + SERVER_RETRY_S
