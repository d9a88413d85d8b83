"""A game server whose machine's clock is stepped, while it is idle and while it plays."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dedicated_server.protocol.client.state import CLIENT_REFUSED
from dedicated_server.tick.pacing import SystemTickClock
from dedicated_server.tick.token_time import TokenTime
from dedicated_server.transport import Transport, open_transport
from launchday.clock import OFFSET_FILE
from tests.dedicated_server.match.conftest import new_match, playing
from tests.dedicated_server.match.test_session import PATIENCE, Bench, FakeMeta, FakeProducer
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("kernels")

HOUR_S = 3600.0
CLOSE_S = 30.0  # of times that differ by 300 s where a step is not followed


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = await open_transport("127.0.0.1", 0)
    yield transport
    await transport.close()


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[float], object]:
    """Steps the clocks that are made from now on to so many seconds ahead."""
    monkeypatch.setenv(OFFSET_FILE, str(tmp_path / "ahead"))
    monkeypatch.setattr("launchday.clock.OFFSET_PERIOD_S", 0.0)
    return lambda seconds: (tmp_path / "ahead").write_text(str(seconds))


@pytest.mark.parametrize("ahead_s", [300.0, -300.0, HOUR_S, -HOUR_S])
def test_an_idle_servers_clock_is_right_once_it_is_allocated(
    step: Callable[[float], object], ahead_s: float
) -> None:
    step(ahead_s)
    clock = SystemTickClock()
    assert clock.unix_s(clock.now_ns()) - time.time() == pytest.approx(ahead_s, abs=CLOSE_S)
    step(0.0)
    clock.read_wall()
    assert clock.unix_s(clock.now_ns()) == pytest.approx(time.time(), abs=CLOSE_S)


@pytest.mark.parametrize(
    ("server_ahead_s", "director_ahead_s", "ahead_s"),
    [(0.0, 0.0, 0.0), (300.0, 0.0, 0.0), (0.0, -HOUR_S, -HOUR_S), (-300.0, 0.0, -300.0), (0.0, 300.0, 0.0)],
)
def test_tokens_expire_by_the_clock_that_is_behind(
    step: Callable[[float], object], server_ahead_s: float, director_ahead_s: float, ahead_s: float
) -> None:
    step(server_ahead_s)
    clock = SystemTickClock()
    token_time = TokenTime(clock, time.time() + director_ahead_s)
    assert token_time.ahead_s() + server_ahead_s == pytest.approx(ahead_s, abs=CLOSE_S)
    unknown = TokenTime(clock, 0.0)
    assert unknown.ahead_s() == pytest.approx(0.0, abs=CLOSE_S)


async def test_steps_in_a_match_lose_nobody_and_its_events_have_the_time_of_the_wall(
    step: Callable[[float], object], transport: Transport, tmp_path: Path
) -> None:
    step(HOUR_S)  # while it was idle; by its own clock every token had expired
    match = new_match([11, 12, 13, 14], match_s=0.9)
    table = Bench(transport, match, FakeMeta(), FakeProducer(), PATIENCE, tmp_path)
    async with playing(match.tokens(transport.port)) as players:
        session = asyncio.create_task(table.session.run())
        step(0.0)
        await until(lambda: players.connected == 4, "everybody is in")
        for ahead_s in (-HOUR_S, 300.0):
            step(ahead_s)
            await until(_ticked(table, 12))
        assert await session
    report = table.session.report()
    assert (report["outcome"], report["players_joined"], report["players_lost"]) == ("ended", 4, 0)
    assert report["tokens_expired"] == 0
    first, last = table.producer.envelopes[0], table.producer.envelopes[-1]
    assert last.occurred_at - time.time() == pytest.approx(300.0, abs=CLOSE_S)
    assert first.occurred_at < last.occurred_at


def _ticked(table: Bench, ticks: int) -> Callable[[], bool]:
    engine = table.engines[0]
    reached = engine.tick_number + ticks
    return lambda: engine.tick_number >= reached or engine.finished


async def test_a_player_whose_token_has_expired_is_told_and_the_report_counts_it(
    transport: Transport, tmp_path: Path
) -> None:
    late = time.time() + HOUR_S
    match = new_match([11, 12], allocated_at=late)
    table = Bench(transport, match, FakeMeta(), FakeProducer(), PATIENCE, tmp_path)
    expired, good = match.tokens(transport.port, issued_at=time.time() - HOUR_S), match.tokens(transport.port)
    tokens = [expired[0], good[1]]
    async with playing(tokens) as players:
        session = asyncio.create_task(table.session.run())
        await until(lambda: players.clients.sessions["state"][0] == CLIENT_REFUSED, "the player is told")
        await until(lambda: players.connected == 1, "the other is in")
        session.cancel()
        await asyncio.gather(session, return_exceptions=True)
    report = table.session.report()
    assert report["tokens_expired"] == report["dropped"]["expired"] == 1
