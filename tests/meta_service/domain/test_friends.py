from __future__ import annotations

import asyncio

import pytest

from launchday.settings import Settings
from meta_service.client import Friend, MetaRefusedError, MetaUnavailableError, Session
from tests.meta_service.conftest import Backend, Clock, new_match, running
from tests.meta_service.domain.test_accounts import NOBODY
from tests.meta_service.domain.test_parties import refused


async def friend_of(backend: Backend, login: Session) -> Friend:
    (friend,) = await backend.client.friends(login.session_token)
    return friend


async def befriended(backend: Backend) -> tuple[Session, Session]:
    one, other = await backend.logins(2)
    await backend.client.request_friendship(one.session_token, other.player_id)
    await backend.client.accept_friendship(other.session_token, one.player_id)
    return one, other


async def test_a_request_becomes_a_friendship_when_it_is_accepted(backend: Backend) -> None:
    one, other = await backend.logins(2)
    await backend.client.request_friendship(one.session_token, other.player_id)
    assert (await friend_of(backend, one)).relation == "asked"
    assert (await friend_of(backend, other)).relation == "invited"
    with refused("no-such-friendship"):
        await backend.client.accept_friendship(one.session_token, other.player_id)  # their own question
    await backend.client.accept_friendship(other.session_token, one.player_id)
    await backend.client.accept_friendship(other.session_token, one.player_id)  # the answer was lost
    for login, friend in ((one, other), (other, one)):
        found = await friend_of(backend, login)
        assert (found.player_id, found.relation) == (friend.player_id, "friends")
        assert found.since == pytest.approx(backend.clock.now(), abs=0.001)


async def test_two_who_ask_each_other_at_once_are_friends(backend: Backend) -> None:
    one, other = await backend.logins(2)
    await asyncio.gather(
        backend.client.request_friendship(one.session_token, other.player_id),
        backend.client.request_friendship(other.session_token, one.player_id),
    )
    assert (await friend_of(backend, one)).relation == "friends"


async def test_asking_again_is_no_answer_to_ones_own_question(backend: Backend) -> None:
    one, other = await backend.logins(2)
    for _ in range(2):
        await backend.client.request_friendship(one.session_token, other.player_id)
    assert (await friend_of(backend, other)).relation == "invited"


async def test_a_friendship_ends_for_both(backend: Backend) -> None:
    one, other = await befriended(backend)
    assert await backend.client.end_friendship(other.session_token, one.player_id)
    assert not await backend.client.end_friendship(one.session_token, other.player_id)
    assert await backend.client.friends(one.session_token) == []


async def test_presence_is_what_a_friend_said_of_late_or_the_match_they_are_in(backend: Backend) -> None:
    one, other = await befriended(backend)
    assert (await friend_of(backend, one)).presence == "offline"
    await backend.client.set_presence(other.session_token, "away")
    assert (await friend_of(backend, one)).presence == "away"
    match = new_match()
    await backend.client.check_out(match, "server-1", "east-us", 60, [other.player_id])
    found = await friend_of(backend, one)
    assert (found.presence, found.match_id) == ("in-match", match)
    backend.clock.advance(61)
    assert (await friend_of(backend, one)).presence == "away"
    redis = backend.app.state.context.players.cache.redis
    (said,) = await redis.keys("{meta}:presence:*")
    assert 0 < await redis.ttl(said) <= 60


async def test_who_is_not_a_friend_sees_no_presence(backend: Backend) -> None:
    one, other = await backend.logins(2)
    await backend.client.set_presence(other.session_token, "online")
    await backend.client.request_friendship(one.session_token, other.player_id)
    assert (await friend_of(backend, one)).presence == "offline"


async def test_nobody_befriends_themselves_nobody_or_too_many(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meta_service.domain.friends.MAX_FRIENDS", 2)
    one, *others = await backend.logins(6)
    with refused("friend-is-self"):
        await backend.client.request_friendship(one.session_token, one.player_id)
    with refused("unknown-player"):
        await backend.client.request_friendship(one.session_token, 99)
    answers = await asyncio.gather(
        *(backend.client.request_friendship(one.session_token, other.player_id) for other in others),
        return_exceptions=True,
    )
    kinds = [answer.kind for answer in answers if isinstance(answer, MetaRefusedError)]
    assert kinds == ["friends-full"] * 3
    assert len(await backend.client.friends(one.session_token)) == 2


async def test_friends_are_still_seen_while_the_store_is_away(
    backend: Backend, settings: Settings, clock: Clock
) -> None:
    one, other = await befriended(backend)
    before = await backend.client.friends(one.session_token)
    async with running(settings.model_copy(update={"store_url": NOBODY}), clock) as without_store:
        assert await without_store.client.friends(one.session_token) == before
        with pytest.raises(MetaUnavailableError):
            await without_store.client.friends(other.session_token)  # never looked: the cache cannot know
        with pytest.raises(MetaUnavailableError):
            await without_store.client.end_friendship(one.session_token, other.player_id)
