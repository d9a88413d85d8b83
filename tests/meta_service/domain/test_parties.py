from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest

from launchday.settings import Settings
from matchmaker.rules.modes import load_modes
from meta_service.cache import keys
from meta_service.client import MetaRefusedError, Party, PartyClaim, Session, read_claim
from meta_service.domain.parties import DECLINED_S, INVITATION_TTL_S, PARTY_TTL_S, Parties
from meta_service.errors import PartyError
from meta_service.messages.party_claims import CLAIM_TTL_S
from meta_service.messages.social import MAX_PARTY_MEMBERS
from meta_service.routes.parties import most_members
from tests.meta_service.conftest import Backend

MODE = "teams_of_five"


def refused(kind: str) -> pytest.RaisesExc[MetaRefusedError]:
    return pytest.raises(MetaRefusedError, check=lambda error: error.kind == kind)


async def gathered(backend: Backend, count: int, size_limit: int = 4) -> tuple[list[Session], Party]:
    """A party of so many, the first its leader; they joined a second apart."""
    logins = await backend.logins(count)
    party = await backend.client.create_party(logins[0].session_token, size_limit)
    for login in logins[1:]:
        backend.clock.advance(1)
        await backend.client.invite_to_party(logins[0].session_token, login.player_id)
        party = await backend.client.accept_party(login.session_token, party.party_id)
    return logins, party


def members(party: Party) -> list[int]:
    return [member.player_id for member in party.members]


async def test_a_party_gathers_by_invitation_in_the_order_of_joining(backend: Backend) -> None:
    logins, party = await gathered(backend, 3)
    assert members(party) == [login.player_id for login in logins]
    assert party.leader == logins[0].player_id
    assert party.invited == []
    for login in logins:
        assert await backend.client.my_party(login.session_token) == party


async def test_an_invitation_is_listed_and_gone_once_it_is_answered_or_over(backend: Backend) -> None:
    (leader, _), party = await gathered(backend, 2)
    guests = await backend.logins(3)
    for guest in guests:
        await backend.client.invite_to_party(leader.session_token, guest.player_id)
        (invitation,) = await backend.client.party_invitations(guest.session_token)
        assert invitation.party.party_id == party.party_id
        assert invitation.expires_at == pytest.approx(backend.clock.now() + INVITATION_TTL_S, abs=0.01)
    await backend.client.accept_party(guests[0].session_token, party.party_id)
    await backend.client.decline_party(guests[1].session_token, party.party_id)
    backend.clock.advance(INVITATION_TTL_S + 1)
    for guest in guests:
        assert await backend.client.party_invitations(guest.session_token) == []
    for guest in guests[1:]:
        with refused("not-invited"):
            await backend.client.accept_party(guest.session_token, party.party_id)


async def test_nobody_joins_uninvited_or_two_parties_at_once(backend: Backend) -> None:
    (leader, _), party = await gathered(backend, 2)
    other_leader, stranger = await backend.logins(2)
    await backend.client.create_party(other_leader.session_token)
    with refused("not-invited"):
        await backend.client.accept_party(stranger.session_token, party.party_id)
    await backend.client.invite_to_party(leader.session_token, other_leader.player_id)
    with refused("in-a-party"):
        await backend.client.accept_party(other_leader.session_token, party.party_id)
    with refused("unknown-party"):
        await backend.client.accept_party(stranger.session_token, uuid4())
    with refused("no-party"):
        await backend.client.invite_to_party(stranger.session_token, leader.player_id)
    with refused("no-party"):
        await backend.client.my_party(stranger.session_token)
    with refused("unknown-player"):
        await backend.client.invite_to_party(leader.session_token, 99)


async def test_the_last_seat_goes_to_one_of_many(backend: Backend) -> None:
    (leader, _), party = await gathered(backend, 2, size_limit=3)
    guests = await backend.logins(6)
    for guest in guests:
        await backend.client.invite_to_party(leader.session_token, guest.player_id)
    answers = await asyncio.gather(
        *(backend.client.accept_party(guest.session_token, party.party_id) for guest in guests),
        return_exceptions=True,
    )
    refusals = [answer.kind for answer in answers if isinstance(answer, MetaRefusedError)]
    assert refusals == ["party-full"] * 5
    assert len((await backend.client.my_party(leader.session_token)).members) == 3


