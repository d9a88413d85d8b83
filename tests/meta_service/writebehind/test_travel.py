"""Players who are in two regions within a moment: their session, their match, their money, their party."""

from __future__ import annotations

import asyncpg
import pytest
from redis.asyncio import Redis

from launchday.settings import Settings
from meta_service.cache import keys
from meta_service.cache.keys import ONE
from meta_service.client import MetaRefusedError, Session
from meta_service.store import lost_region
from meta_service.writebehind import regions as replication
from tests.dead_link import dead_link
from tests.meta_service.conftest import SEASONS, Clock, new_match, result
from tests.meta_service.writebehind.test_regions import Regions, region, regions
from tests.waiting import until

__all__ = ["regions"]  # a fixture

DEVICE = "a-player-who-travels"


async def known_in_both(regions: Regions, store: asyncpg.Connection) -> Session:
    """A player whose home is the west, and whom the east knows."""
    login = await regions.west.client.login_device(DEVICE)
    for table in ("sessions", "accounts"):
        await until(lambda table=table: store.fetchval(f"SELECT count(*) FROM {table}"))
    await regions.east.client.profile(login.session_token)
    return login


async def test_a_login_of_a_moment_ago_is_good_in_another_region_at_once(
    regions: Regions, store: asyncpg.Connection
) -> None:
    first = await known_in_both(regions, store)
    regions.clock.advance(5)
    second = await regions.east.client.login_device(DEVICE)
    accepted = await regions.west.client.set_loadout(second.session_token, "scout")
    assert (await regions.west.client.profile(second.session_token)).version == accepted.version
    with pytest.raises(MetaRefusedError, match="elsewhere"):
        await regions.west.client.profile(first.session_token)


async def test_a_match_holds_its_players_in_every_region_and_its_end_frees_them_there(
    regions: Regions, store: asyncpg.Connection
) -> None:
    login = await known_in_both(regions, store)
    match = new_match()
    out = await regions.west.client.check_out(match, "s", "west", 60, [login.player_id])
    await until(lambda: store.fetchval("SELECT count(*) FROM match_history"))
    regions.clock.advance(1)
    await regions.east.client.login_device(DEVICE)
    held = await regions.east.client.check_out(new_match(), "t", "east", 60, [login.player_id])
    assert [refusal.reason for refusal in held.refused] == ["checked-out"]
    await until(lambda: store.fetchval("SELECT region = 'east' FROM sessions"))
    await regions.west.client.commit(match, [result(login.player_id, out.checked_out[0].fence)])

    async def free() -> bool:
        again = await regions.east.client.check_out(new_match(), "t", "east", 60, [login.player_id])
        return bool(again.checked_out)

    await until(free)


async def test_a_guest_is_not_checked_out_at_home_nor_one_who_plays_at_home_as_a_guest(
    regions: Regions, store: asyncpg.Connection
) -> None:
    login = await known_in_both(regions, store)
    match = new_match()
    out = await regions.east.client.check_out(match, "t", "east", 60, [login.player_id])
    west: Redis = regions.west.app.state.context.players.cache.redis
    await until(lambda: west.hexists(ONE.player(login.player_id), "lease_match"))
    held = await regions.west.client.check_out(new_match(), "s", "west", 60, [login.player_id])
    assert [refusal.held_by for refusal in held.refused] == ["t"]
    await regions.east.client.commit(match, [result(login.player_id, out.checked_out[0].fence)])

    async def free() -> bool:
        again = await regions.west.client.check_out(home, "s", "west", 60, [login.player_id])
        return bool(again.checked_out)

    home = new_match()
    await until(free)
    await until(lambda: store.fetchval("SELECT count(*) = 2 FROM match_history"))
    held = await regions.east.client.check_out(new_match(), "t", "east", 60, [login.player_id])
    assert [refusal.held_by for refusal in held.refused] == ["s"]


async def test_money_and_progress_of_one_region_show_in_another(
    regions: Regions, store: asyncpg.Connection
) -> None:
    login = await known_in_both(regions, store)
    await regions.east.client.grant("a-grant-in-the-east", login.player_id, "coins", 9, "a test")
    await store.execute(
        "INSERT INTO progression (player_id, xp, level, updated_at) VALUES ($1, 700, 2, now())",
        login.player_id,
    )

    async def shown() -> bool:
        profile = await regions.west.client.profile(login.session_token)
        return (profile.balances, profile.xp, profile.level) == ({"coins": 9}, 700, 2)

    await until(shown)


