"""Backfill end to end: a real cache, the real API and director, a real engine over UDP, real clients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dedicated_server.match.backfill_request import HttpBackfillSink
from launchday.identity import Signer
from launchday.settings import Settings
from matchmaker.client import MatchmakerClient
from tests.dedicated_server.match.conftest import kernels  # noqa: F401 - a fixture
from tests.matchmaker.conftest import (
    SECRET,
    WEST_EUROPE,
    MakeDirector,
    running,
    token_of,
)
from tests.matchmaker.director.running_matches import Leases, RunningMatch, open_server, playing, token_in
from tests.waiting import until

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("kernels")]

FIVES = "teams_of_five"


async def queue_up(client: MatchmakerClient, player: int) -> str:
    created = await client.with_token(token_of(player)).create_ticket(FIVES, WEST_EUROPE)
    return created.ticket_id


async def end_of(client: MatchmakerClient, player: int, ticket_id: str) -> Any:
    return await client.with_token(token_of(player)).wait_for_end(ticket_id, 60)


async def test_a_seat_becomes_free_a_waiting_player_gets_it_plays_and_is_in_the_result(
    client: MatchmakerClient, api_url: str, make_team_director: MakeDirector, mm_settings: Settings
) -> None:
    service = Signer(SECRET).service_token("server", time.time())
    leases = Leases()
    async with (
        open_server() as transport,
        HttpBackfillSink(api_url, service) as matchmaker,
        running(make_team_director(mm_settings)),
    ):
        match = RunningMatch(
            transport, leases, matchmaker, mm_settings.fleet_key_bytes, [0, 0, 1, 1], 11,
            mode=FIVES, match_s=120.0, until_s=100.0,
        )  # fmt: skip
        async with playing(match.tokens([0, 1, 2, 3])) as players:
            session = asyncio.create_task(match.session.run())
            await until(_true(lambda: match.engine is not None and match.engine.match.started))
            ticket = await queue_up(client, 500)
            players.clients.leave(2)
            status = await end_of(client, 500, ticket)
            seat = status.assignment
            assert (status.state, seat.match_id, seat.team, seat.entity) == (
                "assigned",
                str(match.match_id),
                1,
                2,
            )
            async with playing([token_in(seat)]) as joiner:
                await until(_true(lambda: joiner.connected == 1))
                await match.plays_on(30)
                match.end()
                assert await session
                assert joiner.match_over == [True]
    assert sorted(match.results) == [11, 12, 13, 14, 500]
    assert match.results[500][0] == 1
    assert 0 < match.results[500][1] < match.results[11][1]
    assert 0 <= match.results[13][1] < match.results[11][1]
    assert leases.held == {}
    assert sorted(player for _, player in leases.committed) == [11, 12, 13, 14, 500]
    report = match.session.report()
    assert (report["checkouts"], report["commits"], report["players_backfilled"]) == (5, 5, 1)
    counters = await client.counters()
    assert (counters["queued"], counters["matched"], counters["backfilled"], counters["matches"]) == (
        1,
        1,
        1,
        0,
    )


def _true(holds: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return holds()

    return check