async def test_only_the_leader_kicks_and_promotes(backend: Backend) -> None:
    (leader, second, third), _ = await gathered(backend, 3)
    with refused("not-the-leader"):
        await backend.client.kick_from_party(second.session_token, third.player_id)
    with refused("not-the-leader"):
        await backend.client.promote_in_party(second.session_token, second.player_id)
    promoted = await backend.client.promote_in_party(leader.session_token, second.player_id)
    assert promoted.leader == second.player_id
    assert await backend.client.promote_in_party(leader.session_token, second.player_id) == promoted
    kicked = await backend.client.kick_from_party(second.session_token, third.player_id)
    assert members(kicked) == [leader.player_id, second.player_id]
    assert await backend.client.kick_from_party(second.session_token, third.player_id) == kicked
    with refused("not-in-the-party"):
        await backend.client.promote_in_party(second.session_token, third.player_id)
    await backend.client.create_party(third.session_token)  # free for another


async def test_when_the_leader_leaves_the_longest_member_leads_and_the_last_one_closes_the_party(
    backend: Backend,
) -> None:
    logins, party = await gathered(backend, 3)
    for gone, heir in pairwise(logins):
        assert (await backend.client.leave_party(gone.session_token)).left
        assert (await backend.client.my_party(heir.session_token)).leader == heir.player_id
    await backend.client.leave_party(logins[-1].session_token)
    assert not (await backend.client.leave_party(logins[-1].session_token)).left
    with refused("unknown-party"):
        await backend.client.party(party.party_id)


async def ready_to_queue(backend: Backend, count: int) -> tuple[list[Session], Party]:
    logins, _ = await gathered(backend, count)
    for login in logins[1:]:
        party = await backend.client.set_ready(login.session_token)
    return logins, party


def claim_in(backend: Backend, party: Party) -> PartyClaim:
    assert party.queue is not None
    return read_claim(backend.app.state.signer, party.queue.claim, backend.clock.now())


async def test_a_party_queues_with_a_claim_that_every_member_reads_once_everybody_is_ready(
    backend: Backend,
) -> None:
    (leader, second, third), party = await gathered(backend, 3)
    await backend.client.set_ready(second.session_token)
    with refused("not-all-ready"):
        await backend.client.queue_party(leader.session_token, MODE)
    await backend.client.set_ready(third.session_token)
    with refused("not-the-leader"):
        await backend.client.queue_party(second.session_token, MODE)
    queued = await backend.client.queue_party(leader.session_token, MODE)
    for login in (leader, second, third):
        assert await backend.client.my_party(login.session_token) == queued
    claim = claim_in(backend, queued)
    assert (claim.party_id, claim.mode, claim.members) == (party.party_id, MODE, members(party))
    assert claim.expires_at == pytest.approx(backend.clock.now() + CLAIM_TTL_S, abs=0.01)
    assert claim.version == queued.version


async def test_a_claim_is_for_members_and_for_a_minute(backend: Backend) -> None:
    (leader, second), party = await ready_to_queue(backend, 2)
    guest = await backend.login()
    await backend.client.invite_to_party(leader.session_token, guest.player_id)
    await backend.client.queue_party(leader.session_token, MODE)
    (invitation,) = await backend.client.party_invitations(guest.session_token)
    assert invitation.party.queue is None
    assert (await backend.client.party(party.party_id)).queue is None
    backend.clock.advance(CLAIM_TTL_S + 1)
    assert (await backend.client.my_party(second.session_token)).queue is None


async def test_a_party_queues_for_nothing_that_seats_fewer_nor_alone_nor_without_a_member_who_is_there(
    backend: Backend,
) -> None:
    logins, _ = await ready_to_queue(backend, 2)
    context = backend.app.state.context
    with refused("party-too-large"):
        settings = context.settings.model_copy(update={"party_sizes": "duel=1"})
        backend.app.state.context = dataclasses.replace(context, settings=settings)
        await backend.client.queue_party(logins[0].session_token, "duel")
    await backend.client.revoke(logins[1].player_id)
    with refused("member-logged-out"):
        await backend.client.queue_party(logins[0].session_token, MODE)
    await backend.client.kick_from_party(logins[0].session_token, logins[1].player_id)
    with refused("party-of-one"):
        await backend.client.queue_party(logins[0].session_token, MODE)


