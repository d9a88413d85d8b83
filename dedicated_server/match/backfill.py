"""Backfill, the game server's half: free slots of a running match are offered to the matchmaker, and new
players admitted.

Two small tasks run beside the ticks. One watches the slots. When the player of a slot will not come back, it
takes the slot from them and commits their result; the slot is offered only then. The other sends a backfill
request once a second and reads from the answer for whom slots are reserved: it checks these players out,
opens their slots, and tells the matchmaker that they are admitted. Until the matchmaker answers that they are
assigned, they can still be withdrawn. A matchmaker that does not answer costs new players and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import structlog

from dedicated_server.match.backfill_request import (
    CALL_TIMEOUT_S,
    BackfillProposal,
    BackfillRequests,
    BackfillSink,
    BackfillUnavailableError,
)
from dedicated_server.match.early_commits import RETRY_S, EarlyCommits, MetaService
from dedicated_server.match.events import MatchEvents
from dedicated_server.match.spec import BackfillTerms, MatchSpec
from dedicated_server.simulation.world import START_TICK
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.slots import DepartedPlayer
from launchday.clock import Clock
from meta_service.client import MetaClientError, MetaRefusedError, PlayerCommit

WATCH_PERIOD_S = 0.1  # between two looks at the slots: a few comparisons of arrays
REQUEST_PERIOD_S = 1.0  # between two requests; the matchmaker takes one that is 5 s overdue for stale
# Without an answer while a proposal is not assigned yet, stop sending after this time. The proposal's players
# are withdrawn this long after the last request, just before the matchmaker takes the server for dead and
# finds them another match.
SILENT_AFTER_S = 2.5
RELEASE_AFTER_S = 4.5
LEAVE_GRACE_S = 0.5  # until the death of a player who left has been emitted as one
CHECK_OUT_TIMEOUT_S = 2.0  # for the meta service, because a player waits for their match

log = structlog.get_logger()


class _ProposalState(Enum):
    CHECKING_OUT = auto()  # its players are being checked out
    ADMITTED = auto()  # their slots are open; as far as we know they have no connect tokens yet
    ASSIGNED = auto()  # they have their connect tokens


@dataclass(slots=True)
class _KnownProposal:
    """A proposal of the matchmaker, and how far its players are."""

    proposal: BackfillProposal
    state: _ProposalState


@dataclass(frozen=True, slots=True)
class Departure:
    """A player whose slot was taken from them, and the seconds that they had played."""

    player: DepartedPlayer
    played_s: float


class BackfillAgent:
    """Backfills one match.

    Args:
        spec, terms: the match, and the terms on which its slots are offered.
        server: this server's name.
        address: host, the one of the other family or "", and port, as connect tokens name this server.
        engine, events: the match as it is played.
        meta: leases and commits players.
        matchmaker: sends players.
        fences: the match's check-outs by player id; kept up to date here.
        counts: the match's counts of check-outs and commits, to which these are added.
        lease_s: seconds for which new players are checked out.
        return_s: seconds that a player who timed out has to come back.
        join_s: seconds that a player who was assigned has to come.
        clock: deadlines are monotonic; requests carry wall time.

    Attributes:
        departures: the players whose slots were taken from them, in order.
        match_closed: the meta service says that the match was given up.
    """

    def __init__(
        self,
        spec: MatchSpec,
        terms: BackfillTerms,
        server: str,
        address: tuple[str, str, int],
        *,
        engine: Engine,
        events: MatchEvents,
        meta: MetaService,
        matchmaker: BackfillSink,
        fences: dict[int, int],
        counts: dict[str, int],
        lease_s: float,
        return_s: float,
        join_s: float,
        clock: Clock,
    ) -> None:
        self._spec, self._server = spec, server
        self._until_s = terms.until_s
        self._requests = BackfillRequests(spec, terms, address, matchmaker)
        self._engine, self._events = engine, events
        self._meta = meta
        self._fences, self._counts = fences, counts
        self._lease_s, self._return_s, self._join_s = lease_s, return_s, join_s
        self._clock = clock
        self._early_commits = EarlyCommits(spec.match_id, meta, counts, clock)
        self._death_is_final = engine.config.card.respawn_s == 0
        self._proposals: dict[str, _KnownProposal] = {}
        self._rejected: list[str] = []  # proposals whose rejection the matchmaker has not confirmed yet
        self._excluded: set[int] = set()  # players who may not come (again) into this match
        self._expected: dict[int, int] = {}  # entity: tick at which its slot was given to a new player
        self._gone_since: dict[int, int] = {}  # entity: tick at which its player was first missed
        self._changed = asyncio.Event()
        self._answered_s = self._sent_s = clock.monotonic()
        self._requested = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.departures: list[Departure] = []
        self.match_closed = False

    @property
    def uncommitted(self) -> list[PlayerCommit]:
        """Results of departed players that the meta service has not taken yet."""
        return list(self._early_commits.pending.values())

    async def run(self, over: asyncio.Event) -> None:
        """Backfill until ``over`` is set. The match plays on whatever fails here."""
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(self._send_requests(), name="backfill requests")
                while not over.is_set() and not self._engine.over:
                    self._watch()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(over.wait(), WATCH_PERIOD_S)
                sending.cancel()
            await self._close()
        except Exception:
            log.exception("backfill has ended: a fault of the server")
        finally:
            for task in self._tasks:
                task.cancel()

    def _watch(self) -> None:
        engine, slots, tick = self._engine, self._engine.slots, self._engine.tick_number
        for entity in [entity for entity in self._expected if slots.has_joined(entity)]:
            del self._expected[entity]
            slots.backfilled += 1
            self._events.player_arrived(entity, tick)
        for known in self._proposals.values():
            if known.state is _ProposalState.ADMITTED and any(
                slots.has_joined(player.entity) for player in known.proposal.players
            ):
                known.state = _ProposalState.ASSIGNED  # they came with a connect token
        abandoned = slots.abandoned(played_in=not self._death_is_final).tolist()
        self._gone_since = {entity: self._gone_since.get(entity, tick) for entity in abandoned}
        if self._is_open():
            for entity in abandoned:
                if self._may_be_reassigned(entity, tick / engine.config.tick_hz):
                    self._release_slot(entity)
        if self._early_commits.is_due():
            self._start(self._commit_early())
        if self._is_cut_off() and self._clock.monotonic() - self._sent_s > RELEASE_AFTER_S:
            for known in [each for each in self._proposals.values() if each.state is _ProposalState.ADMITTED]:
                self._withdraw(known)
                self._rejected.append(known.proposal.proposal_id)

    def _is_cut_off(self) -> bool:
        """Whether there was no answer for so long that unassigned players may be sent to another match."""
        return bool(self._unassigned()) and self._clock.monotonic() - self._answered_s > SILENT_AFTER_S

    def _is_open(self) -> bool:
        """Whether slots are offered now."""
        engine = self._engine
        if not engine.match.started:
            return not engine.over
        played = engine.tick_number - int(engine.match.world.counters[START_TICK])
        return not engine.over and played < self._until_s * engine.config.tick_hz

    def _may_be_reassigned(self, entity: int, now_s: float) -> bool:
        """Whether the slot of a missing player may be given to another; ``now_s`` is seconds of ticks."""
        hz = self._engine.config.tick_hz
        if entity in self._expected:
            owner = self._engine.match.roster[entity].player_id
            assigned = all(
                known.state is _ProposalState.ASSIGNED
                for known in self._proposals.values()
                if any(player.player_id == owner for player in known.proposal.players)
            )
            return assigned and now_s - self._expected[entity] / hz >= self._join_s
        if not self._engine.slots.has_joined(entity):
            return True
        wait_s = LEAVE_GRACE_S if self._engine.slots.has_left(entity) else self._return_s
        return now_s - self._gone_since[entity] / hz >= wait_s

    def _release_slot(self, entity: int) -> None:
        """Take a slot from its player.

        Their connect token opens nothing any more, then they are committed, and then the slot is offered.
        """
        engine, tick = self._engine, self._gone_since[entity]
        joined = engine.slots.has_joined(entity)
        placement = int(engine.match.placements()[entity]) if joined else len(engine.match.roster)
        departed = engine.slots.release(entity)
        played_s = self._events.played_s(entity, tick, until_death=self._death_is_final) if joined else 0.0
        player_id = departed.player.player_id
        self._expected.pop(entity, None)
        self._excluded.add(player_id)
        self.departures.append(Departure(departed, played_s))
        fence = self._fences.pop(player_id)
        self._early_commits.add(PlayerCommit(player_id, fence, placement, departed.kills, played_s), entity)
        log.info("a slot is free", entity=entity, player_id=player_id, played_s=round(played_s, 1))

    async def _commit_early(self) -> None:
        if await self._early_commits.commit():
            self._changed.set()

    # --- requests -------------------------------------------------------------------------------------------

    def _free_slots(self) -> list[int]:
        if not self._is_open():
            return []
        coming = {
            player.entity
            for known in self._proposals.values()
            if known.state is _ProposalState.CHECKING_OUT
            for player in known.proposal.players
        }
        return [
            entity
            for entity in self._engine.slots.vacant().tolist()
            if not self._early_commits.is_pending(entity) and entity not in coming
        ]

    def _unassigned(self) -> list[_KnownProposal]:
        """Proposals whose players may not have their connect tokens yet."""
        return [known for known in self._proposals.values() if known.state is not _ProposalState.ASSIGNED]

    async def _send_requests(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), REQUEST_PERIOD_S)
            self._changed.clear()
            free = self._free_slots()
            if self._is_cut_off():
                continue
            try:
                if free or self._unassigned() or self._rejected:
                    self._requested = True
                    await self._request(free)
                elif self._requested:
                    await self._requests.close()
                    self._requested = False
            except BackfillUnavailableError as error:
                log.debug("the matchmaker does not answer", reason=str(error))

    async def _request(self, free: Sequence[int], over: bool = False) -> None:
        self._sent_s = self._clock.monotonic() + CALL_TIMEOUT_S  # at the latest
        rejected = list(self._rejected)
        answer = await self._requests.send(
            self._engine.match.roster,
            free,
            self._clock.wall(),
            admitted=[
                known.proposal.proposal_id
                for known in self._proposals.values()
                if known.state is _ProposalState.ADMITTED
            ],
            rejected=rejected,
            excluded=sorted(self._excluded),
            over=over,
        )
        self._answered_s = self._sent_s = self._clock.monotonic()
        self._rejected = [each for each in self._rejected if each not in rejected]
        self._apply_answer(answer, over)

    def _apply_answer(self, answer: list[BackfillProposal], over: bool) -> None:
        """Admit new proposals, note the assigned ones, withdraw those that the matchmaker no longer sends."""
        sent = {proposal.proposal_id: proposal for proposal in answer}
        for proposal_id, proposal in sent.items():
            known = self._proposals.get(proposal_id)
            if known is not None and proposal.state == "assigned":
                known.state = _ProposalState.ASSIGNED
            elif known is None and proposal.state == "offered" and not over:
                known = _KnownProposal(proposal, _ProposalState.CHECKING_OUT)
                self._proposals[proposal_id] = known
                self._start(self._check_out_players(known))
        for proposal_id, known in list(self._proposals.items()):
            if known.state is _ProposalState.ADMITTED and proposal_id not in sent:
                self._withdraw(known)

    # --- admitting and withdrawing --------------------------------------------------------------------------

    async def _check_out_players(self, known: _KnownProposal) -> None:
        """Check the players of a proposal out and open their slots: all of them or none."""
        proposal = known.proposal
        ids = [player.player_id for player in proposal.players]
        try:
            async with asyncio.timeout(CHECK_OUT_TIMEOUT_S):
                answer = await self._meta.check_out(
                    self._spec.match_id, self._server, self._spec.region, self._lease_s, ids
                )
        except MetaRefusedError as error:
            log.warning("new players were refused", players=ids, reason=str(error))
            self.match_closed |= error.kind == "match-closed"
            self._excluded.update(ids)
            self._reject(proposal.proposal_id)
            return
        except (MetaClientError, TimeoutError) as error:
            log.warning("new players could not be checked out", players=ids, reason=str(error) or "no answer")
            # we may hold their leases, and must not mistake them for another proposal's
            self._excluded.update(ids)
            self._reject(proposal.proposal_id)
            self._start(self._resolve_check_out(ids))
            return
        self._counts["checkouts"] += len(answer.checked_out)
        self._counts["checkouts_refused"] += len(answer.refused)
        for refusal in answer.refused:
            self._excluded.add(refusal.player_id)
            log.warning(
                "a new player was refused at the check-out",
                player_id=refusal.player_id,
                reason=refusal.reason,
            )
        self._fences.update({player.player_id: player.fence for player in answer.checked_out})
        if answer.refused or self._engine.over:
            self._reject(proposal.proposal_id)
            for leased in answer.checked_out:
                self._commit_unplayed(leased.player_id)
            return
        names = {leased.player_id: leased.display_name for leased in answer.checked_out}
        for player in proposal.players:
            self._engine.slots.assign(player.entity, player.player_id, names.get(player.player_id, ""))
            self._events.slot_reassigned(player.entity, player.player_id, player.waited_s)
            self._expected[player.entity] = self._engine.tick_number
            self._requests.widen_skill_range(player.skill)
        known.state = _ProposalState.ADMITTED
        self._changed.set()
        log.info("a slot is given", players=ids)

    async def _resolve_check_out(self, player_ids: list[int]) -> None:
        """Ask until it is known whom a check-out without an answer has leased to us, and commit those."""
        while True:
            await self._clock.sleep(RETRY_S)
            try:
                answer = await self._meta.check_out(
                    self._spec.match_id, self._server, self._spec.region, self._lease_s, player_ids
                )
            except MetaRefusedError as error:  # then nobody is leased to us
                self.match_closed |= error.kind == "match-closed"
                return
            except MetaClientError:
                continue
            self._counts["checkouts"] += len(answer.checked_out)
            self._fences.update({player.player_id: player.fence for player in answer.checked_out})
            for player in answer.checked_out:
                self._commit_unplayed(player.player_id)
            return

    def _reject(self, proposal_id: str) -> None:
        self._proposals.pop(proposal_id, None)
        self._rejected.append(proposal_id)
        self._changed.set()

    def _withdraw(self, known: _KnownProposal) -> None:
        """Close the slots of players who were never assigned, and commit them."""
        self._proposals.pop(known.proposal.proposal_id, None)
        for player in known.proposal.players:
            self._engine.slots.reclaim(player.entity)
            self._expected.pop(player.entity, None)
            self._commit_unplayed(player.player_id, player.entity)

    def _commit_unplayed(self, player_id: int, entity: int | None = None) -> None:
        """Commit a player who did not play."""
        last = len(self._engine.match.roster)
        self._early_commits.add(PlayerCommit(player_id, self._fences.pop(player_id), last, 0, 0.0), entity)

    async def _close(self) -> None:
        """Close the match to new players: withdraw those who were not assigned, and end the requests."""
        if not self._requested:
            return
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_OUT_TIMEOUT_S):
                    while any(
                        known.state is _ProposalState.CHECKING_OUT for known in self._proposals.values()
                    ):
                        await self._clock.sleep(WATCH_PERIOD_S)
            await self._request([], over=True)
        except BackfillUnavailableError as error:
            log.debug("the matchmaker does not answer", reason=str(error))
        for known in self._unassigned():
            if known.state is _ProposalState.ADMITTED:
                self._withdraw(known)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHECK_OUT_TIMEOUT_S):
                await self._early_commits.commit()
        if not self._early_commits.pending:  # otherwise the matchmaker forgets the match by itself
            with contextlib.suppress(BackfillUnavailableError):
                await self._requests.close()

    def _start(self, call: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the backfill failed", exc_info=error)
