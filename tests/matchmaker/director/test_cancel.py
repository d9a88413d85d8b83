"""A ticket that is cancelled while its match is getting a server: it ends, or is assigned, and says which."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from launchday.settings import Settings
from matchmaker.client import MatchmakerClient, TicketEndedError
from matchmaker.queue.lease import Lease
from matchmaker.queue.proposals import MatchProposal
from matchmaker.queue.queue import MAX_REFUSALS, Queue
from matchmaker.queue.scripts import KEYS, Scripts
from tests.matchmaker.conftest import WEST_EUROPE, claim_of, token_of

MODE = "battle_royale"
MATCH = "6f9619ff-8b86-4d11-b42d-00c04fc964ff"


@pytest.fixture
async def queue(cache: Redis, scripts: Scripts, mm_settings: Settings) -> Queue:
    lease = Lease(scripts, MODE, 3_600.0)
    fence = await lease.acquire()
    assert fence is not None
    return Queue(cache, scripts, MODE, mm_settings.region_names, lease, fence)


async def proposed(
    client: MatchmakerClient, queue: Queue, players: range, party: str | None = None
) -> MatchProposal:
    """A match of these players that is getting its server."""
    tickets = [
        (await client.with_token(token_of(player)).create_ticket(MODE, WEST_EUROPE, party=party)).ticket_id
        for player in players
    ]
    n = len(tickets)
    proposal = MatchProposal(
        MATCH, MODE, "west-europe", 1, 60.0, 1.0, tickets, list(players), [1.0] * n, [12.0] * n, [0] * n
    )
    assert await queue.propose([proposal]) == [[]]
    return proposal


async def states(client: MatchmakerClient, proposal: MatchProposal) -> list[str]:
    return [
        (await client.with_token(token_of(player)).read_ticket(ticket_id)).state
        for player, ticket_id in zip(proposal.player_ids, proposal.ticket_ids, strict=True)
    ]


async def test_a_proposed_ticket_that_is_cancelled_does_not_search_again(
    client: MatchmakerClient, queue: Queue
) -> None:
    match = await proposed(client, queue, range(1, 4))
    player = client.with_token(token_of(2))
    for _ in range(2):
        marked = await player.cancel_ticket(match.ticket_ids[1])
        assert (marked.state, marked.cancel_requested) == ("proposed", True)
    assert (await queue.withdraw(MATCH, match.ticket_ids)).ended == [1]
    assert await states(client, match) == ["searching", "cancelled", "searching"]
    assert (await player.cancel_ticket(match.ticket_ids[1])).reason == "cancelled by the player"
    counters = await client.counters()
    assert (counters["queued"], counters["cancelled"], counters["searching"]) == (3, 1, 2)


async def test_one_of_a_party_who_cancels_takes_the_party_along(
    client: MatchmakerClient, queue: Queue
) -> None:
    match = await proposed(client, queue, range(1, 3), party=claim_of("p", (1, 2)))
    await client.with_token(token_of(1)).cancel_ticket(match.ticket_ids[0])
    assert (await queue.withdraw(MATCH, match.ticket_ids)).ended == [0, 1]
    assert await states(client, match) == ["cancelled", "cancelled"]


async def test_who_is_assigned_all_the_same_learns_it(client: MatchmakerClient, queue: Queue) -> None:
    match = await proposed(client, queue, range(1, 3))
    player = client.with_token(token_of(1))
    await player.cancel_ticket(match.ticket_ids[0])
    views = [
        f'{{"ticket_id":"{id_}","state":"assigned","reason":null,"assignment":null}}'.encode()
        for id_ in match.ticket_ids
    ]
    await queue.assign(match, views, 2.0)
    assert (await player.read_ticket(match.ticket_ids[0], wait_s=30)).state == "assigned"
    with pytest.raises(TicketEndedError, match="assigned"):
        await player.cancel_ticket(match.ticket_ids[0])


async def test_players_who_are_refused_again_and_again_are_told_why(
    client: MatchmakerClient, queue: Queue, cache: Redis
) -> None:
    match = await proposed(client, queue, range(1, 3))
    for times in range(1, MAX_REFUSALS):
        withdrawn = await queue.withdraw(
            MATCH, match.ticket_ids, given_up="players-refused", refused="nobody wants you"
        )
        assert withdrawn == ([], times)
        assert await queue.propose([match]) == [[]]
    withdrawn = await queue.withdraw(
        MATCH, match.ticket_ids, given_up="players-refused", refused="nobody wants you"
    )
    assert withdrawn.ended == [0, 1]
    ended = await client.with_token(token_of(1)).read_ticket(match.ticket_ids[0])
    assert (ended.state, ended.reason) == ("failed", "nobody wants you")
    assert (await client.counters())["given_up"] == {"players-refused": MAX_REFUSALS}
    assert await cache.zcard(KEYS["seen"]) == 0
