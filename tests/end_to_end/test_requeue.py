"""A game server killed with -9 under a real backend: everyone it had is in the queue again, once and as old
as before.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from dedicated_server.fleet.client import FleetAdminClient
from launchday import identity
from launchday.identity import Signer
from loadtest.chaos.requeue_check import LostPlayer, check_requeue
from matchmaker.client import MatchmakerClient, TicketView
from meta_service.client import MetaClient
from tests.end_to_end.conftest import Start
from tests.end_to_end.test_run import await_output

SECRET = "end-to-end-0123456789abcdef0123456789"
PLAYERS = 6
NEAR = {"west-europe": 12.0, "east-us": 88.0}


@pytest.mark.timeout(420)
async def test_players_of_a_game_server_killed_with_9_are_queued_again_with_their_age(
    start: Start, environment: dict[str, str], tmp_path: Path, cache_url: str
) -> None:
    environment.update(
        LAUNCHDAY_CACHE_URL=cache_url,
        LAUNCHDAY_IDENTITY_SECRET=SECRET,
        LAUNCHDAY_MATCH_PLAYERS=str(PLAYERS),
        LAUNCHDAY_REGIONS="west-europe",
        LAUNCHDAY_READY_PER_REGION="1",
    )
    backend = start("up")
    await asyncio.to_thread(await_output, backend, "the backend is up")
    urls = {
        service: f"http://127.0.0.1:{environment[f'LAUNCHDAY_{service}_PORT']}"
        for service in ("META", "MATCHMAKER", "FLEET")
    }
    operator = Signer(SECRET).service_token("tests", time.time(), roles=(identity.OPERATOR,))
    async with (
        MetaClient(urls["META"], operator) as meta,
        MatchmakerClient(urls["MATCHMAKER"]) as matchmaker,
        FleetAdminClient(urls["FLEET"], operator) as fleet,
        Redis.from_url(cache_url) as cache,
    ):
        logins = [await meta.login_device(f"salvage-{number:08}") for number in range(PLAYERS)]
        players = {login.player_id: matchmaker.with_token(login.session_token) for login in logins}
        made = {
            id_: await player.create_ticket("battle_royale", NEAR, client_key="one")
            for id_, player in players.items()
        }
        first = [await players[id_].wait_for_end(ticket.ticket_id, 60.0) for id_, ticket in made.items()]
        [match_id] = {status.assignment.match_id for status in first if status.assignment}
        [server] = [one for one in await fleet.gameservers() if one["match_id"] == match_id]
        os.kill(server["pid"], signal.SIGKILL)

        async def told(id_: int) -> TicketView:
            return await players[id_].read_ticket(made[id_].ticket_id, 30.0, lost=True)

        old = await asyncio.gather(*map(told, players))
        assert all(status.requeued_as for status in old), old
        concerned = {id_: LostPlayer(ticket.ticket_id, ticket.created_at) for id_, ticket in made.items()}
        assert await check_requeue(cache, concerned) == []
        for (id_, player), status in zip(players.items(), old, strict=True):
            again = await player.create_ticket("battle_royale", NEAR, client_key="one")
            assert again.ticket_id == status.requeued_as
            assert (again.repeated, again.created_at) == (True, made[id_].created_at)
        second = [
            await player.wait_for_end(str(status.requeued_as), 60.0)
            for player, status in zip(players.values(), old, strict=True)
        ]
        [next_id] = {status.assignment.match_id for status in second if status.assignment}
        assert next_id != match_id
