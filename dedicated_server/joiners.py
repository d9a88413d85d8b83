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

from dedicated_server.check_ins import RETRY_S, CheckIns, Commits
from dedicated_server.engine import Engine
from dedicated_server.match_annotation import BackfillTerms, MatchOrder
from dedicated_server.match_events import MatchEvents
from dedicated_server.openings import CALL_S, Matchmaker, Openings
from dedicated_server.seats import Parted
from dedicated_server.simulation.world import START_TICK
from matchmaker.client import Joining, MatchmakerClientError
from meta_service.client import Checkout, MetaClientError
from meta_service.client import PlayerResult as Committed

WATCH_S = 0.1  # between two looks at the seats: a few comparisons of arrays
ANNOUNCE_S = 1.0  # between two announcements; one that is overdue for 5 s is stale to the matchmaker
CUT_OFF_S = 2.5  # without an answer while somebody does not know of his seat yet: then we fall silent, so that we are stale, and
LET_GO_S = 4.5  # after our last word he is let go: just before the matchmaker takes us for dead and finds him another match
GOODBYE_S = 0.5  # until a death by leaving has been told as what it is
CHECK_OUT_S = 2.0  # for the meta service: somebody waits for his match

log = structlog.get_logger()


class Meta(Commits, Protocol):
    """The meta service, as joiners need it."""

    async def check_out(
        self, match_id: UUID, server: str, region: str, ttl_s: float, player_ids: list[int]
    ) -> Checkout:
        """Lease players."""


class _State(Enum):
    TAKING = auto()  # being checked out
    SEATED = auto()  # his seat is open; he does not know it yet, as far as we know
    TOLD = auto()  # he has been given his connect token


@dataclass(slots=True)
class _Taken:
    """Who is reserved for seats of ours, together."""

    joining: Joining
    state: _State


@dataclass(frozen=True, slots=True)
class Left:
    """A player who parted, and for how long he had played."""

    parted: Parted
    played_s: float


