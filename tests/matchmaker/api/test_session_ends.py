"""Whoever is logged out is in no queue: the ends of sessions are followed, and tickets refused."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis.asyncio import Redis

from launchday.clock import ManualClock, SystemClock
from launchday.identity import signer_of
from launchday.settings import Settings
from matchmaker.api.app import create_api
from matchmaker.api.revocations import RevocationFollower, RevokedTokens
from matchmaker.api.session_ends import AGAIN_S, SessionEndFollower
from matchmaker.client import MatchmakerClient, TicketRefusedError
from matchmaker.queue.proposals import MatchProposal
from matchmaker.queue.queue import Queue
from matchmaker.queue.scripts import KEYS, Scripts
from meta_service.app import build
from meta_service.client import MetaClient, MetaUnavailableError, SessionEnd, SessionEnds
from tests.matchmaker.api.test_attendance import MODE, Api
from tests.matchmaker.api.test_revocations import Told, ban
from tests.matchmaker.conftest import WEST_EUROPE, StubSkills, served, token_of
from tests.matchmaker.director.test_cancel import MATCH, proposed, queue, states

__all__ = ["queue"]  # a fixture


@dataclass
class Ends:
    """The ends that a meta service tells of: the cursor counts them."""

    ends: list[SessionEnd] = field(default_factory=list)
    away: bool = False

    def add(self, player_id: int, at: float, why: str = "logged-out", *, live: bool = False) -> None:
        self.ends.append(SessionEnd(player_id, at, why, live))  # type: ignore[arg-type]

    async def session_ends(self, after: str = "0-0") -> SessionEnds:
        if self.away:
            raise MetaUnavailableError("no answer")
        done = int(after.partition("-")[0])
        return SessionEnds(self.ends[done:], f"{len(self.ends)}-0")


@pytest.fixture
def api(cache: Redis) -> Api:
    return Api(cache, ManualClock())


@pytest.fixture
def ends() -> Ends:
    return Ends()


@pytest.fixture
def follower(cache: Redis, api: Api, ends: Ends) -> SessionEndFollower:
    return SessionEndFollower(cache, api.scripts, ends, api.clock)


async def reason_of(api: Api, ticket_id: str) -> str | None:
    found = await api.store.read(ticket_id)
    assert found is not None
    return found.view.reason


async def test_a_player_who_logs_out_leaves_the_queue_with_the_party_and_its_stream_says_so(
    api: Api, ends: Ends, follower: SessionEndFollower, cache: Redis
) -> None:
    alone, other = [await api.create(player) for player in (1, 2)]
    party = [await api.create(player, party="p") for player in (3, 4)]
    ends.add(1, api.clock.now())
    ends.add(4, api.clock.now(), "revoked")
    ends.add(99, api.clock.now())  # has no ticket
    with api.notifier.subscription(alone):
        for _ in range(2):
            await follower.follow()
    assert [await api.state(each) for each in (alone, other, *party)] == [
        "cancelled", "searching", "cancelled", "cancelled",
    ]  # fmt: skip
    assert await reason_of(api, alone) == "the player, or one of the party, has logged out"
    assert await reason_of(api, party[0]) == "the session of the player, or of one of the party, was ended"
    entries: Any = await cache.xrange(KEYS["notifications"])
    told = {ticket_id.decode() for _, views in entries for ticket_id in views}
    assert told == {alone, *party}
    assert await cache.hget(KEYS["counters"], "logged_out") == b"3"


async def test_a_ticket_that_was_made_after_logging_in_again_stays(
    api: Api, ends: Ends, follower: SessionEndFollower
) -> None:
    before = await api.create(1)
    ends.add(1, api.clock.now(), live=True)
    ends.add(2, api.clock.now(), live=True)
    api.clock.advance(1.0)
    after = await api.create(2)
    await follower.follow()
    api.clock.advance(AGAIN_S)
    await follower.follow()
    assert [await api.state(each) for each in (before, after)] == ["cancelled", "searching"]


async def test_a_ticket_that_was_on_its_way_when_its_player_logged_out_ends_too(
    api: Api, ends: Ends, follower: SessionEndFollower
) -> None:
    ends.add(1, api.clock.now())
    await follower.follow()
    ticket = await api.create(1)
    await follower.follow()
    assert await api.state(ticket) == "searching"
    api.clock.advance(AGAIN_S)
    await follower.follow()
    assert await api.state(ticket) == "cancelled"


async def test_what_ended_while_the_meta_service_or_this_process_was_away_is_caught_up(
    api: Api, ends: Ends, cache: Redis
) -> None:
    tickets = [await api.create(player) for player in (1, 2)]
    ends.add(1, api.clock.now())
    ends.away = True
    with pytest.raises(MetaUnavailableError):
        await SessionEndFollower(cache, api.scripts, ends, api.clock).follow()
    ends.away = False
    await SessionEndFollower(cache, api.scripts, ends, api.clock).follow()
    ends.add(2, api.clock.now())
    await SessionEndFollower(cache, api.scripts, ends, api.clock).follow()  # a process after this one
    assert [await api.state(each) for each in tickets] == ["cancelled", "cancelled"]
    assert await cache.get(KEYS["session_cursor"]) == b"2-0"


async def test_a_ticket_whose_match_is_getting_a_server_ends_instead_of_searching_again(
    client: MatchmakerClient, queue: Queue, cache: Redis, scripts: Scripts, ends: Ends
) -> None:
    match = await proposed(client, queue, range(1, 4))
    ends.add(2, scripts.clock.now())
    await SessionEndFollower(cache, scripts, ends, scripts.clock).follow()
    assert await states(client, match) == ["proposed", "proposed", "proposed"]
    assert (await queue.withdraw(MATCH, match.ticket_ids)).ended == [1]
    left = await client.with_token(token_of(2)).read_ticket(match.ticket_ids[1])
    assert (left.state, left.reason) == ("cancelled", "the player, or one of the party, has logged out")


async def test_logging_out_while_players_are_asked_to_accept_is_a_no(
    client: MatchmakerClient, queue: Queue, cache: Redis, scripts: Scripts, ends: Ends
) -> None:
    tickets = [
        (await client.with_token(token_of(player)).create_ticket(MODE, WEST_EUROPE)).ticket_id
        for player in (1, 2)
    ]
    match = MatchProposal(
        MATCH, MODE, "west-europe", 1, 60.0, 1.0, tickets, [1, 2], [1.0] * 2, [12.0] * 2, [0] * 2,
        accept_by=scripts.clock.now() + 60.0,
    )  # fmt: skip
    assert await queue.propose([match]) == [[]]
    ends.add(1, scripts.clock.now())
    await SessionEndFollower(cache, scripts, ends, scripts.clock).follow()
    assert (await queue.accepted([MATCH]))[0] < 0
    assert await queue.decline(match) == [0]
    assert await states(client, match) == ["cancelled", "searching"]


async def test_who_is_logged_out_gets_no_ticket(
    client: MatchmakerClient, skills: StubSkills, mm_settings: Settings
) -> None:
    skills.logged_out.add(1)
    with pytest.raises(TicketRefusedError, match="log in again"):
        await client.with_token(token_of(1)).create_ticket(MODE, WEST_EUROPE)
    await client.with_token(token_of(2)).create_ticket(MODE, WEST_EUROPE)


async def test_over_real_services_a_log_out_reaches_the_tickets_stream(settings: Settings) -> None:
    async with served(build(settings)) as meta_url:
        own = settings.model_copy(update={"meta_url": meta_url, "tickets_per_player_s": 0.0})
        service = signer_of(own, "loadtest").service_token("tests", time.time())
        async with (
            served(create_api(own, SystemClock())) as url,
            MetaClient(meta_url, service) as meta,
            MatchmakerClient(url) as anybody,
        ):
            login = await meta.login_device("a-device-that-logs-out")
            player = anybody.with_token(login.session_token)
            ticket = await player.create_ticket(MODE, WEST_EUROPE)
            await meta.log_out(login.session_token)
            ended = [view async for view in player.follow_ticket(ticket.ticket_id)][-1]
            assert (ended.state, ended.reason) == (
                "cancelled",
                "the player, or one of the party, has logged out",
            )
            with pytest.raises(TicketRefusedError, match="log in again"):
                await player.create_ticket(MODE, WEST_EUROPE)
            login = await meta.login_device("a-device-that-logs-out")
            await anybody.with_token(login.session_token).create_ticket(MODE, WEST_EUROPE)


async def test_whose_ban_is_read_here_first_reads_that_and_not_that_the_session_ended(
    api: Api, ends: Ends, cache: Redis
) -> None:
    ticket = await api.create(1)
    ends.add(1, api.clock.now(), "revoked")
    revoked = RevokedTokens(api.clock)
    revocations = RevocationFollower(revoked, Told([ban(1, 0.0)]), api.clock)
    await SessionEndFollower(cache, api.scripts, ends, api.clock, revocations).follow()
    assert await reason_of(api, ticket) == "the player, or one of the party, was banned"