async def test_players_of_two_regions_meet_in_a_party_of_one_of_them(
    regions: Regions, store: asyncpg.Connection
) -> None:
    west, east = regions.west.client, regions.east.client
    leader, guest = await west.login_device("the-leader"), await east.login_device("the-guest")
    for table in ("sessions", "accounts"):
        await until(lambda table=table: store.fetchval(f"SELECT count(*) = 2 FROM {table}"))
    party = await west.create_party(leader.session_token)
    await west.invite_to_party(leader.session_token, guest.player_id)
    (invitation,) = await west.party_invitations(guest.session_token)
    await west.accept_party(guest.session_token, invitation.party.party_id)
    await west.set_ready(guest.session_token)
    await west.queue_party(leader.session_token, "battle_royale")
    mine = await west.my_party(guest.session_token)
    assert mine.party_id == party.party_id
    assert mine.queue is not None

    regions.clock.advance(1)
    await east.log_out(guest.session_token)

    async def unready() -> bool:
        members = (await west.my_party(leader.session_token)).members
        return [member.ready for member in members] == [True, False]

    await until(unready)
    assert (await west.my_party(leader.session_token)).queue is None


async def test_a_worker_that_was_away_goes_on_where_it_was(
    regions: Regions, store: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "OVERLAP_S", 0.0)
    cache = regions.east.app.state.context.players.cache
    login = await known_in_both(regions, store)
    await regions.west.client.set_loadout(login.session_token, "scout")
    await until(lambda: store.fetchval("SELECT count(*) FROM loadouts"))
    stored_at = await store.fetchval("SELECT extract(epoch FROM stored_at)::float8 FROM loadouts")
    await cache.redis.hset(ONE.player(login.player_id), mapping={"skin": "recruit", "loadout_version": "0"})
    await cache.redis.set(keys.REGIONS_SEEN, stored_at - 1)
    later = replication.RegionReplicator(cache, SEASONS, regions.east.app.state.context.parties.log_out)
    assert await later.replicate(store, stored_at + 3600) == 1
    assert (await regions.east.client.profile(login.session_token)).skin == "scout"


async def test_a_region_that_was_cut_off_plays_on_and_comes_to_the_same_as_the_others(
    settings: Settings, store: asyncpg.Connection, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meta_service.writebehind.worker.MAINTENANCE_INTERVAL_S", 0.0)
    monkeypatch.setattr("meta_service.writebehind.worker.APPLY_S", 0.5)
    monkeypatch.setattr("meta_service.writebehind.elsewhere.LOOK_S", 0.5)
    monkeypatch.setattr("meta_service.writebehind.elsewhere.RETRY_S", 0.1)
    monkeypatch.setattr("meta_service.writebehind.erasures.ANSWER_S", 0.5)
    async with dead_link(settings.store_url) as link:
        far = settings.model_copy(update={"store_url": link.url, "store_answer_s": 0.3})
        async with region(far, clock, "west", 0) as west, region(settings, clock, "east", 1) as east:
            both = Regions(west, east, clock)
            login = await known_in_both(both, store)
            token, match = login.session_token, new_match()
            link.is_cut = True
            link.kill()
            await west.client.set_loadout(token, "scout")
            out = await west.client.check_out(match, "s", "west", 60, [login.player_id])
            told = [result(login.player_id, out.checked_out[0].fence)]
            assert not (await west.client.commit(match, told)).refused
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "while-it-is-cut-off"}
            answer = await west.http.post("/v1/store/purchases", json={"item_id": "crate"}, headers=headers)
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:launchday:store-unavailable")
            clock.advance(1)
            newest = await east.client.set_loadout(token, "recruit")
            link.is_cut = False
            link.kill()

            async def same() -> bool:
                profiles = [await backend.client.profile(token) for backend in (west, east)]
                waiting = [(await backend.client.counters()).writebehind_depth for backend in (west, east)]
                return {profile.version for profile in profiles} == {newest.version} and not any(waiting)

            await until(same)
            assert await store.fetchval("SELECT version FROM loadouts") == newest.version
            assert await store.fetchval("SELECT outcome FROM match_history") == "committed"


async def test_a_region_that_is_declared_lost_lets_go_of_its_players_and_a_late_result_still_counts(
    regions: Regions, store: asyncpg.Connection
) -> None:
    login = await known_in_both(regions, store)
    match = new_match()
    out = await regions.west.client.check_out(match, "s", "west", 600, [login.player_id])
    await until(lambda: store.fetchval("SELECT count(*) FROM match_history"))
    await regions.east.client.profile((await regions.east.client.login_device(DEVICE)).session_token)
    east: Redis = regions.east.app.state.context.players.cache.redis
    await until(lambda: east.hexists(ONE.player(login.player_id), "lease_match"))
    found = await lost_region.find(store, "west", regions.clock.now())
    assert (found.leases, found.players, found.matches) == (1, 1, 1)
    for leases in (1, 0):
        assert await lost_region.declare(store, "west", regions.clock.now()) == leases

    async def free() -> bool:
        return not (await regions.east.client.skills("battle_royale", [login.player_id])).held

    await until(free)
    await regions.west.client.commit(match, [result(login.player_id, out.checked_out[0].fence)])
    await until(lambda: store.fetchval("SELECT outcome = 'committed' FROM match_history"))
