"""Tiers and challenges give items and money in the transaction that climbs, once, whoever finds it due."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from redis.asyncio import Redis

from launchday import rules_in_force
from launchday.clock import SystemClock
from launchday.resilience.reloading import ReloadRefusedError
from launchday.rules_in_force import RulesInForce
from launchday.seasons import SHIPPED
from meta_service.cache.keys import ONE
from meta_service.client import GivenCache, ProgressCache
from meta_service.store import catalogue
from rewards.consumer.cache_publisher import CachePublisher
from rewards.consumer.gives import Given
from rewards.consumer.rules_reload import RulesFollower, check_gives
from rewards.consumer.store import AppliedBatch, Store
from rewards.events import Envelope, kill
from rewards.progression import rules
from rewards.progression.rules import Rules
from tests.rewards.examples import NOW_S, a_grant, source_of
from tests.rewards.running import LETTERS, batch, query

TIERS = [
    {"xp": 500, "gives": {"item": "skin-ember"}},
    {"xp": 1000, "gives": [{"item": "supply-crate", "quantity": 2}, {"currency": "coins", "amount": 70}]},
    {"xp": 2000, "reward": "skin-ember"},  # which they have: nothing more comes
]
DAILY = {
    "name": "first-blood",
    "title": "A kill a match",
    "event": "kill",
    "count": 1,
    "per": "match",
    "xp": 1,
    "gives": {"currency": "coins", "amount": 5},
}


def own_rules(tiers: Sequence[object] = TIERS, challenges: Sequence[object] = (DAILY,)) -> Rules:
    base = rules.load().model_dump()
    season = {"name": "now", "title": "N", "starts": "2027-01-01", "ends": "2028-01-01", "tiers": tiers}
    return Rules.model_validate({**base, "seasons": [season], "challenges": challenges})


@pytest.fixture
async def filled_url(store_url: str) -> str:
    """A store with the shipped catalogue."""
    await catalogue.seed(store_url)
    return store_url


@pytest.fixture
async def store(filled_url: str) -> AsyncIterator[Store]:
    made = Store(filled_url, "rewards", own_rules(), LETTERS)
    yield made
    await made.close()


_offsets: Iterator[int] = iter(range(10**9))


async def apply(store: Store, *events: Envelope) -> AppliedBatch:
    return await store.apply(batch(events, first_offset=next(_offsets)), NOW_S)


async def owned(store_url: str) -> dict[tuple[int, str], int]:
    rows = await query(store_url, "SELECT player_id, item_id, quantity FROM inventory WHERE quantity > 0")
    return {(int(str(player)), str(item)): int(str(pieces)) for player, item, pieces in rows}


async def coins(store_url: str) -> dict[int, int]:
    rows = await query(store_url, "SELECT player_id, balance FROM wallets WHERE currency = 'coins'")
    return {int(str(player)): int(str(balance)) for player, balance in rows}


async def audit(store_url: str) -> None:
    """Items are the sum of their movements, wallets of their entries, and all entries sum to zero."""
    for statement in (
        "SELECT player_id, item_id FROM inventory"
        " FULL JOIN (SELECT player_id, item_id, sum(quantity) AS moved FROM item_movements GROUP BY 1, 2)"
        " AS book USING (player_id, item_id) WHERE coalesce(quantity, 0) <> coalesce(moved, 0)",
        "SELECT player_id FROM wallets WHERE balance <>"
        " (SELECT sum(amount) FROM ledger WHERE account = player_id AND ledger.currency = wallets.currency)",
        "SELECT sum(amount) FROM ledger HAVING sum(amount) <> 0",
    ):
        assert await query(store_url, statement) == []


async def test_each_tier_that_a_batch_climbs_gives_once_and_says_who_gave_it(
    store: Store, filled_url: str
) -> None:
    first = await apply(store, a_grant(1, 499), a_grant(2, 2500))
    assert await owned(filled_url) == {(2, "skin-ember"): 1, (2, "supply-crate"): 2}
    assert first.given == Given([(2, "coins", 70, 1)], [(2, "skin-ember", 1, 1), (2, "supply-crate", 2, 1)])
    await apply(store, a_grant(1, 1), a_grant(2, 9999))
    await apply(store, a_grant(1, 1))
    assert await owned(filled_url) == {(1, "skin-ember"): 1, (2, "skin-ember"): 1, (2, "supply-crate"): 2}
    assert await coins(filled_url) == {2: 70}
    assert await query(
        filled_url, "SELECT source, key FROM reward_grants WHERE player_id = 2 ORDER BY key"
    ) == [("season/now", key) for key in ("1000", "2000", "500")]
    assert await query(filled_url, "SELECT DISTINCT actor, reason FROM ledger") == [
        ("service:rewards", "season/now 1000")
    ]
    await audit(filled_url)


async def test_a_challenge_gives_once_a_period(store: Store, filled_url: str) -> None:
    def shot(match: int) -> Envelope:
        return kill(
            source_of(match), now_s=NOW_S, tick=1, killer_id=1, victim_id=2, weapon="rifle", distance_m=1.0,
            killer_at=(0, 0), victim_at=(1, 1),
        )  # fmt: skip

    await apply(store, shot(1), shot(1), shot(2))
    await apply(store, shot(1))
    assert await coins(filled_url) == {1: 10}
    assert await query(filled_url, "SELECT key FROM reward_grants ORDER BY key") == [
        (uuid.UUID(int=match).hex,) for match in (1, 2)
    ]


async def test_a_challenge_whose_number_is_changed_is_completed_once_a_period(
    store: Store, filled_url: str
) -> None:
    def needing(count: int) -> Rules:
        return own_rules(challenges=[{**DAILY, "count": count, "per": "ever"}])

    def shot(killer: int) -> Envelope:
        return kill(
            source_of(1), now_s=NOW_S, tick=1, killer_id=killer, victim_id=9, weapon="rifle", distance_m=1.0,
            killer_at=(0, 0), victim_at=(1, 1),
        )  # fmt: skip

    store.go_by(needing(4))
    await apply(store, *(shot(1) for _ in range(3)))
    store.go_by(needing(2))
    await apply(store, shot(1), shot(2), shot(2))
    assert await coins(filled_url) == {1: 5, 2: 5}
    store.go_by(needing(4))
    await apply(store, shot(2), shot(2))
    assert await coins(filled_url) == {1: 5, 2: 5}
    kill_xp = own_rules().xp.points("kill")
    assert await query(filled_url, "SELECT player_id, xp FROM progression WHERE kills > 0 ORDER BY 1") == [
        (player, 4 * kill_xp + 1) for player in (1, 2)
    ]


async def test_a_challenge_that_gives_what_the_catalogue_does_not_have_waits(
    store: Store, filled_url: str
) -> None:
    def shot() -> Envelope:
        return kill(
            source_of(1), now_s=NOW_S, tick=1, killer_id=1, victim_id=9, weapon="rifle", distance_m=1.0,
            killer_at=(0, 0), victim_at=(1, 1),
        )  # fmt: skip

    prize = {**DAILY, "per": "ever", "gives": [{"item": "skin-ember"}, {"currency": "coins", "amount": 5}]}
    store.go_by(own_rules(challenges=[prize]))
    await query(filled_url, "DELETE FROM catalogue WHERE item_id = 'skin-ember'")
    await apply(store, shot())
    assert await coins(filled_url) == {}
    await catalogue.seed(filled_url)
    for _ in range(2):
        await apply(store, shot())
    assert (await owned(filled_url), await coins(filled_url)) == ({(1, "skin-ember"): 1}, {1: 5})


async def test_consumers_and_catch_ups_side_by_side_give_everything_once(filled_url: str) -> None:
    stores = [Store(filled_url, "rewards", own_rules(), LETTERS) for _ in range(3)]
    follower = RulesFollower(stores[0], own_rules, SystemClock(), lambda given: None)
    await asyncio.gather(*(store.next_offsets() for store in stores))  # connected
    players = range(1, 41)
    try:
        for _ in range(3):
            await asyncio.gather(
                *(apply(store, *(a_grant(player, 300) for player in players)) for store in stores),
                follower.catch_up(),
            )
    finally:
        for store in stores:
            await store.close()
    expected = {(player, item): count for player in players for item, count in ALL_OF_IT.items()}
    assert await owned(filled_url) == expected
    assert await coins(filled_url) == dict.fromkeys(players, 70)
    await audit(filled_url)


ALL_OF_IT = {"skin-ember": 1, "supply-crate": 2}


async def test_a_tier_that_is_added_below_is_given_to_who_has_passed_it(
    store: Store, filled_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rewards.consumer.gives.MAX_PAGE_PLAYERS", 2)
    await apply(store, *(a_grant(player, 600) for player in (1, 2, 3, 4, 5)), a_grant(6, 9))
    told: list[Given] = []
    added = own_rules([{"xp": 100, "name": "welcome", "gives": {"item": "emote-salute"}}, *TIERS])
    follower = RulesFollower(store, lambda: added, SystemClock(), told.append)
    await follower.reload()
    for _ in range(2):
        await follower.catch_up()
    assert await owned(filled_url) == {
        (player, item): 1 for player in (1, 2, 3, 4, 5) for item in ("skin-ember", "emote-salute")
    }
    assert sorted(item for given in told for item in given.items) == [
        (player, "emote-salute", 1, 1) for player in (1, 2, 3, 4, 5)
    ]
    published = await query(
        filled_url, "SELECT rules FROM rules_in_force WHERE name = $1", rules_in_force.NAME
    )
    shown = RulesInForce.read(str(published[0][0]))
    assert [tier.name for tier in shown.seasons[0].tiers] == ["welcome", "500", "1000", "2000"]
    await apply(store, a_grant(6, 91))
    assert (await owned(filled_url))[6, "emote-salute"] == 1
    await audit(filled_url)


async def test_rules_that_give_what_there_is_not_are_refused_whole(store: Store, filled_url: str) -> None:
    before = store.rules
    odd = own_rules([{"xp": 5, "gives": [{"item": "no-such-skin"}, {"currency": "doubloons", "amount": 1}]}])
    follower = RulesFollower(store, lambda: odd, SystemClock(), lambda given: None)
    with pytest.raises(ReloadRefusedError) as refused:
        await follower.reload()
    assert [line.split(",")[0] for line in refused.value.mistakes] == [
        "the tier at 5 points of the season now gives no-such-skin",
        "the tier at 5 points of the season now gives doubloons",
    ]
    assert store.rules is before
    assert await asyncio.to_thread(check_gives, filled_url, odd) == refused.value.mistakes
    assert await asyncio.to_thread(check_gives, filled_url, rules.load()) == []
    store.go_by(odd)  # as where the check could not be made: what is not there yet is given when it is
    await apply(store, a_grant(1, 5))
    assert await query(filled_url, "SELECT * FROM reward_grants") == []


async def test_files_that_are_wrong_are_refused_with_every_mistake(store: Store, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"xp": {"kill": -1}, "levels": []}))
    (tmp_path / "challenges.yaml").write_text(
        yaml.safe_dump({"challenges": [{**DAILY, "gives": {"item": "-"}}]})
    )
    own, before = str(tmp_path / "rules.yaml"), store.rules
    follower = RulesFollower(
        store, lambda: rules.configured(own, str(SHIPPED)), SystemClock(), lambda given: None
    )
    with pytest.raises(ReloadRefusedError) as refused:
        await follower.reload()
    told = "\n".join(refused.value.mistakes)
    assert all(place in told for place in ("xp.kill", "xp.win", "levels", "challenges.0.gives.0.item"))
    assert store.rules is before


async def test_a_deleted_player_gets_nothing(store: Store, filled_url: str) -> None:
    await query(
        filled_url, "INSERT INTO erasures (player_id, asked_by, asked_at) VALUES (1, 'player', now())"
    )
    await apply(store, a_grant(1, 5000), a_grant(2, 500))
    assert await owned(filled_url) == {(2, "skin-ember"): 1}
    assert await coins(filled_url) == {}


async def test_what_was_given_is_shown_in_the_cache_also_after_a_crash_before_that(
    store: Store, cache_url: str
) -> None:
    redis = Redis.from_url(cache_url, decode_responses=True)
    await redis.hset(ONE.player(1), "xp", "0")
    await apply(store, a_grant(1, 1000), a_grant(2, 1000))
    publisher = CachePublisher(ProgressCache(redis), SystemClock(), given=GivenCache(redis))
    publisher.enqueue((), (), await store.recently_given(600))
    task = asyncio.create_task(publisher.run())
    assert await publisher.flush(10)
    task.cancel()
    fields = await redis.hgetall(ONE.player(1))
    assert fields == {
        "xp": "0", "wallet:coins": "70,1", "own:skin-ember": "1,1", "own:supply-crate": "2,1"
    }  # fmt: skip
    assert not await redis.exists(ONE.player(2))
    await redis.aclose()


def test_things_that_are_given_have_one_form() -> None:
    shown = own_rules().in_force()
    assert json.loads(shown.as_text())["seasons"][0]["tiers"][1]["gives"] == [
        {"item": "supply-crate", "quantity": 2},
        {"currency": "coins", "amount": 70},
    ]
    assert RulesInForce.read(shown.as_text()) == shown
    for wrong in (
        {},
        {"item": "a", "amount": 1},
        {"currency": "coins"},
        {"item": "a", "currency": "b", "amount": 1},
    ):
        with pytest.raises(ValueError, match="gives"):
            own_rules([{"xp": 5, "gives": wrong}])
