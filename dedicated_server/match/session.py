"""One match of a game server, from the check-out of its players to the commit of their results.

In order: check out, open the engine, play, flush the events, commit. A failure ends the match, and the report
names it. A match that was played to its end has not failed: what cannot be delivered waits on the disk. While
ticks are played, everything else in here runs in small pieces between them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import structlog
from msgspec import structs

from dedicated_server.cards import ModeCard
from dedicated_server.match.backfill import BackfillAgent
from dedicated_server.match.backfill_request import BackfillSink
from dedicated_server.match.check_out import (
    CheckOut,
    EveryPlayerRefusedError,
    MatchFailedError,
    MatchTakenBackError,
)
from dedicated_server.match.early_commits import MetaService
from dedicated_server.match.events import EventSink, MatchEvents
from dedicated_server.match.final_commit import FinalCommit, ResultsLostError, Spool
from dedicated_server.match.kicks import KickFollower, KickSource
from dedicated_server.match.parting import answering, part
from dedicated_server.match.report import build_report, draft_report
from dedicated_server.match.report_thread import ReportThread
from dedicated_server.match.spec import MatchSpec
from dedicated_server.match.spectator import PERIOD_S, SpectatorFeed
from dedicated_server.protocol.datagrams import LEFT
from dedicated_server.simulation.match import Match, MatchConfig, RosterPlayer
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.pacing import TickClock, run_paced
from dedicated_server.tick.slots import VACANT, DamageTotals
from dedicated_server.tick.token_time import PERIOD_S as TOKEN_TIME_PERIOD_S
from dedicated_server.tick.token_time import TokenTime
from meta_service.client import PlayerCommit
from rewards.events import EventIds, PlayerPlacement, ProducerCounters, Source

EVENTS_PERIOD_S = 0.1  # between two drains of events, so that only a few are built between two ticks
REPORT_PERIOD_S = 1.0

log = structlog.get_logger()


class EventProducerPort(EventSink, Protocol):
    """The event producer, as a match needs it."""

    async def flush(self, timeout_s: float) -> bool:
        """Wait until every event is delivered, or spooled after the time-out; return whether all were
        delivered.
        """

    def counters(self) -> ProducerCounters:
        """Return what became of the events."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a match waits for others, in seconds.

    Attributes:
        join_s: for players to connect, from the first one on.
        come_s: for the first one. Longer than a matchmaker that stands still for half a minute: nobody can be
            told meanwhile where to go.
        check_out_s: for the meta service at the start. Longer than the director is patient with a server
            (``LAUNCHDAY_CLAIM_S``): it asks the meta service too, and that alone decides who was first.
        flush_s: for Kafka; then the events go to the spool.
        commit_s: for the meta service at the end; then the results are left to the fleet.
        return_s: for a player who timed out to come back, before their body goes and their slot may be given
            to another.
    """

    join_s: float = 10.0
    come_s: float = 45.0
    check_out_s: float = 60.0
    flush_s: float = 5.0
    commit_s: float = 30.0
    return_s: float = 15.0

    def lease_s(self, match_s: float) -> float:
        """Return the seconds for which players are checked out: one and a half times the longest match."""
        return 1.5 * (self.come_s + self.join_s + match_s + self.flush_s + self.commit_s)


class MatchSession:
    """Plays one match.

    Args:
        spec: the match.
        server: this server's name.
        card: of the match's mode.
        open_engine: makes the engine, once the roster is known.
        meta: leases and commits players.
        producer: takes events.
        results: keeps the results on disk that the meta service does not take.
        send_report: takes a report, as JSON.
        clock: time, chance and the pacing of ticks.
        timeouts: how long it waits for others; None: the defaults.
        open_feed: makes the spectator feed of a match, or returns None where its folder refuses; None: nobody
            wants one.
        matchmaker: fills free slots; None: nobody does.
        address: host, the one of the other family or "", and port, as connect tokens name this server.
        kicks: says which players have to leave; None: nobody does.
    """

    def __init__(
        self,
        spec: MatchSpec,
        server: str,
        *,
        card: ModeCard,
        open_engine: Callable[[MatchConfig], Engine],
        meta: MetaService,
        producer: EventProducerPort,
        results: Spool,
        send_report: Callable[[str], Awaitable[None]],
        clock: TickClock,
        timeouts: Timeouts | None = None,
        open_feed: Callable[[Match], SpectatorFeed | None] | None = None,
        matchmaker: BackfillSink | None = None,
        address: tuple[str, str, int] = ("", "", 0),
        kicks: KickSource | None = None,
    ) -> None:
        self._kicks = kicks
        self._open_feed = open_feed
        self._feed: SpectatorFeed | None = None
        self._matchmaker = matchmaker
        self._address = address
        self._backfill: BackfillAgent | None = None
        self._spec = spec
        self._server = server
        self._card = card
        self._open_engine = open_engine
        self._meta = meta
        self._producer = producer
        self._send_report = send_report
        self._clock = clock
        self._token_time = TokenTime(clock, spec.allocated_at)
        self._timeouts = timeouts or Timeouts()
        self._fences: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._engine: Engine | None = None
        self._counts = {"checkouts": 0, "checkouts_refused": 0, "commits": 0, "commits_refused": 0}
        self._final_commit = FinalCommit(spec.match_id, meta, results, self._counts, clock)
        self._outcome: dict[str, str] = {}

    async def run(self) -> bool:
        """Play the match to its end; return whether it ended as it should.

        Cancel it to abort the match. Then it has ended as it should all the same if its results are safe, see
        `is_safe`.
        """
        try:
            await self._check_out()
            engine = self._engine = self._open_engine(self._config())
            events = self._events(engine)
            self._backfill = self._backfill_agent(engine, events)
            await self._play(engine, events)
            async with answering(engine, self._clock):
                await self._commit(self._collect_results(engine, events))
        except Exception as error:
            self._end(_cause(error))
            await self.part()
        else:
            self._outcome = {"outcome": "ended"}
        return self._outcome["outcome"] == "ended"

    def _end(self, cause: BaseException) -> None:
        match cause:
            case MatchFailedError():
                self.fail(str(cause))
            case MatchTakenBackError():
                log.warning("the match was taken back", match_id=str(self.match_id), reason=str(cause))
                self._outcome = {"outcome": "taken-back", "error": str(cause)}
            case _:
                log.error("a fault of the server", match_id=str(self.match_id), exc_info=cause)
                self.fail(f"a fault of the server: {cause!r}")

    @property
    def match_id(self) -> UUID:
        """The match."""
        return self._spec.match_id

    @property
    def is_safe(self) -> bool:
        """Whether the match was played to its end, and its results are committed or on the disk."""
        return self._final_commit.safe

    async def part(self) -> None:
        """Tell the players of a match that does not go on that the server goes away, where there is one."""
        if self._engine is not None:
            with contextlib.suppress(OSError):  # the socket's, where that is what ended it
                await part(self._engine, self._clock)

    def abort(self, reason: str) -> None:
        """Note how a cancelled match ended: it failed for a reason, unless its results are safe."""
        if self.is_safe:
            self._outcome = {"outcome": "ended"}
        else:
            self.fail(reason)

    def fail(self, reason: str) -> None:
        """Note that the match failed, and why."""
        log.error("the match failed", match_id=str(self._spec.match_id), reason=reason)
        self._outcome = {"outcome": "failed", "error": reason}

    def report(self) -> dict[str, Any]:
        """Return the report as JSON has it. After the match it has an ``outcome``, and an ``error`` where it
        failed.
        """
        of_engine = {"phase": "waiting"} if self._engine is None else build_report(self._engine)
        return {**of_engine, **self._own_report()}

    def _own_report(self) -> dict[str, Any]:
        """Return what a report says beyond the engine's."""
        events = self._producer.counters()
        return {
            "match_id": str(self._spec.match_id),
            "events_emitted": events.emitted,
            "events_spooled": events.spooled,
            "results_spooled": self._final_commit.spooled,
            **self._counts,
            **self._outcome,
        }

    async def _check_out(self) -> None:
        """Lease the players. Refused players cannot play, the others can."""
        check_out = CheckOut(self._spec, self._server, self._meta, self._report_starting, self._clock)
        try:
            answer = await check_out.run(
                self._timeouts.lease_s(self._spec.match_s), self._timeouts.check_out_s
            )
        except EveryPlayerRefusedError as error:
            self._counts["checkouts_refused"] = error.players
            raise
        self._fences = {player.player_id: player.fence for player in answer.checked_out}
        self._names = {player.player_id: player.display_name for player in answer.checked_out}
        self._counts["checkouts"] = len(answer.checked_out)
        self._counts["checkouts_refused"] = len(answer.refused)

    async def _report_starting(self) -> None:
        await self._send_report(json.dumps({**self.report(), "phase": "starting"}))

    def _config(self) -> MatchConfig:
        spec = self._spec
        return MatchConfig(
            match_id=spec.match_id,
            card=self._card,
            seed=spec.seed,
            match_s=spec.match_s,
            players=[
                RosterPlayer(
                    player_id=entry.player_id if entry.player_id in self._fences else VACANT,
                    team=entry.team,
                    entity=entry.entity,
                    name=self._names.get(entry.player_id, ""),
                )
                for entry in spec.players
            ],
            join_timeout_s=self._timeouts.join_s,
            come_timeout_s=self._timeouts.come_s,
        )

    def _events(self, engine: Engine) -> MatchEvents:
        return MatchEvents(
            self._spec,
            Source(
                self._server,
                self._spec.region,
                self._spec.match_id,
                ids=EventIds.of_match(self._spec.match_id, self._spec.allocated_at),
            ),
            self._producer,
            card=self._card,
            tick_hz=engine.config.tick_hz,
            has_left=lambda entity: bool(engine.wire.status[entity] == LEFT),
            was_kicked=lambda entity: bool(engine.slots.kicked[entity]),
        )

    def _backfill_agent(self, engine: Engine, events: MatchEvents) -> BackfillAgent | None:
        """Return the backfill of the match; None where its spec has none, or no matchmaker is known."""
        spec, timeouts = self._spec, self._timeouts
        if spec.backfill is None or self._matchmaker is None:
            return None
        return BackfillAgent(
            spec,
            spec.backfill,
            self._server,
            self._address,
            engine=engine,
            events=events,
            meta=self._meta,
            matchmaker=self._matchmaker,
            fences=self._fences,
            counts=self._counts,
            lease_s=timeouts.lease_s(spec.match_s),
            return_s=timeouts.return_s,
            join_s=timeouts.join_s,
            clock=self._clock,
        )

    async def _play(self, engine: Engine, events: MatchEvents) -> None:
        log.info("the match is open", match_id=str(self._spec.match_id), players=len(self._fences))
        with _garbage_collection_paused():
            async with asyncio.TaskGroup() as tasks:
                over = asyncio.Event()
                tasks.create_task(self._emit_events(engine, events, over))
                tasks.create_task(self._send_reports(engine, over))
                tasks.create_task(self._keep_token_time(engine, over))
                tasks.create_task(self._publish_feed(engine, over))
                if self._backfill is not None:
                    tasks.create_task(self._backfill.run(over))
                kicking = self._follow_kicks(tasks, engine)
                await run_paced(engine, self._clock)
                over.set()
                if kicking is not None:
                    kicking.cancel()
        log.info("the match is over", match_id=str(self._spec.match_id), tick=engine.tick_number)

    def _follow_kicks(self, tasks: asyncio.TaskGroup, engine: Engine) -> asyncio.Task[None] | None:
        if self._kicks is None:
            return None
        follower = KickFollower(self._spec.match_id, engine, self._kicks, self._clock)
        return tasks.create_task(follower.run(), name="kicks")

    async def _keep_token_time(self, engine: Engine, over: asyncio.Event) -> None:
        async for _ in _every(TOKEN_TIME_PERIOD_S, over):
            self._token_time.set(engine.wire)

    async def _emit_events(self, engine: Engine, events: MatchEvents, over: asyncio.Event) -> None:
        async for _ in _every(EVENTS_PERIOD_S, over):
            records = engine.drain_events()
            if self._feed is not None:
                self._feed.note(records)
            await events.emit_records(records, now_s=self._now_s(), tick=engine.tick_number)

    async def _send_reports(self, engine: Engine, over: asyncio.Event) -> None:
        with ReportThread() as thread:
            async for _ in _every(REPORT_PERIOD_S, over):
                if self._backfill is not None and self._backfill.match_closed:
                    raise MatchTakenBackError("the match was given up while it was played")
                await self._send_report(await thread.as_json(draft_report(engine), self._own_report()))

    async def _publish_feed(self, engine: Engine, over: asyncio.Event) -> None:
        if self._open_feed is None:
            return
        feed = self._feed = self._open_feed(engine.match)
        if feed is None:
            self._counts["feeds_refused"] = 1
            return
        try:
            async for _ in _every(PERIOD_S, over):
                feed.publish(engine)
        finally:
            self._feed = None
            feed.close()

    def _collect_results(self, engine: Engine, events: MatchEvents) -> list[PlayerCommit]:
        """Emit the result as events; return what to commit."""
        tick = engine.tick_number
        death_is_final = engine.config.card.respawn_s == 0
        committed: list[PlayerCommit] = []
        played: list[PlayerPlacement] = []
        damage: list[tuple[int, DamageTotals]] = []
        results = engine.result()
        if self._backfill is not None:
            # Departed players share the placement of their team. They are committed already.
            for departure in self._backfill.departures:
                if departure.player.joined:
                    player = departure.player.player
                    placement = results[player.entity].placement
                    played.append(
                        PlayerPlacement(
                            player.player_id,
                            player.team,
                            placement,
                            departure.player.kills,
                            departure.played_s,
                        )
                    )
                    damage.append((player.player_id, departure.player.damage))
            committed += self._backfill.uncommitted
        for result in results:
            player = result.player
            if player.player_id == VACANT:
                continue
            played_s = (
                events.played_s(player.entity, tick, until_death=death_is_final) if result.joined else 0.0
            )
            fence = self._fences[player.player_id]
            committed.append(PlayerCommit(player.player_id, fence, result.placement, result.kills, played_s))
            if result.joined:  # a player who never came earns nothing, but is committed
                played.append(
                    PlayerPlacement(player.player_id, player.team, result.placement, result.kills, played_s)
                )
                damage.append((player.player_id, result.damage))
        now_s = self._now_s()
        events.emit_goings(now_s=now_s, tick=tick)
        events.emit_damage(damage, now_s=now_s, tick=tick)
        ended_at_s = events.emit_result(played, now_s=now_s, tick=tick)
        return [structs.replace(row, ended_at=ended_at_s) for row in committed]

    async def _commit(self, results: list[PlayerCommit]) -> None:
        """Deliver the events, then commit: once a player is free, the events of their last match are sent.

        Raises MatchFailedError where the results are lost.
        """
        try:
            await self._flush_events()
            await self._final_commit.commit(results, self._timeouts.commit_s)
        except asyncio.CancelledError:
            self._final_commit.keep_now(results)  # the match was played: what is left is to hand it in
            raise
        except ResultsLostError as error:
            raise MatchFailedError(f"commit: {error}") from error

    async def _flush_events(self) -> None:
        try:
            if not await self._producer.flush(self._timeouts.flush_s):
                log.warning("events were spooled", count=self._producer.counters().spooled)
        except OSError as error:  # neither Kafka nor the disk has room: they stay in memory for now
            log.error("events cannot be spooled: make room on the disk", reason=str(error))

    def _now_s(self) -> float:
        return self._clock.wall()


def _cause(error: BaseException) -> BaseException:
    """Return the error itself, where a task group has wrapped it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _every(period_s: float, over: asyncio.Event) -> AsyncIterator[None]:
    """Yield every ``period_s`` until ``over`` is set, and then once more for the last results."""
    while not over.is_set():
        yield
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), period_s)
    yield


@contextlib.contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Keep the garbage collector out of the ticks: a full collection takes up to 200 ms, twelve ticks.

    A match leaves a few kilobytes a second in reference cycles, and the process ends with the match.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
