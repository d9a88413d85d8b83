"""Whose party a ticket belongs to is the meta service's word: claims, and what changes after one."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import httpx2
import pytest
from redis.asyncio import Redis

from launchday.clock import ManualClock, SystemClock
from launchday.identity import Signer
from launchday.problems import ProblemError
from launchday.settings import Settings
from matchmaker.api.app import create_api
from matchmaker.api.attendance import Attendance
from matchmaker.api.party_changes import REASONS, PartyChangeFollower
from matchmaker.api.party_claims import CLAIM_PREFIX, ClaimReader
from matchmaker.api.ticket_writer import GATHERING_GRACE_S
from matchmaker.client import MatchmakerClient
from matchmaker.messages import PartyRequest
from matchmaker.queue.queue import Queue
from matchmaker.queue.scripts import KEYS, Scripts
from matchmaker.tickets.ticket import Ticket
from meta_service.app import build
from meta_service.client import MetaClient, PartyChange, PartyChanges
from tests.matchmaker.api.test_attendance import Api
from tests.matchmaker.conftest import SECRET, WEST_EUROPE, StubSkills, claim_of, served, token_of
from tests.matchmaker.director.test_cancel import MATCH, proposed, queue, states

__all__ = ["queue"]  # a fixture

MODE = "battle_royale"
TEAMS = "teams_of_five"
OTHER_SECRET = "another-secret-0123456789abcdef0123"


async def ask(api_url: str, player: int, party: dict[str, Any] | None, mode: str = MODE) -> tuple[int, str]:
    """The status, and the problem's slug."""
    body: dict[str, Any] = {"mode": mode, "latencies_ms": WEST_EUROPE}
    headers = {"Authorization": f"Bearer {token_of(player)}"}
    async with httpx2.AsyncClient(base_url=api_url, headers=headers, trust_env=False) as http:
        answer = await http.post("/v1/tickets", json=body if party is None else body | {"party": party})
    return answer.status_code, str(answer.json().get("type", "")).removeprefix("urn:launchday:")


async def test_a_stranger_with_a_partys_id_or_its_claim_takes_nobodys_seat(
    api_url: str, client: MatchmakerClient
) -> None:
    claim = {"claim": claim_of("p", (1, 2))}
    assert await ask(api_url, 3, {"party_id": str(UUID(int=1)), "size": 2}) == (422, "party-claim-needed")
    assert await ask(api_url, 3, {}) == (422, "party-claim-needed")
    assert await ask(api_url, 3, claim) == (403, "not-a-member")
    assert await ask(api_url, 1, claim) == await ask(api_url, 2, claim) == (201, "")
    assert (await client.counters())["searching"] == 2


async def test_a_claim_that_is_none_is_over_or_is_for_something_else_is_refused_with_the_reason(
    api_url: str,
) -> None:
    for claim, refusal in (
        (claim_of("p", (1, 2), secret=OTHER_SECRET), (422, "party-claim-invalid")),
        (token_of(1), (422, "party-claim-invalid")),
        ("not a claim", (422, "party-claim-invalid")),
        (claim_of("p", (1, 2), left_s=-1.0), (409, "party-claim-expired")),
        (claim_of("p", (1, 2), TEAMS), (409, "party-mode")),
    ):
        assert await ask(api_url, 1, {"claim": claim}) == refusal
    claim = claim_of("p", range(1, 7), TEAMS)
    assert await ask(api_url, 1, {"claim": claim}, TEAMS) == (422, "party-too-large")


async def test_a_member_comes_once_and_a_claim_queues_once(api_url: str, client: MatchmakerClient) -> None:
    claim = claim_of("p", (1, 2))
    own = client.with_token(token_of(1))
    made = await own.create_ticket(MODE, WEST_EUROPE, party=claim)
    assert await ask(api_url, 1, {"claim": claim}) == (409, "ticket-exists")
    await own.cancel_ticket(made.ticket_id)
    assert await ask(api_url, 1, {"claim": claim}) == (409, "party-claim-used")
    assert await ask(api_url, 2, {"claim": claim}) == (409, "party-claim-used")
    assert await ask(api_url, 2, None) == (201, "")


async def test_a_service_joins_no_party_that_queues_with_a_claim(
    api_url: str, client: MatchmakerClient
) -> None:
    assert await ask(api_url, 1, {"claim": claim_of("p", (1, 2))}) == (201, "")
    party = {"party_id": f"{CLAIM_PREFIX}{uuid5(NAMESPACE_OID, 'p')}", "size": 2}
    asked = {"player_id": 3, "mode": MODE, "latencies_ms": WEST_EUROPE, "party": party}
    assert [each["outcome"] for each in await client.create_tickets([asked])] == ["refused"]


