from __future__ import annotations

import asyncio

import pytest

from launchday.settings import Settings
from meta_service.client import MetaUnavailableError, Session
from meta_service.domain.blocks import KEPT_S
from meta_service.domain.friends import DECLINED_S, Friends
from tests.meta_service.conftest import Backend, Clock, running
from tests.meta_service.domain.test_accounts import NOBODY
from tests.meta_service.domain.test_friends import befriended
from tests.meta_service.domain.test_parties import gathered, refused


async def relations(backend: Backend, login: Session) -> dict[int, str]:
    return {each.player_id: each.relation for each in await backend.client.friends(login.session_token)}


async def test_a_block_ends_a_friendship_and_hides_presence_and_later_requests_from_one_side_alone(
    backend: Backend,
) -> None:
    one, other = await befriended(backend)
    await backend.client.set_presence(one.session_token, "online")
    await backend.client.block(one.session_token, other.player_id)
    await backend.client.block(one.session_token, other.player_id)  # the answer was lost
    assert await backend.client.blocks(one.session_token) == [other.player_id]
    assert await relations(backend, one) == await relations(backend, other) == {}
    # Asking is answered as it would be by anybody who does not answer.
    await backend.client.request_friendship(other.session_token, one.player_id)
    assert await relations(backend, other) == {one.player_id: "asked"}
    assert await relations(backend, one) == {}
    with refused("no-such-friendship"):
        await backend.client.accept_friendship(one.session_token, other.player_id)
    assert not await backend.client.end_friendship(one.session_token, other.player_id)
    [asked] = await backend.client.friends(other.session_token)
    assert asked.presence == "offline"
    with refused("player-blocked"):
        await backend.client.request_friendship(one.session_token, other.player_id)
    assert await backend.client.unblock(one.session_token, other.player_id)
    assert not await backend.client.unblock(one.session_token, other.player_id)
    await backend.client.request_friendship(other.session_token, one.player_id)
    assert await relations(backend, one) == {other.player_id: "invited"}


async def test_a_request_that_waits_when_its_sender_is_blocked_is_not_seen_any_more(backend: Backend) -> None:
    one, other, third = await backend.logins(3)
    await backend.client.request_friendship(other.session_token, one.player_id)
    await backend.client.request_friendship(one.session_token, third.player_id)
    for blocked in (other, third):
        await backend.client.block(one.session_token, blocked.player_id)
    assert await relations(backend, one) == {}
    assert await relations(backend, other) == {one.player_id: "asked"}
    assert await relations(backend, third) == {}  # one's own request is taken back


async def test_an_invitation_of_somebody_blocked_looks_sent_and_is_not_heard_of(backend: Backend) -> None:
    (host, _), _ = await gathered(backend, 2)
    guest = await backend.login()
    before = await backend.client.invite_to_party(host.session_token, guest.player_id)
    await backend.client.block(guest.session_token, host.player_id)
    assert await backend.client.party_invitations(guest.session_token) == []
    again = await backend.client.invite_to_party(host.session_token, guest.player_id)
    assert again.invited == before.invited == [guest.player_id]
    await backend.client.block(host.session_token, guest.player_id)
    with refused("player-blocked"):
        await backend.client.invite_to_party(host.session_token, guest.player_id)


