from __future__ import annotations

import asyncio
from itertools import pairwise
from uuid import uuid4

import pytest

from meta_service.client import MetaRefusedError, Party, Session
from meta_service.domain.parties import INVITATION_TTL_S, PARTY_TTL_S
from tests.meta_service.conftest import Backend


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


async def test_a_party_queues_as_one_ticket_once_everybody_is_ready(backend: Backend) -> None:
    (leader, second, third), party = await gathered(backend, 3)
    ticket = uuid4()
    await backend.client.set_ready(second.session_token)
    with refused("not-all-ready"):
        await backend.client.queue_party(leader.player_id, ticket)
    await backend.client.set_ready(third.session_token)
    with refused("not-the-leader"):
        await backend.client.queue_party(second.player_id, ticket)
    queued = await backend.client.queue_party(leader.player_id, ticket)
    assert queued.ticket_id == ticket
    assert members(queued) == members(party)
    assert await backend.client.queue_party(leader.player_id, ticket) == queued
    with refused("party-queued"):
        await backend.client.queue_party(leader.player_id, uuid4())


async def test_a_queued_party_stays_as_it_is_until_its_ticket_ends(backend: Backend) -> None:
    (leader, second), party = await gathered(backend, 2)
    guest = await backend.login()
    await backend.client.invite_to_party(leader.session_token, guest.player_id)
    await backend.client.set_ready(second.session_token)
    ticket = uuid4()
    await backend.client.queue_party(leader.player_id, ticket)
    with refused("party-queued"):
        await backend.client.accept_party(guest.session_token, party.party_id)
    with refused("party-queued"):
        await backend.client.kick_from_party(leader.session_token, second.player_id)
    with refused("party-queued"):
        await backend.client.set_ready(second.session_token, False)
    assert (await backend.client.unqueue_party(party.party_id, uuid4())).ticket_id == ticket
    assert (await backend.client.unqueue_party(party.party_id, ticket)).ticket_id is None
    joined = await backend.client.accept_party(guest.session_token, party.party_id)
    assert guest.player_id in members(joined)


async def test_who_leaves_a_queued_party_takes_it_out_and_is_told_the_ticket(backend: Backend) -> None:
    (leader, second), party = await gathered(backend, 2)
    await backend.client.set_ready(second.session_token)
    ticket = uuid4()
    version = (await backend.client.queue_party(leader.player_id, ticket)).version
    left = await backend.client.leave_party(second.session_token)
    assert (left.left, left.ticket_id) == (True, ticket)
    after = await backend.client.party(party.party_id)
    assert (after.ticket_id, members(after)) == (None, [leader.player_id])
    assert after.version > version


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