def test_a_claim_whose_key_was_taken_out_is_no_claim_any_more() -> None:
    signer, clock = Signer(SECRET), SystemClock()
    reader, request = ClaimReader(signer, clock), PartyRequest(claim=claim_of("p", (1, 2)))
    assert reader.party_of(1, MODE, request, clock.now()).size == 2
    signer.use(Signer(OTHER_SECRET).keys)
    with pytest.raises(ProblemError, match="not valid"):
        reader.party_of(1, MODE, request, clock.now())


async def test_a_member_who_queues_alone_already_does_not_join(
    api_url: str, client: MatchmakerClient
) -> None:
    await client.with_token(token_of(2)).create_ticket(MODE, WEST_EUROPE)
    claim = {"claim": claim_of("p", (1, 2))}
    assert await ask(api_url, 1, claim) == (201, "")
    assert await ask(api_url, 2, claim) == (409, "ticket-exists")


async def test_a_member_plays_alone_only_when_the_party_does_not_wait_for_them(
    api_url: str, client: MatchmakerClient, skills: StubSkills
) -> None:
    queueing = str(uuid5(NAMESPACE_OID, "p"))
    skills.queued = dict.fromkeys((1, 2), queueing)
    assert await ask(api_url, 2, None) == (409, "party-queued")
    claim = claim_of("p", (1, 2))
    first = await client.with_token(token_of(1)).create_ticket(MODE, WEST_EUROPE, party=claim)
    assert await ask(api_url, 2, None) == (409, "party-queued")
    # A service answers for whom it queues.
    [lobby] = await client.create_tickets([{"player_id": 2, "mode": MODE, "latencies_ms": WEST_EUROPE}])
    assert lobby["outcome"] == "created"
    await client.with_token(token_of(2)).cancel_ticket(lobby["ticket_id"])
    await client.with_token(token_of(1)).cancel_ticket(first.ticket_id)
    assert await ask(api_url, 2, None) == (201, "")


async def test_a_claim_of_an_earlier_queueing_is_refused_before_its_change_is_told(
    api_url: str, skills: StubSkills
) -> None:
    skills.queued = {1: str(uuid5(NAMESPACE_OID, "newer"))}
    assert await ask(api_url, 1, {"claim": claim_of("p", (1, 2))}) == (409, "party-changed")
    assert await ask(api_url, 1, {"claim": claim_of("newer", (1, 2))}) == (201, "")
    skills.void = {2: str(uuid5(NAMESPACE_OID, "newer"))}  # they were removed
    assert await ask(api_url, 2, {"claim": claim_of("newer", (1, 2))}) == (409, "party-changed")
    assert await ask(api_url, 2, None) == (201, "")


async def test_two_queues_never_share_a_party_whatever_services_call_it(
    client: MatchmakerClient, cache: Redis
) -> None:
    """Both wait, and who cancels one takes nothing out of the other."""
    party = {"party_id": "p", "size": 2}
    tickets = [
        {"player_id": player, "mode": mode, "latencies_ms": WEST_EUROPE, "party": party}
        for player, mode in ((1, TEAMS), (2, MODE), (3, TEAMS))
    ]
    made = await client.create_tickets(tickets)
    assert [each["outcome"] for each in made] == ["created", "mismatch", "created"]
    await client.with_token(token_of(1)).cancel_ticket(made[0]["ticket_id"])
    counters = await client.counters()
    assert counters["queued"] == counters["cancelled"] == 2
    assert counters["searching"] == 0
    views = [await client.with_token(token_of(n)).read_ticket(made[n - 1]["ticket_id"]) for n in (1, 3)]
    assert [view.reason for view in views] == ["cancelled by the player", "cancelled by another of the party"]


@dataclass
class Changes:
    """The changes that a meta service tells of: the cursor counts them."""

    changes: list[PartyChange] = field(default_factory=list)

    def add(self, name: str, why: str) -> None:
        self.changes.append(PartyChange(uuid5(NAMESPACE_OID, name), why, 0.0))

    async def party_changes(self, after: str = "0-0") -> PartyChanges:
        return PartyChanges(self.changes[int(after.partition("-")[0]) :], f"{len(self.changes)}-0")


