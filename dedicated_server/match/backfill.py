"""Joiners: the free seats of a running match are offered to the matchmaker, and who is sent is let in.

Two small tasks beside the ticks. One watches: who has come, whose seat is free for good; it takes such a seat from its player, checks him in,
and only then the seat is offered. The other tells the matchmaker once a second which seats are free, and is told in answer who is reserved for
one: he is checked out, his seat is opened, and the matchmaker is told that he may come. Until it answers that he knows, he can
still be let go. A matchmaker that is away costs joiners and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol
from uuid import UUID

import structlog

from dedicated_server.match.backfill_request import CALL_TIMEOUT_S, BackfillRequests, BackfillSink
from dedicated_server.match.early_commits import RETRY_S, CommitService, EarlyCommits
from dedicated_server.match.events import MatchEvents
from dedicated_server.match.spec import BackfillTerms, MatchSpec
from dedicated_server.simulation.world import START_TICK
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.slots import DepartedPlayer
from matchmaker.client import BackfillProposal, MatchmakerClientError
from meta_service.client import CheckoutResponse, MetaClientError
from meta_service.client import PlayerCommit as Committed

WATCH_PERIOD_S = 0.1  # between two looks at the seats: a few comparisons of arrays
ANNOUNCE_PERIOD_S = 1.0  # between two announcements; one that is overdue for 5 s is stale to the matchmaker
SILENT_AFTER_S = 2.5  # without an answer while somebody does not know of his seat yet: then we fall silent, so that we are stale, and
RELEASE_AFTER_S = 4.5  # after our last word he is let go: just before the matchmaker takes us for dead and finds him another match
LEAVE_GRACE_S = 0.5  # until a death by leaving has been told as what it is
CHECK_OUT_TIMEOUT_S = 2.0  # for the meta service: somebody waits for his match

log = structlog.get_logger()


class MetaService(CommitService, Protocol):
    """The meta service, as joiners need it."""

    async def check_out(
        self, match_id: UUID, server: str, region: str, ttl_s: float, player_ids: list[int]
    ) -> CheckoutResponse:
        """Lease players."""


class _ProposalState(Enum):
    CHECKING_OUT = auto()  # being checked out
    RESERVED = auto()  # his seat is open; he does not know it yet, as far as we know
    ASSIGNED = auto()  # he has been given his connect token


@dataclass(slots=True)
class _KnownProposal:
    """Who is reserved for seats of ours, together."""

    proposal: BackfillProposal
    state: _ProposalState


@dataclass(frozen=True, slots=True)
class Departure:
    """A player who parted, and for how long he had played."""

    player: DepartedPlayer
    played_s: float


class BackfillAgent:
    """The joiners of one match.

    Args:
        order, terms: the match, and on what terms its seats are offered.
        server: this server's name.
        address: host and port, as connect tokens name this server.
        engine, events: of the match.
        meta, matchmaker: who is asked.
        fences: the match's check-outs by player id; kept up to date here.
        counts: the match's counts of check-outs and commits; added to.
        lease_s: seconds for which joiners are checked out.
        return_s: seconds that who timed out has to come back.
        join_s: seconds that who has been told has to come.
        rename: told of an entity's new player.
        now_s: Unix seconds.

    Attributes:
        left: who parted, in order.
    """

    def __init__(
        self,
        spec: MatchSpec,
        terms: BackfillTerms,
        server: str,
        address: tuple[str, int],
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
        on_reassigned: Callable[[int, int], None],
        now_s: Callable[[], float],
    ) -> None:
        self._spec, self._server = spec, server
        self._until_s = terms.until_s
        self._requests = BackfillRequests(spec, terms, address, matchmaker)
        self._engine, self._events = engine, events
        self._meta = meta
        self._fences, self._counts = fences, counts
        self._lease_s, self._return_s, self._join_s = lease_s, return_s, join_s
        self._rename, self._now_s = on_reassigned, now_s
        self._early_commits = EarlyCommits(spec.match_id, meta, counts, now_s)
        self._death_is_final = engine.match.mode.respawn_s == 0
        self._proposals: dict[str, _KnownProposal] = {}
        self._rejected: list[str] = []  # joinings that the matchmaker has still to be told of
        self._excluded: set[int] = set()  # players who may not (again) come into this match
        self._expected: dict[int, int] = {}  # entity → tick at which its seat was given
        self._gone_since: dict[int, int] = {}  # entity → tick at which its player was first missed
        self._changed = asyncio.Event()
        self._answered_s = self._sent_s = now_s()
        self._announced = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.departures: list[Departure] = []

    @property
    def uncommitted(self) -> list[Committed]:
        """Results of those who have no seat any more and could not be checked in yet."""
        return list(self._early_commits.pending.values())

    async def run(self, over: asyncio.Event) -> None:
        """Offer seats and let joiners in until ``over``. Whatever goes wrong here, the match goes on."""
        try:
            async with asyncio.TaskGroup() as tasks:
                announcing = tasks.create_task(self._announce_all(), name="openings")
                while not over.is_set() and not self._engine.over:
                    self._watch()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(over.wait(), WATCH_PERIOD_S)
                announcing.cancel()
            await self._close()
        except Exception:
            log.exception("no more joiners: a fault of the server")
        finally:
            for task in self._tasks:
                task.cancel()

    def _watch(self) -> None:
        engine, seats, tick = self._engine, self._engine.slots, self._engine.tick_number
        for entity in [entity for entity in self._expected if seats.has_joined(entity)]:
            del self._expected[entity]
            seats.backfilled += 1
            self._events.player_arrived(entity, tick)
        for taken in self._proposals.values():
            if taken.state is _ProposalState.RESERVED and any(
                seats.has_joined(seat.entity) for seat in taken.proposal.players
            ):
                taken.state = _ProposalState.ASSIGNED  # how else would he have come
        deserted = seats.abandoned(played_in=not self._death_is_final).tolist()
        self._gone_since = {entity: self._gone_since.get(entity, tick) for entity in deserted}
        if self._is_open():
            for entity in deserted:
                if self._may_be_reassigned(entity, tick / engine.config.tick_hz):
                    self._release_slot(entity)
        if self._early_commits.is_due():
            self._start(self._commit_early())
        if self._is_cut_off() and self._now_s() - self._sent_s > RELEASE_AFTER_S:
            for taken in [each for each in self._proposals.values() if each.state is _ProposalState.RESERVED]:
                self._withdraw(taken)
                self._rejected.append(taken.proposal.proposal_id)

    def _is_cut_off(self) -> bool:
        """Whether the matchmaker has not answered for so long that it may give those away who do not know of their seats yet."""
        return bool(self._unassigned()) and self._now_s() - self._answered_s > SILENT_AFTER_S

    def _is_open(self) -> bool:
        """Whether seats are offered now."""
        engine = self._engine
        if not engine.match.started:
            return not engine.over
        played = engine.tick_number - int(engine.match.world.counters[START_TICK])
        return not engine.over and played < self._until_s * engine.config.tick_hz

    def _may_be_reassigned(self, entity: int, now_s: float) -> bool:
        """Whether the seat of a player who is missing may be given away. Seconds are the engine's."""
        hz = self._engine.config.tick_hz
        if entity in self._expected:
            owner = self._engine.match.roster[entity].player_id
            told = all(
                taken.state is _ProposalState.ASSIGNED
                for taken in self._proposals.values()
                if any(seat.player_id == owner for seat in taken.proposal.players)
            )
            return told and now_s - self._expected[entity] / hz >= self._join_s
        if not self._engine.slots.has_joined(entity):
            return True
        patience_s = LEAVE_GRACE_S if self._engine.slots.has_left(entity) else self._return_s
        return now_s - self._gone_since[entity] / hz >= patience_s

    def _release_slot(self, entity: int) -> None:
        """Take a seat from its player. First his token opens nothing any more, then he is checked in, then the seat is offered."""
        engine, tick = self._engine, self._gone_since[entity]
        joined = engine.slots.has_joined(entity)
        placement = int(engine.match.placements()[entity]) if joined else len(engine.match.roster)
        parted = engine.slots.release(entity)
        played_s = self._events.played_s(entity, tick, until_death=self._death_is_final) if joined else 0.0
        player_id = parted.player.player_id
        self._expected.pop(entity, None)
        self._excluded.add(player_id)
        self.departures.append(Departure(parted, played_s))
        fence = self._fences.pop(player_id)
        self._early_commits.add(Committed(player_id, fence, placement, parted.kills, played_s), entity)
        log.info("a seat is free", entity=entity, player_id=player_id, played_s=round(played_s, 1))

    async def _commit_early(self) -> None:
        if await self._early_commits.commit():
            self._changed.set()

    # --- offering -----------------------------------------------------------------------------------------------------

    def _free_slots(self) -> list[int]:
        if not self._is_open():
            return []
        coming = {
            seat.entity
            for taken in self._proposals.values()
            if taken.state is _ProposalState.CHECKING_OUT
            for seat in taken.proposal.players
        }
        return [
            entity
            for entity in self._engine.slots.vacant().tolist()
            if not self._early_commits.is_pending(entity) and entity not in coming
        ]

    def _unassigned(self) -> list[_KnownProposal]:
        """Who may not have been told yet that he has a seat here."""
        return [taken for taken in self._proposals.values() if taken.state is not _ProposalState.ASSIGNED]

    async def _announce_all(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), ANNOUNCE_PERIOD_S)
            self._changed.clear()
            seats = self._free_slots()
            if self._is_cut_off():
                continue
            try:
                if seats or self._unassigned() or self._rejected:
                    self._announced = True
                    await self._announce(seats)
                elif self._announced:
                    await self._requests.close()
                    self._announced = False
            except MatchmakerClientError as error:
                log.debug("the matchmaker is away", reason=str(error))

    async def _announce(self, seats: Sequence[int], over: bool = False) -> None:
        self._sent_s = self._now_s() + CALL_TIMEOUT_S  # at the latest
        refused = list(self._rejected)
        answer = await self._requests.send(
            self._engine.match.roster,
            seats,
            self._now_s(),
            seated=[
                taken.proposal.proposal_id
                for taken in self._proposals.values()
                if taken.state is _ProposalState.RESERVED
            ],
            refused=refused,
            excluded=sorted(self._excluded),
            over=over,
        )
        self._answered_s = self._sent_s = self._now_s()
        self._rejected = [each for each in self._rejected if each not in refused]
        self._apply_answer(answer, over)

    def _apply_answer(self, answer: list[BackfillProposal], over: bool) -> None:
        """Let in who is new, note who has been told, and let go whom the matchmaker no longer sends."""
        sent = {joining.proposal_id: joining for joining in answer}
        for joining_id, joining in sent.items():
            known = self._proposals.get(joining_id)
            if known is not None and joining.state == "assigned":
                known.state = _ProposalState.ASSIGNED
            elif known is None and joining.state == "told" and not over:
                taken = self._proposals[joining_id] = _KnownProposal(joining, _ProposalState.CHECKING_OUT)
                self._start(self._check_out_players(taken))
        for joining_id, taken in list(self._proposals.items()):
            if taken.state is _ProposalState.RESERVED and joining_id not in sent:
                self._withdraw(taken)

    # --- letting in, and letting go -----------------------------------------------------------------------------------

    async def _check_out_players(self, taken: _KnownProposal) -> None:
        """Check joiners out and open their seats: all that come together, or none."""
        joining = taken.proposal
        ids = [seat.player_id for seat in joining.players]
        try:
            async with asyncio.timeout(CHECK_OUT_TIMEOUT_S):
                answer = await self._meta.check_out(
                    self._spec.match_id, self._server, self._spec.region, self._lease_s, ids
                )
        except (MetaClientError, TimeoutError) as error:
            log.warning("joiners could not be checked out", players=ids, reason=str(error) or "no answer")
            self._excluded.update(ids)  # we may have leased them, and must not take them for others
            self._reject(joining.proposal_id)
            self._start(self._resolve_check_out(ids))
            return
        self._counts["checkouts"] += len(answer.checked_out)
        self._counts["checkouts_refused"] += len(answer.refused)
        for refusal in answer.refused:
            self._excluded.add(refusal.player_id)
            log.warning(
                "a joiner was refused at the check-out", player_id=refusal.player_id, reason=refusal.reason
            )
        self._fences.update({player.player_id: player.fence for player in answer.checked_out})
        if answer.refused or self._engine.over:
            self._reject(joining.proposal_id)
            for player in answer.checked_out:
                self._commit_unplayed(player.player_id)
            return
        for seat in joining.players:
            self._engine.slots.assign(seat.entity, seat.player_id)
            self._events.slot_reassigned(seat.entity, seat.player_id, seat.waited_s)
            self._rename(seat.entity, seat.player_id)
            self._expected[seat.entity] = self._engine.tick_number
            self._requests.widen_skill_range(seat.skill)
        taken.state = _ProposalState.RESERVED
        self._changed.set()
        log.info("a seat is given", players=ids)

    async def _resolve_check_out(self, player_ids: list[int]) -> None:
        """Ask until it is known whom a check-out without an answer has leased to us, and check those in."""
        while True:
            await asyncio.sleep(RETRY_S)
            with contextlib.suppress(MetaClientError):
                answer = await self._meta.check_out(
                    self._spec.match_id, self._server, self._spec.region, self._lease_s, player_ids
                )
                self._counts["checkouts"] += len(answer.checked_out)
                self._fences.update({player.player_id: player.fence for player in answer.checked_out})
                for player in answer.checked_out:
                    self._commit_unplayed(player.player_id)
                return

    def _reject(self, joining_id: str) -> None:
        self._proposals.pop(joining_id, None)
        self._rejected.append(joining_id)
        self._changed.set()

    def _withdraw(self, taken: _KnownProposal) -> None:
        """Close the seats of joiners who were never told, and check them in."""
        self._proposals.pop(taken.proposal.proposal_id, None)
        for seat in taken.proposal.players:
            self._engine.slots.reclaim(seat.entity)
            self._expected.pop(seat.entity, None)
            self._commit_unplayed(seat.player_id, seat.entity)

    def _commit_unplayed(self, player_id: int, entity: int | None = None) -> None:
        """Check somebody in who did not play."""
        last = len(self._engine.match.roster)
        self._early_commits.add(Committed(player_id, self._fences.pop(player_id), last, 0, 0.0), entity)

    async def _close(self) -> None:
        """The match is decided: say so, let go who was not told, and be forgotten once they are checked in."""
        if not self._announced:
            return
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_OUT_TIMEOUT_S):
                    while any(
                        taken.state is _ProposalState.CHECKING_OUT for taken in self._proposals.values()
                    ):  # noqa: ASYNC110
                        await asyncio.sleep(WATCH_PERIOD_S)
            await self._announce([], over=True)
        except MatchmakerClientError as error:
            log.debug("the matchmaker is away", reason=str(error))
        for taken in self._unassigned():
            if taken.state is _ProposalState.RESERVED:
                self._withdraw(taken)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHECK_OUT_TIMEOUT_S):
                await self._early_commits.commit()
        if not self._early_commits.pending:  # else it is forgotten by itself
            with contextlib.suppress(MatchmakerClientError):
                await self._requests.close()

    def _start(self, call: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a joiner's task failed", exc_info=error)
