"""A match from check-out to commit, over a real socket with real players, also when others fail."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dedicated_server.cards import shipped_cards
from dedicated_server.match import spec
from dedicated_server.match.result_spool import ResultSpool
from dedicated_server.match.session import MatchSession, Timeouts
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.simulation.match import MatchConfig
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.pacing import SystemTickClock
from dedicated_server.transport import Transport, open_transport
from meta_service.client import (
    CheckedOut,
    CheckoutRefusal,
    CheckoutResponse,
    CommitResponse,
    Kick,
    Kicks,
    MetaRefusedError,
    MetaUnavailableError,
    PlayerCommit,
)
from rewards.events import Envelope, ProducerCounters
from rewards.events import events_pb2 as pb
from tests.dedicated_server.match.conftest import FLEET_KEY, TestMatch, new_match, playing
from tests.waiting import until

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("kernels")]

PATIENCE = Timeouts(join_s=1.0, come_s=1.0, check_out_s=0.6, flush_s=0.2, commit_s=0.6)
NOBODY_COMES = replace(PATIENCE, join_s=0.1, come_s=0.1)  # and nobody is waited for


class FakeMeta:
    """A meta service in memory; ``away`` calls fail before one succeeds."""

    def __init__(self, away: int = 0, refused: frozenset[int] = frozenset()) -> None:
        self.away = away
        self.refused = refused
        self.error: Exception = MetaUnavailableError("nobody answers")
        self.checked_out: list[int] = []
        self.lease_s = 0.0
        self.committed: list[PlayerCommit] = []

    async def check_out(
        self, match_id: UUID, server: str, region: str, ttl_s: float, player_ids: list[int]
    ) -> CheckoutResponse:
        self._answer()
        self.lease_s = ttl_s
        self.checked_out = [id_ for id_ in player_ids if id_ not in self.refused]
        return CheckoutResponse(
            [
                CheckedOut(id_, fence=100 + id_, skin="", level=1, display_name=f"Player {id_}")
                for id_ in self.checked_out
            ],
            [CheckoutRefusal(id_, "checked-out", "another") for id_ in sorted(self.refused)],
        )

    async def commit(self, match_id: UUID, players: list[PlayerCommit]) -> CommitResponse:
        self._answer()
        self.committed = players
        return CommitResponse([player.player_id for player in players], [])

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise self.error


class FakeProducer:
    """A producer in memory; Kafka is away when it ``spools``."""

    def __init__(self, spools: bool = False) -> None:
        self.envelopes: list[Envelope] = []
        self.spools = spools
        self.flushed = 0

    def emit(self, envelope: Envelope) -> bool:
        self.envelopes.append(envelope)
        return True

    async def flush(self, timeout_s: float) -> bool:
        self.flushed = len(self.envelopes)
        return not self.spools

    def counters(self) -> ProducerCounters:
        spooled = self.flushed if self.spools else 0
        return ProducerCounters(len(self.envelopes), 0, spooled, 0, {}, 0, 0)

    def kinds(self) -> Counter[str]:
        return Counter(envelope.WhichOneof("event") or "" for envelope in self.envelopes)


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = await open_transport("127.0.0.1", 0)
    yield transport
    await transport.close()


class Bench:
    """A session with its doubles."""

    def __init__(
        self,
        transport: Transport,
        match: TestMatch,
        meta: FakeMeta,
        producer: FakeProducer,
        patience: Timeouts,
        folder: Path,
    ) -> None:
        self.meta, self.producer, self.results = meta, producer, ResultSpool(folder)
        self.reports: list[dict[str, Any]] = []
        self.engines: list[Engine] = []

        def open_engine(config: MatchConfig) -> Engine:
            self.engines.append(Engine(config, FLEET_KEY, transport, secret=bytes(SECRET_BYTES)))
            return self.engines[-1]

        async def send_report(report: str) -> None:
            self.reports.append(json.loads(report))

        ordered = spec.parse_match_spec(match.annotation, shipped_cards())
        self.session = MatchSession(
            ordered,
            "west-europe-1",
            card=shipped_cards()[ordered.mode],
            open_engine=open_engine,
            meta=meta,
            producer=producer,
            results=self.results,
            send_report=send_report,
            clock=SystemTickClock(),
            timeouts=patience,
        )


@pytest.fixture
def bench(transport: Transport, tmp_path: Path) -> Callable[..., Bench]:
    def build(
        match: TestMatch,
        meta: FakeMeta | None = None,
        producer: FakeProducer | None = None,
        patience: Timeouts = PATIENCE,
    ) -> Bench:
        return Bench(transport, match, meta or FakeMeta(), producer or FakeProducer(), patience, tmp_path)

    return build


async def test_a_match_is_checked_out_played_told_and_committed(
    bench: Callable[..., Bench], transport: Transport
) -> None:
    """Also where the folder of its map has no room."""
    match = new_match([11, 12, 13, 14])
    table = bench(match)
    table.session._open_feed = lambda _: None
    async with playing(match.tokens(transport.port)) as players:
        assert await table.session.run()
        assert players.match_over == [True] * 4
    report = table.session.report()
    assert (report["phase"], report["outcome"], report["match_id"]) == ("over", "ended", str(match.match_id))
    assert (report["checkouts"], report["commits"], report["players_joined"], report["players_lost"]) == (
        4,
        4,
        4,
        0,
    )
    assert report["feeds_refused"] == 1
    kinds = table.producer.kinds()
    assert (kinds["match_started"], kinds["match_ended"]) == (1, 1)
    assert kinds["kill"] == report["kills"] > 0
    assert kinds["death"] == report["deaths"] >= 3
    assert kinds["damage_summary"] == 4
    assert (kinds["player_connected"], kinds["player_disconnected"]) == (4, 4)
    gone = [
        each.player_disconnected for each in table.producer.envelopes if each.HasField("player_disconnected")
    ]
    assert {(event.player_id, event.reason) for event in gone} == {
        (id_, "match_over") for id_ in range(11, 15)
    }
    assert report["events_emitted"] == len(table.producer.envelopes) == table.producer.flushed
    assert sorted(result.placement for result in table.meta.committed) == [1, 2, 3, 4]
    assert [result.fence for result in table.meta.committed] == [111, 112, 113, 114]
    assert sum(result.kills for result in table.meta.committed) == report["kills"]
    assert table.meta.lease_s > 1.5
    names = [player.name for player in table.engines[0].match.roster]
    assert names == ["Player 11", "Player 12", "Player 13", "Player 14"]


async def test_a_player_who_is_banned_leaves_the_running_match_and_is_committed_with_the_others(
    bench: Callable[..., Bench], transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dedicated_server.match.kicks.PERIOD_S", 0.05)
    match = new_match([11, 12, 13])
    table = bench(match)

    class Banned:
        async def kicks(self, match_id: UUID, after: str = "0-0") -> Kicks:
            assert match_id == match.match_id
            if after != "0-0" or not table.engines[0].match.started:
                return Kicks([], after)
            return Kicks([Kick(12, "banned")], "1-0")

    table.session._kicks = Banned()
    async with playing(match.tokens(transport.port)):
        assert await table.session.run()
    report = table.session.report()
    assert [report[name] for name in ("players_joined", "players_kicked", "players_lost")] == [3, 1, 0]
    assert [result.player_id for result in table.meta.committed] == [11, 12, 13]
    left = [each.death for each in table.producer.envelopes if each.HasField("death")]
    assert [death.victim_id for death in left if death.cause == pb.Death.CAUSE_LEFT] == [12]
    gone = [
        each.player_disconnected for each in table.producer.envelopes if each.HasField("player_disconnected")
    ]
    assert {(event.player_id, event.reason) for event in gone} == {
        (11, "match_over"),
        (12, "kicked"),
        (13, "match_over"),
    }


async def test_events_carry_the_match_its_ticks_and_the_times_of_these(
    bench: Callable[..., Bench], transport: Transport
) -> None:
    match = new_match([11, 12, 13])
    table = bench(match)
    async with playing(match.tokens(transport.port)):
        await table.session.run()
    envelopes = table.producer.envelopes
    assert {envelope.match_id for envelope in envelopes} == {match.match_id.bytes}
    assert {envelope.region for envelope in envelopes} == {"west-europe"}
    kinds = [envelope.WhichOneof("event") for envelope in envelopes]
    assert kinds[:4] == ["player_connected"] * 3 + ["match_started"]  # it waits until all are there
    start, end = envelopes[3], envelopes[-1]
    assert {row.ended_at for row in table.meta.committed} == {end.occurred_at}  # one season for both
    assert [player.player_id for player in start.match_started.players] == [11, 12, 13]
    for envelope in envelopes:
        ticks = envelope.tick - start.tick
        assert ticks >= 0 or envelope.HasField("player_connected")
        assert envelope.occurred_at - start.occurred_at == pytest.approx(ticks / 60, abs=0.1)
    placements = {placed.player_id: placed for placed in end.match_ended.placements}
    winner = next(placed for placed in placements.values() if placed.placement == 1)
    assert all(placed.played_s <= winner.played_s + 1e-6 for placed in placements.values())
    assert winner.played_s == pytest.approx(end.match_ended.duration_s, abs=0.05)


async def test_what_players_dealt_and_took_is_told_once_a_player_and_adds_up(
    bench: Callable[..., Bench], transport: Transport
) -> None:
    match = new_match([11, 12, 13])
    table = bench(match)
    async with playing(match.tokens(transport.port)):
        await table.session.run()
    summaries = [each.damage_summary for each in table.producer.envelopes if each.HasField("damage_summary")]
    deaths = Counter(each.death.victim_id for each in table.producer.envelopes if each.HasField("death"))
    assert [summary.player_id for summary in summaries] == [11, 12, 13]
    for summary in summaries:
        (weapon,) = summary.weapons
        assert summary.dealt == weapon.dealt <= 10.0 * weapon.hits
        assert weapon.hits <= weapon.shots
        assert (
            summary.taken >= 100.0 * deaths[summary.player_id]
        )  # a player who died has lost all their health
    assert 0.0 < sum(summary.dealt for summary in summaries) <= sum(summary.taken for summary in summaries)


async def test_reports_are_sent_while_it_is_played(bench: Callable[..., Bench], transport: Transport) -> None:
    match = new_match([11, 12, 13])
    table = bench(match)
    async with playing(match.tokens(transport.port)):
        await table.session.run()
    assert {report["phase"] for report in table.reports} >= {"waiting", "over"}
    assert len(table.reports) >= 3
    assert not any("outcome" in report for report in table.reports)


async def test_a_match_that_nobody_joins_ends_and_is_committed(bench: Callable[..., Bench]) -> None:
    table = bench(new_match([11, 12], match_s=0.1), patience=NOBODY_COMES)
    assert await table.session.run()
    report = table.session.report()
    assert (report["players_joined"], report["players_lost"], report["commits"]) == (0, 2, 2)
    ended = table.producer.envelopes[-1].match_ended
    assert list(ended.placements) == []
    assert all(result.played_s == 0 for result in table.meta.committed)


async def test_who_is_refused_at_the_check_out_cannot_connect_and_the_others_play(
    bench: Callable[..., Bench], transport: Transport
) -> None:
    match = new_match([11, 12, 13])
    table = bench(match, FakeMeta(refused=frozenset({12})))
    async with playing(match.tokens(transport.port)) as players:
        assert await table.session.run()
        assert players.match_over == [True, False, True]
    report = table.session.report()
    assert (report["checkouts"], report["checkouts_refused"], report["players_joined"]) == (2, 1, 2)
    assert [result.player_id for result in table.meta.committed] == [11, 13]


async def test_a_meta_service_that_comes_back_in_time_is_waited_for(bench: Callable[..., Bench]) -> None:
    table = bench(new_match([11, 12], match_s=0.1), FakeMeta(away=1), patience=NOBODY_COMES)
    assert await table.session.run()


async def test_a_meta_service_that_stays_away_fails_the_match_and_the_report_says_so(
    bench: Callable[..., Bench],
) -> None:
    table = bench(new_match([11, 12]), FakeMeta(away=1000))
    assert not await table.session.run()
    report = table.session.report()
    assert report["outcome"] == "failed"
    assert report["error"] == "check-out: no answer from the meta service in 0.6 s: nobody answers"
    assert table.engines == []
    assert table.producer.envelopes == []


async def test_a_refusal_of_the_meta_service_fails_the_match_at_once(bench: Callable[..., Bench]) -> None:
    meta = FakeMeta(away=1)
    meta.error = MetaRefusedError(403, "forbidden", "no")
    table = bench(new_match([11, 12]), meta)
    assert not await table.session.run()
    assert "refused by the meta service: 403 forbidden: no" in table.session.report()["error"]


async def test_a_match_whose_players_are_all_refused_fails(bench: Callable[..., Bench]) -> None:
    table = bench(new_match([11, 12]), FakeMeta(refused=frozenset({11, 12})))
    assert not await table.session.run()
    assert (
        table.session.report()["error"] == "check-out: every player was refused (checked-out by another: 2)"
    )


async def test_a_server_that_comes_too_late_for_its_match_ends_itself(bench: Callable[..., Bench]) -> None:
    meta = FakeMeta(away=1)
    meta.error = MetaRefusedError(409, "match-closed", "the match was given up")
    table = bench(new_match([11, 12]), meta)
    assert not await table.session.run()
    assert table.session.report()["outcome"] == "taken-back"
    assert table.engines == []


async def test_results_that_cannot_be_committed_are_spooled_and_the_match_has_ended(
    bench: Callable[..., Bench],
) -> None:
    table = bench(new_match([11, 12], match_s=0.1), patience=NOBODY_COMES)
    session = asyncio.create_task(table.session.run())
    await until(lambda: table.meta.checked_out, "the players are checked out")
    table.meta.away = 1000
    assert await session
    report = table.session.report()
    assert (report["outcome"], report["commits"], report["results_spooled"]) == ("ended", 0, 2)
    assert table.producer.kinds()["match_ended"] == 1
    assert table.producer.flushed == len(table.producer.envelopes)
    [(_, spooled)] = table.results.claim()
    assert spooled is not None
    assert [(row.player_id, row.fence) for row in spooled.commits] == [(11, 111), (12, 112)]


async def test_a_server_that_is_stopped_while_it_hands_its_results_in_leaves_them_on_the_disk(
    bench: Callable[..., Bench],
) -> None:
    table = bench(new_match([11, 12], match_s=0.1), patience=replace(NOBODY_COMES, commit_s=60.0))
    match_id = table.session.match_id
    session = asyncio.create_task(table.session.run())
    await until(lambda: table.meta.checked_out, "the players are checked out")
    table.meta.away = 1000
    await until(lambda: table.results.holds(match_id), "the results are spooled")
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session
    table.session.abort("told to stop")
    assert table.session.is_safe
    assert table.session.report()["outcome"] == "ended"


async def test_a_full_disk_for_events_does_not_take_the_results_with_it(bench: Callable[..., Bench]) -> None:
    class NoRoom(FakeProducer):
        async def flush(self, timeout_s: float) -> bool:
            raise OSError(28, "No space left on device")

    table = bench(new_match([11, 12], match_s=0.1), producer=NoRoom(), patience=NOBODY_COMES)
    assert await table.session.run()
    assert len(table.meta.committed) == 2


async def test_events_that_had_to_be_spooled_are_counted_and_the_match_still_ends(
    bench: Callable[..., Bench],
) -> None:
    table = bench(new_match([11, 12], match_s=0.1), producer=FakeProducer(spools=True), patience=NOBODY_COMES)
    assert await table.session.run()
    report = table.session.report()
    assert report["events_spooled"] == report["events_emitted"] == 2


async def test_a_fault_in_a_tick_fails_the_match(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    def tick(self: Engine, now_s: float, late_s: float = 0.0) -> None:
        raise ZeroDivisionError("in a kernel")

    monkeypatch.setattr(Engine, "tick", tick)
    table = bench(new_match([11, 12]))
    assert not await table.session.run()
    assert table.session.report()["error"] == "a fault of the server: ZeroDivisionError('in a kernel')"


def test_a_lease_outlives_the_longest_match() -> None:
    patience = replace(PATIENCE, join_s=10.0, come_s=45.0, flush_s=5.0, commit_s=30.0)
    assert patience.lease_s(45.0) > 45 + 10 + 45 + 5 + 30