class Joiners:
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
        order: MatchOrder,
        terms: BackfillTerms,
        server: str,
        address: tuple[str, int],
        *,
        engine: Engine,
        events: MatchEvents,
        meta: Meta,
        matchmaker: Matchmaker,
        fences: dict[int, int],
        counts: dict[str, int],
        lease_s: float,
        return_s: float,
        join_s: float,
        rename: Callable[[int, int], None],
        now_s: Callable[[], float],
    ) -> None:
        self._order, self._server = order, server
        self._until_s = terms.until_s
        self._openings = Openings(order, terms, address, matchmaker)
        self._engine, self._events = engine, events
        self._meta = meta
        self._fences, self._counts = fences, counts
        self._lease_s, self._return_s, self._join_s = lease_s, return_s, join_s
        self._rename, self._now_s = rename, now_s
        self._check_ins = CheckIns(order.match_id, meta, counts, now_s)
        self._dead_is_dead = engine.match.mode.respawn_s == 0
        self._taken: dict[str, _Taken] = {}
        self._refused: list[str] = []  # joinings that the matchmaker has still to be told of
        self._excluded: set[int] = set()  # players who may not (again) come into this match
        self._expected: dict[int, int] = {}  # entity → tick at which its seat was given
        self._gone_since: dict[int, int] = {}  # entity → tick at which its player was first missed
        self._news = asyncio.Event()
        self._answered_s = self._said_s = now_s()
        self._announced = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.left: list[Left] = []

    @property
    def uncommitted(self) -> list[Committed]:
        """Results of those who have no seat any more and could not be checked in yet."""
        return list(self._check_ins.due.values())

    async def run(self, over: asyncio.Event) -> None:
        """Offer seats and let joiners in until ``over``. Whatever goes wrong here, the match goes on."""
        try:
            async with asyncio.TaskGroup() as tasks:
                announcing = tasks.create_task(self._announce_all(), name="openings")
                while not over.is_set() and not self._engine.over:
                    self._watch()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(over.wait(), WATCH_S)
                announcing.cancel()
            await self._close()
        except Exception:
            log.exception("no more joiners: a fault of the server")
        finally:
            for task in self._tasks:
                task.cancel()

    def _watch(self) -> None:
        engine, seats, tick = self._engine, self._engine.seats, self._engine.tick_number
        for entity in [entity for entity in self._expected if seats.has_arrived(entity)]:
            del self._expected[entity]
            seats.taken += 1
            self._events.came(entity, tick)
        for taken in self._taken.values():
            if taken.state is _State.SEATED and any(
                seats.has_arrived(seat.entity) for seat in taken.joining.players
            ):
                taken.state = _State.TOLD  # how else would he have come
        deserted = seats.deserted(played_in=not self._dead_is_dead).tolist()
        self._gone_since = {entity: self._gone_since.get(entity, tick) for entity in deserted}
        if self._is_open():
            for entity in deserted:
                if self._is_gone_for_good(entity, tick / engine.config.tick_hz):
                    self._part(entity)
        if self._check_ins.is_time():
            self._start(self._check_in())
        if self._is_cut_off() and self._now_s() - self._said_s > LET_GO_S:
            for taken in [each for each in self._taken.values() if each.state is _State.SEATED]:
                self._let_go(taken)
                self._refused.append(taken.joining.joining_id)

    def _is_cut_off(self) -> bool:
        """Whether the matchmaker has not answered for so long that it may give those away who do not know of their seats yet."""
        return bool(self._unsure()) and self._now_s() - self._answered_s > CUT_OFF_S

    def _is_open(self) -> bool:
        """Whether seats are offered now."""
        engine = self._engine
        if not engine.match.started:
            return not engine.over
        played = engine.tick_number - int(engine.match.world.tally[START_TICK])
        return not engine.over and played < self._until_s * engine.config.tick_hz

    def _is_gone_for_good(self, entity: int, now_s: float) -> bool:
        """Whether the seat of a player who is missing may be given away. Seconds are the engine's."""
        hz = self._engine.config.tick_hz
        if entity in self._expected:
            owner = self._engine.match.roster[entity].player_id
            told = all(
                taken.state is _State.TOLD
                for taken in self._taken.values()
                if any(seat.player_id == owner for seat in taken.joining.players)
            )
            return told and now_s - self._expected[entity] / hz >= self._join_s
        if not self._engine.seats.has_arrived(entity):
            return True
        patience_s = GOODBYE_S if self._engine.seats.has_said_goodbye(entity) else self._return_s
        return now_s - self._gone_since[entity] / hz >= patience_s

    def _part(self, entity: int) -> None:
        """Take a seat from its player. First his token opens nothing any more, then he is checked in, then the seat is offered."""
        engine, tick = self._engine, self._gone_since[entity]
        joined = engine.seats.has_arrived(entity)
        placement = int(engine.match.placements()[entity]) if joined else len(engine.match.roster)
        parted = engine.seats.part(entity)
        played_s = self._events.played_s(entity, tick, until_death=self._dead_is_dead) if joined else 0.0
        player_id = parted.player.player_id
        self._expected.pop(entity, None)
        self._excluded.add(player_id)
        self.left.append(Left(parted, played_s))
        fence = self._fences.pop(player_id)
        self._check_ins.add(Committed(player_id, fence, placement, parted.kills, played_s), entity)
        log.info("a seat is free", entity=entity, player_id=player_id, played_s=round(played_s, 1))

    async def _check_in(self) -> None:
        if await self._check_ins.commit():
            self._news.set()

    # --- offering -----------------------------------------------------------------------------------------------------

    def _free_seats(self) -> list[int]:
        if not self._is_open():
            return []
        coming = {
            seat.entity
            for taken in self._taken.values()
            if taken.state is _State.TAKING
            for seat in taken.joining.players
        }
        return [
            entity
            for entity in self._engine.seats.vacant().tolist()
            if not self._check_ins.is_closed(entity) and entity not in coming
        ]

    def _unsure(self) -> list[_Taken]:
        """Who may not have been told yet that he has a seat here."""
        return [taken for taken in self._taken.values() if taken.state is not _State.TOLD]

    async def _announce_all(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), ANNOUNCE_S)
            self._news.clear()
            seats = self._free_seats()
            if self._is_cut_off():
                continue
            try:
                if seats or self._unsure() or self._refused:
                    self._announced = True
                    await self._announce(seats)
                elif self._announced:
                    await self._openings.close()
                    self._announced = False
            except MatchmakerClientError as error:
                log.debug("the matchmaker is away", reason=str(error))

    async def _announce(self, seats: Sequence[int], over: bool = False) -> None:
        self._said_s = self._now_s() + CALL_S  # at the latest
        refused = list(self._refused)
        answer = await self._openings.announce(
            self._engine.match.roster,
            seats,
            self._now_s(),
            seated=[
                taken.joining.joining_id for taken in self._taken.values() if taken.state is _State.SEATED
            ],
            refused=refused,
            excluded=sorted(self._excluded),
            over=over,
        )
        self._answered_s = self._said_s = self._now_s()
        self._refused = [each for each in self._refused if each not in refused]
        self._heed(answer, over)

    def _heed(self, answer: list[Joining], over: bool) -> None:
        """Let in who is new, note who has been told, and let go whom the matchmaker no longer sends."""
        sent = {joining.joining_id: joining for joining in answer}
        for joining_id, joining in sent.items():
            known = self._taken.get(joining_id)
            if known is not None and joining.state == "assigned":
                known.state = _State.TOLD
            elif known is None and joining.state == "told" and not over:
                taken = self._taken[joining_id] = _Taken(joining, _State.TAKING)
                self._start(self._take(taken))
        for joining_id, taken in list(self._taken.items()):
            if taken.state is _State.SEATED and joining_id not in sent:
                self._let_go(taken)

    # --- letting in, and letting go -----------------------------------------------------------------------------------

    async def _take(self, taken: _Taken) -> None:
        """Check joiners out and open their seats: all that come together, or none."""
        joining = taken.joining
        ids = [seat.player_id for seat in joining.players]
        try:
            async with asyncio.timeout(CHECK_OUT_S):
                answer = await self._meta.check_out(
                    self._order.match_id, self._server, self._order.region, self._lease_s, ids
                )
        except (MetaClientError, TimeoutError) as error:
            log.warning("joiners could not be checked out", players=ids, reason=str(error) or "no answer")
            self._excluded.update(ids)  # we may have leased them, and must not take them for others
            self._refuse(joining.joining_id)
            self._start(self._find_out(ids))
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
            self._refuse(joining.joining_id)
            for player in answer.checked_out:
                self._release(player.player_id)
            return
        for seat in joining.players:
            self._engine.seats.give(seat.entity, seat.player_id)
            self._events.given(seat.entity, seat.player_id, seat.waited_s)
            self._rename(seat.entity, seat.player_id)
            self._expected[seat.entity] = self._engine.tick_number
            self._openings.widen(seat.skill)
        taken.state = _State.SEATED
        self._news.set()
        log.info("a seat is given", players=ids)

    async def _find_out(self, player_ids: list[int]) -> None:
        """Ask until it is known whom a check-out without an answer has leased to us, and check those in."""
        while True:
            await asyncio.sleep(RETRY_S)
            with contextlib.suppress(MetaClientError):
                answer = await self._meta.check_out(
                    self._order.match_id, self._server, self._order.region, self._lease_s, player_ids
                )
                self._counts["checkouts"] += len(answer.checked_out)
                self._fences.update({player.player_id: player.fence for player in answer.checked_out})
                for player in answer.checked_out:
                    self._release(player.player_id)
                return

    def _refuse(self, joining_id: str) -> None:
        self._taken.pop(joining_id, None)
        self._refused.append(joining_id)
        self._news.set()

    def _let_go(self, taken: _Taken) -> None:
        """Close the seats of joiners who were never told, and check them in."""
        self._taken.pop(taken.joining.joining_id, None)
        for seat in taken.joining.players:
            self._engine.seats.take_back(seat.entity)
            self._expected.pop(seat.entity, None)
            self._release(seat.player_id, seat.entity)

    def _release(self, player_id: int, entity: int | None = None) -> None:
        """Check somebody in who did not play."""
        last = len(self._engine.match.roster)
        self._check_ins.add(Committed(player_id, self._fences.pop(player_id), last, 0, 0.0), entity)

    async def _close(self) -> None:
        """The match is decided: say so, let go who was not told, and be forgotten once they are checked in."""
        if not self._announced:
            return
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_OUT_S):
                    while any(taken.state is _State.TAKING for taken in self._taken.values()):  # noqa: ASYNC110
                        await asyncio.sleep(WATCH_S)
            await self._announce([], over=True)
        except MatchmakerClientError as error:
            log.debug("the matchmaker is away", reason=str(error))
        for taken in self._unsure():
            if taken.state is _State.SEATED:
                self._let_go(taken)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHECK_OUT_S):
                await self._check_ins.commit()
        if not self._check_ins.due:  # else it is forgotten by itself
            with contextlib.suppress(MatchmakerClientError):
                await self._openings.close()

    def _start(self, call: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a joiner's task failed", exc_info=error)