def test_the_modes_that_ship_seat_as_many_as_their_cards_say() -> None:
    settings = Settings()
    for name, mode in load_modes(settings).items():
        seats = most_members(settings, name) or MAX_PARTY_MEMBERS
        assert min(seats, MAX_PARTY_MEMBERS) == min(mode.rules.team_size, MAX_PARTY_MEMBERS)
    assert most_members(settings, "teams_of_five") == 5
    assert most_members(Settings(party_sizes="teams_of_five=3"), "teams_of_five") == 3
    assert most_members(settings, "duel") is None


async def changes(backend: Backend, after: str = "0-0") -> list[tuple[UUID, str]]:
    return [(each.claim_id, each.why) for each in (await backend.client.party_changes(after)).changes]


async def test_what_changes_a_party_that_queues_voids_its_claim_and_is_told_to_the_matchmaker(
    backend: Backend,
) -> None:
    client, cursor = backend.client, "0-0"
    whys = ("joined", "left", "kicked", "not-ready", "logged-out", "withdrawn", "queued-anew")
    for why in whys:
        (leader, second, third), party = await ready_to_queue(backend, 3)
        guest = await backend.login()
        await client.invite_to_party(leader.session_token, guest.player_id)
        claim = claim_in(backend, await client.queue_party(leader.session_token, MODE))
        assert await changes(backend, cursor) == []
        backend.clock.advance(CLAIM_TTL_S + 1)  # its tickets are in the queue
        steps: dict[str, Callable[[], Awaitable[object]]] = {
            "joined": lambda: client.accept_party(guest.session_token, party.party_id),  # noqa: B023
            "left": lambda: client.leave_party(leader.session_token),  # noqa: B023
            "kicked": lambda: client.kick_from_party(leader.session_token, third.player_id),  # noqa: B023
            "not-ready": lambda: client.set_ready(second.session_token, False),  # noqa: B023
            "logged-out": lambda: client.log_out(third.session_token),  # noqa: B023
            "withdrawn": lambda: client.unqueue_party(third.session_token),  # noqa: B023
            "queued-anew": lambda: client.queue_party(leader.session_token, "battle_royale"),  # noqa: B023
        }
        await steps[why]()
        assert await changes(backend, cursor) == [(claim.claim_id, why)]
        cursor = (await client.party_changes(cursor)).cursor
        now = await client.my_party(second.session_token)
        assert (now.queue is not None) == (why == "queued-anew")
        leads = token_of(now, leader, second, third)
        await client.promote_in_party(leads, second.player_id)  # who leads was never agreed on
        assert await changes(backend, cursor) == []


def token_of(party: Party, *logins: Session) -> str:
    [token] = [login.session_token for login in logins if login.player_id == party.leader]
    return token


async def test_changes_are_read_in_pages_from_a_cursor_on(backend: Backend) -> None:
    (leader, _), _ = await ready_to_queue(backend, 2)
    for _ in range(3):
        await backend.client.queue_party(leader.session_token, MODE)
    page = await backend.client.party_changes()
    assert len(page.changes) == 2
    assert (await backend.client.party_changes(page.cursor)).changes == []
    await backend.client.unqueue_party(leader.session_token)
    assert [each.why for each in (await backend.client.party_changes(page.cursor)).changes] == ["withdrawn"]
    assert (
        len((await backend.client.party_changes("9999999999999-0")).changes) == 3
    )  # of a stream that is lost


async def test_who_queues_with_a_party_is_told_to_whoever_asks_for_skills(backend: Backend) -> None:
    (leader, second), _ = await ready_to_queue(backend, 2)
    alone = await backend.login()
    ids = [leader.player_id, second.player_id, alone.player_id]
    claim = claim_in(backend, await backend.client.queue_party(leader.session_token, MODE))
    assert (await backend.client.skills(MODE, ids)).queued == dict.fromkeys(ids[:2], claim.claim_id)
    await backend.client.kick_from_party(leader.session_token, second.player_id)
    told = await backend.client.skills(MODE, ids)
    assert told.queued == {}
    assert told.void == dict.fromkeys(ids[:2], claim.claim_id)


