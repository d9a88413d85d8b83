from __future__ import annotations

import copy
import json
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from redis.asyncio import Redis

from launchday.settings import Settings
from meta_service.cache.cache import LoadoutFields
from meta_service.client import MetaClient, MetaRefusedError, Session
from meta_service.domain.wardrobe import Wardrobe, Wearables
from meta_service.store import catalogue
from meta_service.store.catalogue import CatalogueError, Item
from meta_service.writebehind.items import ItemReplicator
from tests.meta_service.conftest import Backend, Clock, drain, new_match, running
from tests.meta_service.domain.test_accounts import NOBODY
from tests.meta_service.domain.test_shop import fund, refused

BOW = Item(item_id="bow", kind="emote", title="Bow", currency="coins", price=10, refundable_s=3600)


def wardrobe(backend: Backend) -> Wardrobe:
    found: Wardrobe = backend.app.state.context.players.wardrobe
    return found


async def owning(backend: Backend, *items: str) -> Session:
    """A player of whom a service's customer is told that they bought these."""
    login = await backend.login()
    await fund(backend, login, 10_000)
    for item in items:
        await backend.client.purchase(login.session_token, f"first-{item}", item)
    return login


async def checked_out_in(backend: Backend, *player_ids: int) -> list[str]:
    """The skins that a game server is told."""
    answer = await backend.client.check_out(new_match(), "server", "west-europe", 60.0, player_ids)
    backend.clock.advance(61)
    return [player.skin for player in answer.checked_out]


async def take_elsewhere(store: asyncpg.Connection, player_id: int, item: str) -> None:
    """Take an item in a way of which this region's cache is told nothing."""
    await store.execute(
        "SELECT items_move($1, $2, $3, -1, 'taken back', 'operator:eve', $4, '')",
        *(uuid4(), player_id, item, time.time()),
    )


async def test_what_is_neither_owned_nor_free_is_refused_by_name(backend: Backend) -> None:
    token = (await backend.login()).session_token
    for skin, emotes, kind, item in (
        ("there-is-no-such-skin", None, "unknown-item", "there-is-no-such-skin"),
        (None, ["never-existed"], "unknown-item", "never-existed"),
        ("wave", None, "wrong-kind", "wave"),
        (None, ["recruit"], "wrong-kind", "recruit"),
        ("supply-crate", None, "wrong-kind", "supply-crate"),
        ("founders-gold", None, "not-owned", "founders-gold"),
        ("skin-ember", None, "not-owned", "skin-ember"),
        ("scout", ["emote-salute"], "not-owned", "emote-salute"),
    ):
        with pytest.raises(MetaRefusedError, match=item) as refusal:
            await backend.client.set_loadout(token, skin, emotes=emotes)
        assert (refusal.value.kind, refusal.value.status) == (kind, 409 if kind == "not-owned" else 422)
    assert (await backend.client.profile(token)).version == 0
    changed = await backend.client.set_loadout(token, "scout", emotes=["wave"])
    assert (changed.skin, changed.emotes) == ("scout", ["wave"])


async def test_what_was_bought_or_given_is_worn_at_once(backend: Backend) -> None:
    login = await owning(backend, "nightfall")
    await operator(backend).give_items(login.player_id, "an-ember-for-you", "skin-ember", "a prize")
    for skin in ("nightfall", "skin-ember"):
        assert (await backend.client.set_loadout(login.session_token, skin)).skin == skin
        assert await checked_out_in(backend, login.player_id) == [skin]


async def test_while_the_store_is_away_what_was_seen_last_counts(
    backend: Backend, settings: Settings, clock: Clock
) -> None:
    login = await owning(backend, "nightfall")
    await drain(backend)
    async with running(settings.model_copy(update={"store_url": NOBODY}), clock) as away:
        away.app.state.signer = backend.app.state.signer
        assert (await away.client.set_loadout(login.session_token, "nightfall")).skin == "nightfall"
        with refused("not-owned"):
            await away.client.set_loadout(login.session_token, "daybreak")
        assert await checked_out_in(away, login.player_id) == ["nightfall"]


async def test_a_refund_and_an_operator_s_taking_take_it_off_at_once(backend: Backend) -> None:
    login = await backend.login()
    await fund(backend, login, 1000)
    bought = await backend.client.purchase(login.session_token, "to-be-returned", "nightfall")
    await backend.client.set_loadout(login.session_token, "nightfall", emotes=["wave"], settings={"fov": 90})
    worn = await backend.client.profile(login.session_token)
    await backend.client.refund(login.session_token, bought.purchase_id)
    seen = await backend.client.profile(login.session_token)
    assert (seen.skin, seen.emotes, seen.settings) == ("recruit", ["wave"], {"fov": 90})
    assert seen.version > worn.version
    await drain(backend)
    assert (await backend.client.profile(login.session_token)).sync == "synced"

    await operator(backend).give_items(login.player_id, "given-first", "emote-salute", "a prize")
    await backend.client.set_loadout(login.session_token, emotes=["emote-salute", "wave"])
    await operator(backend).take_items(login.player_id, "taken-then", "emote-salute", "a mistake")
    assert (await backend.client.profile(login.session_token)).emotes == ["wave"]


