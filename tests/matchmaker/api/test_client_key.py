"""A client key stands for one wish, for as long as its ticket lives."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from launchday.clock import SystemClock
from launchday.settings import Settings
from matchmaker.api.skills import HeldPlayer
from matchmaker.client import InMatchError, MatchmakerClient, TicketExistsError
from matchmaker.director.requeue import Requeuer
from matchmaker.messages import TicketRequest
from matchmaker.queue.lease import Lease
from matchmaker.queue.queue import Queue
from matchmaker.queue.scripts import KEYS, Scripts
from matchmaker.tickets.wish import wish_of
from tests.matchmaker.conftest import (
    EAST_US,
    WEST_EUROPE,
    MakeDirector,
    StubSkills,
    claim_of,
    running,
    token_of,
)
from tests.matchmaker.director.test_requeue import TellingFleet

MODE = "battle_royale"
WISH: dict[str, Any] = {"mode": MODE, "latencies_ms": WEST_EUROPE, "client_key": "k"}
OTHER_WISHES: list[dict[str, Any]] = [
    {"mode": "teams_of_five"},
    {"platform": "xbox"},
    {"cross_play": False},
    {"party": {"claim": claim_of("p", (7, 8), left_s=3600.0)}},  # signed when the tests are collected
]


async def ask(api_url: str, player: int, **changes: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token_of(player)}"}
    async with httpx2.AsyncClient(base_url=api_url, headers=headers, trust_env=False) as http:
        return await http.post("/v1/tickets", json=WISH | changes)


@pytest.mark.parametrize("change", OTHER_WISHES)
async def test_another_wish_under_the_key_of_a_live_ticket_is_refused_and_says_so(
    client: MatchmakerClient, api_url: str, change: dict[str, Any]
) -> None:
    first = await ask(api_url, 7)
    other = await ask(api_url, 7, **change)
    assert (first.status_code, other.status_code) == (201, 409)
    assert other.headers["Content-Type"] == "application/problem+json"
    problem = other.json()
    assert problem["type"] == "urn:launchday:client-key-in-use"
    assert "belongs to another wish" in problem["detail"]
    assert problem["ticket_id"] == first.json()["ticket_id"]
    assert (await ask(api_url, 7)).json() == first.json()
    with pytest.raises(TicketExistsError, match="another wish") as exists:
        await client.with_token(token_of(7)).create_ticket(
            "teams_of_five", WEST_EUROPE, client_key="k", platform="mobile"
        )
    assert exists.value.ticket_id == first.json()["ticket_id"]
    assert (await client.counters())["queued"] == 1


async def test_a_retry_that_has_measured_its_round_trips_anew_gets_the_same_ticket(api_url: str) -> None:
    first = await ask(api_url, 7)
    again = await ask(api_url, 7, latencies_ms=EAST_US)
    assert (again.status_code, again.json()) == (200, first.json())


async def test_of_many_retries_at_once_one_makes_the_ticket_and_all_get_it(
    client: MatchmakerClient, api_url: str
) -> None:
    answers = await asyncio.gather(*[ask(api_url, 7) for _ in range(20)])
    assert sorted(each.status_code for each in answers) == [200] * 19 + [201]
    assert len({each.json()["ticket_id"] for each in answers}) == 1
    assert (await client.counters())["queued"] == 1


async def test_of_many_wishes_under_one_key_at_once_one_is_granted(
    client: MatchmakerClient, api_url: str
) -> None:
    none: dict[str, Any] = {}
    wishes = [none, *OTHER_WISHES[1:]] * 5
    answers = await asyncio.gather(*[ask(api_url, 7, **wish) for wish in wishes])
    [made] = [each for each in answers if each.status_code == 201]
    granted = wishes[answers.index(made)]
    for wish, answer in zip(wishes, answers, strict=True):
        assert (answer.status_code == 409) == (wish != granted)
        assert answer.json()["ticket_id"] == made.json()["ticket_id"]
    assert (await client.counters())["queued"] == 1


@pytest.mark.parametrize("end", ["cancelled", "expired", "failed"])
@pytest.mark.parametrize("change", [{}, {"mode": "teams_of_five"}])
async def test_after_its_tickets_end_the_key_makes_a_new_one(
    client: MatchmakerClient,
    api_url: str,
    cache: Redis,
    scripts: Scripts,
    mm_settings: Settings,
    end: str,
    change: dict[str, Any],
) -> None:
    first = (await ask(api_url, 7)).json()["ticket_id"]
    lease = Lease(scripts, MODE, 60.0)
    fence = await lease.acquire()
    assert fence is not None
    player = client.with_token(token_of(7))
    if end == "cancelled":
        await player.cancel_ticket(first)
    elif end == "expired":
        await scripts.expire_tickets([MODE, 10, 0], time.time() + mm_settings.ticket_ttl_s + 1, mode=MODE)
    else:
        queue = Queue(cache, scripts, MODE, mm_settings.region_names, lease, fence)
        await queue.fail_tickets([first], "nobody can play this")
    assert (await player.read_ticket(first)).state == end
    again = await ask(api_url, 7, **change)
    assert (again.status_code, again.json()["state"]) == (201, "searching")
    assert again.json()["ticket_id"] != first


async def assigned(
    client: MatchmakerClient, api_url: str, make_director: MakeDirector, settings: Settings
) -> list[str]:
    """A match of players 1 to 4, each with the key ``k``: their tickets."""
    tickets = [(await ask(api_url, player)).json()["ticket_id"] for player in range(1, 5)]
    async with running(make_director(settings)):
        for player, ticket_id in enumerate(tickets, start=1):
            end = await client.with_token(token_of(player)).wait_for_end(ticket_id, 50)
            assert end.state == "assigned"
    return tickets


async def test_a_retry_whose_answer_was_lost_finds_the_ticket_that_was_assigned_meanwhile(
    client: MatchmakerClient,
    api_url: str,
    make_director: MakeDirector,
    mm_settings: Settings,
    skills: StubSkills,
    cache: Redis,
) -> None:
    tickets = await assigned(client, api_url, make_director, mm_settings)
    again = await ask(api_url, 1)
    assert (again.status_code, again.json()["ticket_id"]) == (200, tickets[0])
    assert again.json()["state"] == "assigned"
    # For as long as its player is in that match, too; another wish is then one for another match.
    view = await client.with_token(token_of(2)).read_ticket(tickets[1])
    assert view.assignment is not None
    skills.held[2] = HeldPlayer(view.assignment.match_id, "gs-1", 4e9)
    await cache.hset(KEYS["ticket"] + tickets[1], "assigned_at", "1")
    assert (await ask(api_url, 2)).json()["ticket_id"] == tickets[1]
    with pytest.raises(InMatchError):
        await client.with_token(token_of(2)).create_ticket(
            MODE, WEST_EUROPE, client_key="k", cross_play=False
        )


async def test_once_the_match_is_over_the_key_makes_a_new_ticket(
    client: MatchmakerClient, api_url: str, make_director: MakeDirector, mm_settings: Settings, cache: Redis
) -> None:
    tickets = await assigned(client, api_url, make_director, mm_settings)
    await cache.hset(KEYS["ticket"] + tickets[0], "assigned_at", repr(time.time() - 31))
    again = await ask(api_url, 1)
    assert (again.status_code, again.json()["state"]) == (201, "searching")


async def test_the_ticket_that_replaces_a_lost_one_keeps_key_and_wish(
    client: MatchmakerClient,
    api_url: str,
    make_director: MakeDirector,
    mm_settings: Settings,
    cache: Redis,
    scripts: Scripts,
) -> None:
    tickets = await assigned(client, api_url, make_director, mm_settings)
    view = await client.with_token(token_of(1)).read_ticket(tickets[0])
    assert view.assignment is not None
    telling = TellingFleet()
    telling.tell(view.assignment.match_id)
    await Requeuer(cache, scripts, telling, ticket_ttl_s=300.0, clock=SystemClock()).follow(0.0)
    requeued = (await client.with_token(token_of(1)).read_ticket(tickets[0])).requeued_as
    assert requeued is not None
    again = await ask(api_url, 1)
    assert (again.status_code, again.json()["ticket_id"]) == (200, requeued)
    assert (await ask(api_url, 1, platform="xbox")).json()["type"] == "urn:launchday:client-key-in-use"
    await client.with_token(token_of(1)).cancel_ticket(requeued)
    assert (await ask(api_url, 1)).status_code == 201


async def test_a_service_hears_that_a_key_is_in_use_for_something_else(
    client: MatchmakerClient, api_url: str
) -> None:
    first = (await ask(api_url, 7)).json()["ticket_id"]
    [same, other] = await client.create_tickets(
        [WISH | {"player_id": 7}, WISH | {"player_id": 7, "cross_play": False}]
    )
    assert (same["outcome"], same["ticket_id"]) == ("repeated", first)
    assert (other["outcome"], other["ticket_id"]) == ("busy", first)
    assert "belongs to another wish" in other["detail"]


async def test_a_ticket_of_before_wishes_were_kept_is_repeated_as_it_was(api_url: str, cache: Redis) -> None:
    first = (await ask(api_url, 7)).json()["ticket_id"]
    await cache.hdel(KEYS["ticket"] + first, "wish")
    assert (await ask(api_url, 7)).json()["ticket_id"] == first


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=4)
values = st.one_of(
    st.fixed_dictionaries({"N": st.integers(-99, 99)}),
    st.fixed_dictionaries({"S": names}),
    st.fixed_dictionaries({"SL": st.lists(names, max_size=3)}),
    st.fixed_dictionaries({"SDM": st.dictionaries(names, st.integers(0, 9), max_size=3)}),
)
wishes = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["a", "b", "a\0b", 'a"']),
        "platform": st.sampled_from(["pc", "xbox"]),
        "cross_play": st.booleans(),
        "party": st.none()
        | st.fixed_dictionaries({"party_id": names, "size": st.integers(2, 3)})
        | st.fixed_dictionaries({"claim": names}),
        "attributes": st.none() | st.dictionaries(names, values, min_size=1, max_size=3),
    }
)


@given(one=wishes, other=wishes, ms=st.floats(0, 60_000))
def test_two_requests_are_one_wish_where_they_differ_in_round_trips_and_order_alone(
    one: dict[str, Any], other: dict[str, Any], ms: float
) -> None:
    def read(wish: dict[str, Any], latency_ms: float) -> str:
        attributes = wish["attributes"] and dict(reversed(wish["attributes"].items()))
        turned = wish | {"attributes": attributes} if latency_ms else wish
        document = {"latencies_ms": {"here": latency_ms}, "client_key": "k", **turned}
        return wish_of(msgspec.json.decode(msgspec.json.encode(document), type=TicketRequest))

    assert read(one, 0.0) == read(one, ms)
    assert (read(one, 0.0) == read(other, ms)) == (one == other)