async def test_requests_of_others_do_not_count_and_the_oldest_makes_room(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meta_service.domain.friends.MAX_FRIENDS", 2)
    monkeypatch.setattr("meta_service.domain.friends.MAX_INCOMING", 3)
    victim, *others = await backend.logins(7)
    for other in others[:5]:
        backend.clock.advance(1)
        await backend.client.request_friendship(other.session_token, victim.player_id)
    assert set(await relations(backend, victim)) == {each.player_id for each in others[2:5]}
    assert await relations(backend, others[0]) == {}
    await backend.client.request_friendship(victim.session_token, others[5].player_id)  # they can still ask
    await backend.client.accept_friendship(victim.session_token, others[4].player_id)
    with refused("friends-full"):
        await backend.client.accept_friendship(victim.session_token, others[3].player_id)


async def test_a_flood_of_requests_at_once_leaves_as_many_as_there_may_be(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meta_service.domain.friends.MAX_INCOMING", 2)
    victim, *others = await backend.logins(9)
    await asyncio.gather(
        *(backend.client.request_friendship(each.session_token, victim.player_id) for each in others)
    )
    assert len(await relations(backend, victim)) == 2


async def test_who_declined_is_not_asked_again_for_a_day_by_the_same_player(backend: Backend) -> None:
    one, other, third = await backend.logins(3)
    friends: Friends = backend.app.state.context.friends
    await backend.client.request_friendship(other.session_token, one.player_id)
    await backend.client.end_friendship(one.session_token, other.player_id)
    await backend.client.request_friendship(other.session_token, one.player_id)
    assert await relations(backend, one) == {}
    assert await relations(backend, other) == {one.player_id: "asked"}
    await backend.client.request_friendship(third.session_token, one.player_id)
    tomorrow = backend.clock.now() + DECLINED_S + 1
    await friends.request(other.player_id, one.player_id, tomorrow)
    assert await relations(backend, one) == {other.player_id: "invited", third.player_id: "invited"}


async def test_who_declined_may_ask_and_is_a_friend_at_once_where_the_other_has_asked_again(
    backend: Backend,
) -> None:
    one, other = await backend.logins(2)
    for _ in range(2):
        await backend.client.request_friendship(other.session_token, one.player_id)
        await backend.client.end_friendship(one.session_token, other.player_id)
    await backend.client.request_friendship(one.session_token, other.player_id)
    assert await relations(backend, one) == {other.player_id: "friends"}


async def test_nobody_blocks_themselves_nobody_or_too_many(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meta_service.domain.blocks.MAX_BLOCKED", 2)
    one, *others = await backend.logins(4)
    with refused("block-is-self"):
        await backend.client.block(one.session_token, one.player_id)
    with refused("unknown-player"):
        await backend.client.block(one.session_token, 99)
    for other in others[:2]:
        backend.clock.advance(1)
        await backend.client.block(one.session_token, other.player_id)
    with refused("blocks-full"):
        await backend.client.block(one.session_token, others[2].player_id)
    newest_first = [others[1].player_id, others[0].player_id]
    assert await backend.client.blocks(one.session_token) == newest_first


async def test_whoever_asks_for_skills_hears_of_blocks_where_they_ask_for_them(backend: Backend) -> None:
    one, other = await backend.logins(2)
    await backend.client.block(one.session_token, other.player_id)
    ids = [one.player_id, other.player_id]
    assert (await backend.client.skills("battle_royale", ids)).blocked == {}
    for _ in range(2):  # from the store, and from the cache
        found = await backend.client.skills("battle_royale", ids, blocks=True)
        assert found.blocked == {one.player_id: [other.player_id]}
    redis = backend.app.state.context.players.cache.redis
    assert 0 < await redis.ttl(f"{{meta}}:blocks:{one.player_id}") <= KEPT_S
    await backend.client.unblock(one.session_token, other.player_id)
    assert (await backend.client.skills("battle_royale", ids, blocks=True)).blocked == {}


async def test_without_the_store_what_was_seen_counts_and_nothing_is_changed(
    backend: Backend, settings: Settings, clock: Clock
) -> None:
    one, other = await backend.logins(2)
    await backend.client.block(one.session_token, other.player_id)
    before = await backend.client.blocks(one.session_token)
    async with running(settings.model_copy(update={"store_url": NOBODY}), clock) as without_store:
        assert await without_store.client.blocks(one.session_token) == before
        with pytest.raises(MetaUnavailableError):
            await without_store.client.unblock(one.session_token, other.player_id)
        found = await without_store.client.skills("battle_royale", [other.player_id], blocks=True)
        assert found.blocked == {}