async def test_what_was_taken_elsewhere_is_taken_off_at_the_next_check_out(
    backend: Backend, store: asyncpg.Connection, redis: Redis
) -> None:
    login = await owning(backend, "nightfall")
    await backend.client.set_loadout(login.session_token, "nightfall")
    await drain(backend)
    await take_elsewhere(store, login.player_id, "nightfall")
    replicator = ItemReplicator(backend.app.state.context.players.cache)
    assert [await replicator.replicate(store, backend.clock.now()) for _ in range(2)] == [1, 0]
    assert await checked_out_in(backend, login.player_id) == ["recruit"]
    await drain(backend)
    assert await store.fetchval("SELECT skin FROM loadouts") == "recruit"
    await redis.flushall()
    assert (await backend.client.profile(login.session_token)).skin == "recruit"


async def test_what_was_worn_before_there_was_a_rule_is_taken_off_at_the_first_check_out(
    backend: Backend, store: asyncpg.Connection, redis: Redis
) -> None:
    logins = [await owning(backend, "nightfall"), await backend.login(), await backend.login()]
    await drain(backend)
    for login, skin in zip(logins, ("nightfall", "founders-gold", "no-such-skin"), strict=True):
        await store.execute(
            "INSERT INTO loadouts (player_id, skin, emotes, settings, version)"
            " VALUES ($1, $2, '[\"wave\", \"never-existed\"]', '{}', 7)",
            *(login.player_id, skin),
        )
    await redis.flushall()
    ids = [login.player_id for login in logins]
    assert await checked_out_in(backend, *ids) == ["nightfall", "recruit", "recruit"]
    profiles = [await backend.client.profile(login.session_token) for login in logins]
    assert [profile.emotes for profile in profiles] == [["wave"]] * 3


async def test_what_an_earlier_release_accepts_meanwhile_is_looked_at_by_the_check_out(
    backend: Backend, redis: Redis
) -> None:
    login = await backend.login()
    # As its script does, which knows nothing of worn_check.
    await redis.hset(
        backend.keys.player(login.player_id),
        mapping={"skin": "founders-gold", "loadout_version": "77"},
    )
    assert await checked_out_in(backend, login.player_id) == ["recruit"]


async def test_a_check_out_looks_once_at_what_is_worn(backend: Backend) -> None:
    login = await owning(backend, "nightfall")
    looked: list[Sequence[int]] = []
    look_at = wardrobe(backend).look_at

    async def counted(player_ids: Sequence[int], now: float) -> dict[int, str]:
        looked.append(player_ids)
        return await look_at(player_ids, now)

    wardrobe(backend).look_at = counted  # type: ignore[method-assign]
    for skin in ("recruit", "nightfall"):
        await backend.client.set_loadout(login.session_token, skin)
        assert await checked_out_in(backend, login.player_id) == [skin]
    assert looked == []  # a loadout of one's own and of a new account are known to be well
    await backend.app.state.context.players.cache.redis.hdel(
        backend.keys.player(login.player_id), "worn_check"
    )
    for _ in range(2):
        assert await checked_out_in(backend, login.player_id) == ["nightfall"]
    assert looked == [[login.player_id]]


async def test_what_is_no_longer_sold_is_worn_on_by_who_has_it_and_by_nobody_else(
    backend: Backend, store: asyncpg.Connection
) -> None:
    owner, guest = await owning(backend, "nightfall", "wave"), await backend.login()
    for login in (owner, guest):
        await backend.client.set_loadout(login.session_token, "recruit", emotes=["wave"])
    await backend.client.set_loadout(owner.session_token, "nightfall")
    gone = [item.model_copy(update={"on_sale": False}) for item in catalogue.read()]
    await catalogue.put(store, [item for item in gone if item.item_id in ("nightfall", "wave")])
    await wardrobe(backend).read()
    ids = (owner.player_id, guest.player_id)
    assert await checked_out_in(backend, *ids) == ["nightfall", "recruit"]
    worn = [(await backend.client.profile(login.session_token)).emotes for login in (owner, guest)]
    assert worn == [["wave"], []]


async def test_an_item_that_the_store_gave_but_the_cache_did_not_hear_of_is_found_when_it_is_worn(
    backend: Backend, store: asyncpg.Connection
) -> None:
    login = await backend.login()
    await drain(backend)
    await store.execute(
        "SELECT items_move($1, $2, 'skin-aurora', 1, 'tier 3', 'service:rewards', $3, '')",
        *(uuid4(), login.player_id, time.time()),
    )
    assert (await backend.client.set_loadout(login.session_token, "skin-aurora")).skin == "skin-aurora"