async def test_a_flood_of_invitations_is_bounded_and_read_in_one_go(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meta_service.domain.parties.MAX_INCOMING", 3)
    victim = await backend.login()
    hosts = await backend.logins(5)
    for host in hosts:
        backend.clock.advance(1)
        await backend.client.create_party(host.session_token)
        party = await backend.client.invite_to_party(host.session_token, victim.player_id)
        assert party.invited == [victim.player_id]
    listed = await backend.client.party_invitations(victim.session_token)
    assert [each.party.leader for each in listed] == [host.player_id for host in hosts[2:]]
    assert (await backend.client.my_party(hosts[0].session_token)).invited == []  # it made room
    await backend.client.accept_party(victim.session_token, listed[0].party.party_id)


async def test_who_declined_is_not_asked_again_for_a_day_by_the_same_player_who_is_not_told(
    backend: Backend,
) -> None:
    (host, other_host), _ = await gathered(backend, 2)
    guest = await backend.login()
    parties: Parties = backend.app.state.context.parties
    first = await backend.client.invite_to_party(host.session_token, guest.player_id)
    await backend.client.decline_party(guest.session_token, first.party_id)
    again = await backend.client.invite_to_party(host.session_token, guest.player_id)
    assert again.invited == first.invited
    assert await backend.client.party_invitations(guest.session_token) == []
    await backend.client.invite_to_party(other_host.session_token, guest.player_id)
    assert len(await backend.client.party_invitations(guest.session_token)) == 1
    tomorrow = backend.clock.now() + DECLINED_S + 1
    redis = backend.app.state.context.players.cache.redis
    await redis.persist(f"{{meta}}:party:{first.party_id}")  # it is played with until then
    await parties.invite(host.player_id, guest.player_id, tomorrow)
    assert len(await parties.invitations(guest.player_id, tomorrow)) == 1


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_players_do_a_party_has_one_leader_its_limit_and_claims_for_its_members_alone(
    backend: Backend, seed: int
) -> None:
    chance = random.Random(seed)
    parties: Parties = backend.app.state.context.parties
    ids = [login.player_id for login in await backend.logins(6)]
    told: dict[UUID, list[int]] = {}  # claims that were given, and to whom
    now = backend.clock.now()

    async def step() -> None:
        one, other = chance.sample(ids, 2)
        invited = await parties.invitations(one, now)
        moves: list[Callable[[], Awaitable[object]]] = [
            lambda: parties.create(one, 3, now),
            lambda: parties.invite(one, other, now),
            lambda: parties.accept(one, chance.choice(invited).party.party_id, now),
            lambda: parties.accept(one, chance.choice(invited).party.party_id, now),
            lambda: parties.leave(one, now),
            lambda: parties.kick(one, other, now),
            lambda: parties.promote(one, other, now),
            lambda: parties.set_ready(one, False, now),
            lambda: parties.log_out(one, now),
            *[lambda: play(one)] * 4,
            *[lambda: join(one, other)] * 4,
        ]
        await chance.choice(moves)()

    async def join(one: int, other: int) -> None:
        party = await parties.party_of(one, now) or await parties.create(one, 3, now)
        await parties.invite(one, other, now)
        await parties.accept(other, party.party_id, now)

    async def play(one: int) -> None:
        party = await parties.party_of(one, now)
        for player_id in members(party) if party else []:
            await parties.set_ready(player_id, True, now)
        if party is not None:
            await parties.queue(party.leader, MODE, now)

    for _ in range(50):
        steps = await asyncio.gather(*(step() for _ in range(3)), return_exceptions=True)
        assert all(isinstance(each, PartyError | IndexError | None) for each in steps), steps
        seen: dict[UUID, Party] = {}
        for player_id in ids:
            party = await parties.party_of(player_id, now)
            if party is not None:
                seen.setdefault(party.party_id, party)
                assert player_id in members(party)
        assert sum(len(party.members) for party in seen.values()) == len(
            {id_ for party in seen.values() for id_ in members(party)}
        )
        void = {each.claim_id for each in (await backend.client.party_changes()).changes}
        for party in seen.values():
            assert party.leader in members(party)
            assert len(party.members) <= party.size_limit == 3
            if party.queue is not None:
                claim = claim_in(backend, party)
                assert claim.members == members(party)
                assert claim.claim_id not in void
                told[claim.claim_id] = claim.members
        alive = {claim_in(backend, party).claim_id for party in seen.values() if party.queue is not None}
        assert set(told) - void == alive
    assert told


async def test_a_party_nobody_touches_is_forgotten(backend: Backend) -> None:
    (leader, second), party = await gathered(backend, 2)
    redis = backend.app.state.context.players.cache.redis
    for key in await redis.keys("{meta}:party*"):
        assert 0 < await redis.pttl(key) <= PARTY_TTL_S * 1000
        await redis.delete(key) if str(party.party_id) in key else None
    with refused("no-party"):
        await backend.client.my_party(second.session_token)
    assert members(await backend.client.create_party(leader.session_token)) == [leader.player_id]


async def test_a_party_invites_no_more_than_it_may(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meta_service.domain.parties.MAX_INVITATIONS", 2)
    (leader, _), _ = await gathered(backend, 2)
    guests = await backend.logins(3)
    for guest in guests[:2]:
        await backend.client.invite_to_party(leader.session_token, guest.player_id)
    with refused("too-many-invitations"):
        await backend.client.invite_to_party(leader.session_token, guests[2].player_id)
    await backend.client.kick_from_party(leader.session_token, guests[0].player_id)  # taken back
    await backend.client.invite_to_party(leader.session_token, guests[2].player_id)


async def test_a_step_looks_again_where_somebody_joined_since_it_looked(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, guest = await backend.logins(2)
    party = await backend.client.create_party(host.session_token)
    await backend.client.invite_to_party(host.session_token, guest.player_id)
    parties: Parties = backend.app.state.context.parties
    now, look, looks = backend.clock.now(), parties._look, 0

    async def overtaken(*asked: Any) -> Any:
        """Who is invited joins between the first look and its step."""
        nonlocal looks
        found = await look(*asked)
        looks += 1
        if looks == 1:
            await parties.accept(guest.player_id, party.party_id, now)
        return found

    monkeypatch.setattr(parties, "_look", overtaken)
    changed = await parties.set_ready(host.player_id, True, now)
    assert set(members(changed)) == {host.player_id, guest.player_id}
    assert looks == 3  # of the step that was overtaken, of the guest's, and of the step again


async def test_a_leader_who_logs_out_while_the_party_is_queued_is_noticed(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    (leader, _), _ = await ready_to_queue(backend, 2)
    parties: Parties = backend.app.state.context.parties
    logged_out, asked = parties._logged_out, 0

    async def overtaken(player_ids: Any) -> str:
        """The leader's log-out comes between the look at the sessions and the step."""
        nonlocal asked
        found = await logged_out(player_ids)
        asked += 1
        if asked == 1:
            await backend.client.log_out(leader.session_token)
        return found

    monkeypatch.setattr(parties, "_logged_out", overtaken)
    with pytest.raises(PartyError, match="logged out"):
        await parties.queue(leader.player_id, MODE, backend.clock.now())
    assert asked == 2


async def test_what_a_process_of_an_earlier_release_queued_counts_until_it_is_void(backend: Backend) -> None:
    (leader, second), _ = await ready_to_queue(backend, 2)
    ids = [leader.player_id, second.player_id]
    redis = backend.app.state.context.players.cache.redis
    claim = claim_in(backend, await backend.client.queue_party(leader.session_token, MODE))
    for player_id in ids:  # as an earlier release keeps it
        kept = await redis.hget(keys.claims(player_id), "queued")
        await redis.delete(keys.claims(player_id))
        await redis.hset(backend.keys.player(player_id), "queued", kept)
    assert (await backend.client.skills(MODE, ids)).queued == dict.fromkeys(ids, claim.claim_id)
    await backend.client.kick_from_party(leader.session_token, second.player_id)
    told = await backend.client.skills(MODE, ids)
    assert (told.queued, told.void) == ({}, dict.fromkeys(ids, claim.claim_id))