async def test_a_party_that_changed_is_taken_back_with_the_reason_and_takes_nobody_more(
    client: MatchmakerClient, cache: Redis, scripts: Scripts, api_url: str
) -> None:
    changes = Changes()
    changes.add("nobody's", "left")
    made = {}
    for number, why in enumerate((*REASONS, "a-later-release-says")):
        members = range(10 * number + 1, 10 * number + 4)
        for player in members[:2]:  # the third is to come
            own = client.with_token(token_of(player))
            made[player] = why, await own.create_ticket(MODE, WEST_EUROPE, party=claim_of(why, members))
        changes.add(why, why)
    other = await client.with_token(token_of(999)).create_ticket(MODE, WEST_EUROPE)
    for _ in range(2):
        await PartyChangeFollower(cache, scripts, changes, scripts.clock).follow()
    for player, (why, ticket) in made.items():
        view = await client.with_token(token_of(player)).read_ticket(ticket.ticket_id)
        assert (view.state, view.reason) == ("cancelled", REASONS.get(why, "the party changed"))
    assert (await client.with_token(token_of(999)).read_ticket(other.ticket_id)).state == "searching"
    assert await ask(api_url, 3, {"claim": claim_of("joined", (1, 2, 3))}) == (409, "party-changed")
    counters = await client.counters()
    assert counters["party_changed"] == counters["cancelled"] == len(made)
    assert await cache.zcard(KEYS["gathering"]) == 0


async def test_a_ticket_that_is_on_its_way_when_the_party_changes_is_refused(
    cache: Redis, scripts: Scripts, api_url: str
) -> None:
    changes = Changes()
    changes.add("p", "kicked")
    await PartyChangeFollower(cache, scripts, changes, scripts.clock).follow()
    assert await ask(api_url, 1, {"claim": claim_of("p", (1, 2))}) == (409, "party-changed")
    key = f"{KEYS['party']}{CLAIM_PREFIX}{uuid5(NAMESPACE_OID, 'p')}"
    assert 60 < await cache.ttl(key) <= 180


async def test_a_party_that_changes_while_its_match_gets_a_server_does_not_search_again(
    client: MatchmakerClient, queue: Queue, cache: Redis, scripts: Scripts
) -> None:
    match = await proposed(client, queue, range(1, 3), party=claim_of("p", (1, 2)))
    changes = Changes()
    changes.add("p", "left")
    await PartyChangeFollower(cache, scripts, changes, scripts.clock).follow()
    assert await states(client, match) == ["proposed", "proposed"]
    assert (await queue.withdraw(MATCH, match.ticket_ids)).ended == [0, 1]
    view = await client.with_token(token_of(2)).read_ticket(match.ticket_ids[1])
    assert view.reason == REASONS["left"]


async def test_a_party_that_is_not_complete_in_time_is_taken_back(cache: Redis) -> None:
    api = Api(cache, ManualClock())
    now = api.clock.now()

    def ticket(player: int, name: str) -> Ticket:
        id_, until = api.clock.uuid(), now + 60.0
        return Ticket(
            id_, player, now, now + 300.0, "pc", True, "", (12.0,), name, 2, party_until=until
        )  # fmt: skip

    made = [ticket(player, name) for player, name in ((1, "half"), (2, "whole"), (3, "whole"))]
    for each in made:
        await api.writer.submit(MODE, each)
    attendance: Attendance = api.attendance
    for seconds, state in ((60.0, "searching"), (GATHERING_GRACE_S, "cancelled")):
        api.clock.advance(seconds)
        await attendance.attend()
        assert await api.state(str(made[0].ticket_id)) == state
    half = await api.store.read(str(made[0].ticket_id))
    assert half is not None
    assert half.view.reason == "the party was not complete in time: a member made no ticket"
    assert [await api.state(str(each.ticket_id)) for each in made[1:]] == ["searching", "searching"]


async def test_over_real_services_a_party_queues_and_who_leaves_takes_its_tickets_back(
    settings: Settings,
) -> None:
    async with served(build(settings)) as meta_url:
        own = settings.model_copy(update={"meta_url": meta_url, "tickets_per_player_s": 0.0})
        service = Signer(own.identity_secret.get_secret_value()).service_token("tests", time.time())
        async with (
            served(create_api(own, SystemClock())) as url,
            MetaClient(meta_url, service) as meta,
            MatchmakerClient(url) as anybody,
        ):
            leader, friend = [await meta.login_device(f"a-device-of-{name}") for name in ("ada", "bob")]
            party = await meta.create_party(leader.session_token)
            await meta.invite_to_party(leader.session_token, friend.player_id)
            await meta.accept_party(friend.session_token, party.party_id)
            await meta.set_ready(friend.session_token)
            await meta.queue_party(leader.session_token, TEAMS)

            async def ticket_of(token: str) -> tuple[MatchmakerClient, str]:
                read = await meta.my_party(token)
                assert read.queue is not None
                player = anybody.with_token(token)
                made = await player.create_ticket(read.queue.mode, WEST_EUROPE, party=read.queue.claim)
                return player, made.ticket_id

            player, ticket_id = await ticket_of(leader.session_token)
            await ticket_of(friend.session_token)
            following = player.follow_ticket(ticket_id)
            assert (await anext(following)).state == "searching"
            async with asyncio.timeout(10):
                await meta.leave_party(friend.session_token)
                ended = [view async for view in following][-1]
            assert (ended.state, ended.reason) == ("cancelled", "the party changed: a member has left")