async def test_a_loadout_is_taken_while_the_cache_changes_its_epoch(
    backend: Backend, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = await owning(backend, "nightfall")
    await drain(backend)
    await redis.delete(backend.keys.player(login.player_id))
    players = backend.app.state.context.players
    load = players.load

    async def load_in_the_old_epoch(player_ids: Sequence[int], now: float) -> None:
        await load(player_ids, now)
        players.cache.epochs = [epoch + 1 for epoch in players.cache.epochs]

    monkeypatch.setattr(players, "load", load_in_the_old_epoch)
    assert (await backend.client.set_loadout(login.session_token, "nightfall")).skin == "nightfall"


async def test_an_older_quantity_does_not_replace_a_newer_one(backend: Backend) -> None:
    login = await backend.login()
    cache = backend.app.state.context.players.cache
    assert not await cache.publish_items(login.player_id, [("nightfall", 1, 3)])
    assert not await cache.publish_items(login.player_id, [("nightfall", 0, 2)])
    await backend.client.set_loadout(login.session_token, "nightfall")
    assert await cache.publish_items(login.player_id, [("nightfall", 0, 4), ("bow", 2, 1)])


async def test_a_process_that_starts_while_the_store_is_away_goes_by_what_another_one_knew(
    backend: Backend, settings: Settings, clock: Clock, store: asyncpg.Connection, redis: Redis
) -> None:
    await catalogue.put(store, [BOW.model_copy(update={"price": 0})])
    await wardrobe(backend).read()
    away = settings.model_copy(update={"store_url": NOBODY})
    async with running(away, clock) as other:
        assert wardrobe(other).wearables == wardrobe(backend).wearables
    await redis.flushall()
    async with running(away, clock) as other:
        assert wardrobe(other).wearables == Wearables.shipped()
        login = await other.login()
        cache = other.app.state.context.players.cache
        await cache.set_loadout(login.player_id, LoadoutFields("bought-long-ago"), clock.now(), final=True)
        assert await checked_out_in(other, login.player_id) == ["bought-long-ago"]  # it may not judge


async def test_a_catalogue_that_makes_no_sense_is_refused_whole_and_the_old_one_stays(
    backend: Backend, store: asyncpg.Connection
) -> None:
    before = wardrobe(backend).wearables
    await catalogue.put(store, [BOW])
    await store.execute("UPDATE catalogue SET kind = 'skn' WHERE item_id = 'nightfall'")
    await store.execute("UPDATE catalogue SET currency = 'conis' WHERE item_id = 'daybreak'")
    with pytest.raises(CatalogueError) as wrong:
        await wardrobe(backend).read()
    assert [line.partition(":")[0] for line in wrong.value.mistakes] == ["daybreak", "nightfall"]
    answer = await backend.http.post("/v1/operator/catalogue/reload", headers=bearer(backend))
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:launchday:reload-refused")
    assert answer.json()["mistakes"] == wrong.value.mistakes
    assert wardrobe(backend).wearables == before

    await store.execute("UPDATE catalogue SET kind = 'skin', currency = 'coins' WHERE kind LIKE 'sk%'")
    taken = await operator(backend).reload_catalogue()
    assert taken.items == len(before.kinds) + 1
    assert wardrobe(backend).wearables.kinds["bow"] == "emote"
    (noted,) = await operator(backend).audit(operator="ada")
    assert (noted.action, noted.detail) == ("reload catalogue", {"mark": taken.mark})


def operator(backend: Backend, *roles: str) -> MetaClient:
    """The client of an operator, or of who has other roles."""
    token = backend.app.state.signer.service_token("ada", backend.clock.now(), roles=roles or ("operator",))
    client = copy.copy(backend.client)  # with the same connections
    client._token = token
    return client


def bearer(backend: Backend) -> dict[str, Any]:
    return {"Authorization": f"Bearer {operator(backend).token}"}


def test_the_mark_of_a_catalogue_is_of_what_can_be_worn_alone() -> None:
    shipped = catalogue.read()
    cheaper = [item.model_copy(update={"price": item.price and 1, "title": "Other"}) for item in shipped]
    assert Wearables.of(shipped).mark == Wearables.of(reversed(cheaper)).mark
    given_away = [item.model_copy(update={"price": 0, "on_sale": True}) for item in shipped]
    assert Wearables.of(shipped).mark != Wearables.of(given_away).mark
    kept = Wearables.kept("a-mark", json.loads(json.dumps(Wearables.of(shipped).fields)))
    assert kept == Wearables(Wearables.of(shipped).kinds, Wearables.of(shipped).free, "a-mark")
