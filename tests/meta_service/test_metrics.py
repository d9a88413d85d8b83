"""What an operator has to go on: gauges, request ids, and what happens when too much waits for the store."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from launchday.settings import Settings
from meta_service.cache.keys import ONE
from meta_service.client import MetaUnavailableError
from meta_service.metrics import MetricsCollector
from meta_service.store.store import Store
from tests.meta_service.conftest import Backend, Clock, drain, new_match, result, running
from tests.meta_service.domain.test_accounts import NOBODY


def gauge(name: str) -> float | None:
    return REGISTRY.get_sample_value(f"launchday_meta_{name}")


async def test_a_loadout_is_skin_emotes_and_settings_and_what_is_left_out_stays(
    backend: Backend, store: asyncpg.Connection
) -> None:
    login = await backend.login()
    token = login.session_token
    await backend.client.set_loadout(token, "scout", emotes=["wave"])
    settings: dict[str, Any] = {"invert_y": True, "sensitivity": 0.8, "voice": "off", "fov": 90}
    changed = await backend.client.set_loadout(token, settings=settings)
    assert (changed.skin, changed.emotes, changed.settings) == ("scout", ["wave"], settings)
    await drain(backend)
    await backend.app.state.context.players.cache.redis.flushall()
    profile = await backend.client.profile(token)
    assert (profile.skin, profile.emotes, profile.settings) == ("scout", ["wave"], settings)
    cleared = await backend.client.set_loadout(token, emotes=[])
    assert (cleared.emotes, cleared.settings) == ([], settings)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"emotes": ["wave"] * 9},
        {"settings": {"Upper": 1}},
        {"settings": {"deep": {"er": 1}}},
        {"settings": {f"n{number}": "x" * 64 for number in range(32)}},
    ],
)
async def test_a_loadout_that_is_empty_or_too_much_is_refused(backend: Backend, body: dict[str, Any]) -> None:
    login = await backend.login()
    headers = {"Authorization": f"Bearer {login.session_token}"}
    answer = await backend.http.put("/v1/profile/loadout", json=body, headers=headers)
    assert answer.status_code == 422


async def test_loadouts_wait_when_too_much_waits_for_the_store_and_matches_go_on(
    settings: Settings, clock: Clock
) -> None:
    full = settings.model_copy(update={"writebehind_limit": 4, "requests_per_player_s": 0.0})
    async with running(full, clock) as backend:
        login = await backend.login()
        await backend.client.set_loadout(login.session_token, "recruit")
        await backend.client.set_loadout(login.session_token, "scout")
        headers = {"Authorization": f"Bearer {login.session_token}"}
        answer = await backend.http.put("/v1/profile/loadout", json={"skin": "recruit"}, headers=headers)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json()["type"] == "urn:launchday:writebehind-full"
        with pytest.raises(MetaUnavailableError):
            await backend.client.set_loadout(login.session_token, "recruit")
        match = new_match()
        out = await backend.client.check_out(match, "s", "east-us", 60, [login.player_id])
        assert out.refused == []
        committed = await backend.client.commit(match, [result(login.player_id, out.checked_out[0].fence)])
        assert committed.refused == []
        await backend.login()
        assert (await backend.client.profile(login.session_token)).skin == "scout"
        await drain(backend)
        assert (await backend.client.set_loadout(login.session_token, "recruit")).skin == "recruit"


async def test_an_operator_sees_depth_and_age_grow_while_nothing_is_stored_and_lag_once_it_is(
    backend: Backend, clock: Clock, settings: Settings
) -> None:
    context = backend.app.state.context
    watch = MetricsCollector(context.players.cache, context.players.store, clock)
    await backend.login()
    clock.advance(90)
    await watch.collect()
    assert gauge("writebehind_depth") == 2
    age = gauge("writebehind_age_seconds")
    assert age is not None
    assert 85 < age < 95
    counters = await backend.client.counters()
    assert counters.writebehind_depth == 2
    assert 85_000 < counters.writebehind_age_ms < 95_000
    await drain(backend)
    await watch.collect()
    assert (gauge("writebehind_depth"), gauge("writebehind_age_seconds")) == (0, 0)
    lag = gauge("writebehind_lag_seconds")
    assert lag is not None
    assert 85 < lag < 95
    assert (gauge("store_up"), gauge("cache_up")) == (1, 1)
    answer = await backend.http.get("/metrics")
    assert "launchday_meta_writebehind_depth" in answer.text


async def test_an_operator_sees_that_the_store_is_away(backend: Backend, clock: Clock) -> None:
    away = Store(NOBODY, clock)
    await MetricsCollector(backend.app.state.context.players.cache, away, clock).collect()
    assert (gauge("store_up"), gauge("cache_up")) == (0, 1)


async def test_a_requests_id_is_answered_and_goes_with_its_change_and_its_transfer(
    backend: Backend, redis: Redis, store: asyncpg.Connection
) -> None:
    login = await backend.login()
    headers = {"Authorization": f"Bearer {login.session_token}", "X-Request-Id": "support-4711"}
    answer = await backend.http.put("/v1/profile/loadout", json={"skin": "scout"}, headers=headers)
    assert answer.headers["X-Request-Id"] == "support-4711"
    entries: Any = await redis.xrange(ONE.home.stream)
    assert json.loads(entries[-1][1]["loadout"])["request_id"] == "support-4711"
    grant = {"player_id": str(login.player_id), "currency": "coins", "amount": 5, "reason": "a test"}
    service = {
        "Authorization": f"Bearer {backend.service_token}",
        "X-Request-Id": "grant-4712",
        "Idempotency-Key": "a-key-of-mine",
    }
    await backend.http.post("/v1/internal/grants", json=grant, headers=service)
    assert await store.fetchval("SELECT array_agg(DISTINCT request_id) FROM ledger") == ["grant-4712"]


async def test_the_collector_ends_although_the_store_takes_its_cancellation_for_an_outage(
    backend: Backend, clock: Clock
) -> None:
    class Swallowing(Store):
        async def is_up(self) -> bool:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return False
            return True

    collector = MetricsCollector(backend.app.state.context.players.cache, Swallowing(NOBODY, clock), clock)
    collecting = asyncio.create_task(collector.run())
    await asyncio.sleep(0)
    collector.stop()
    collecting.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([collecting])
