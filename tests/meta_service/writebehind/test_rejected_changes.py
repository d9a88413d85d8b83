"""Changes that the store could not take: seen, sent again, taken back by a worker that knows their kind."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from launchday.cli import writebehind
from launchday.settings import Settings
from meta_service.cache.keys import ONE, Keys
from meta_service.client import MetaRefusedError
from meta_service.domain.rejected_changes import RejectedChanges
from meta_service.store import apply
from tests.meta_service.conftest import Backend, drain, drained, working
from tests.meta_service.writebehind.test_worker import loadout
from tests.waiting import until

RUN = CliRunner()


async def test_a_rejected_change_is_listed_and_stored_when_it_is_sent_again(
    backend: Backend, redis: Redis, store: asyncpg.Connection
) -> None:
    await store.execute("ALTER TABLE loadouts ADD CONSTRAINT no_gold CHECK (skin <> 'gold')")
    await redis.xadd(ONE.home.stream, {"loadout": loadout(7, "gold", 1)})
    await drain(backend)
    (change,) = (await backend.client.rejected_changes()).rejected
    assert "no_gold" in change.reason
    assert not change.newer
    assert json.loads(change.changes["loadout"])["skin"] == "gold"

    await store.execute("ALTER TABLE loadouts DROP CONSTRAINT no_gold")
    assert await backend.client.resend_changes([change.entry, "1-1"]) == [change.entry]
    await drain(backend)
    assert await store.fetchval("SELECT skin FROM loadouts WHERE player_id = 7") == "gold"
    assert (await backend.client.counters()).writebehind_rejected == 0
    assert await backend.client.resend_changes([change.entry]) == []


async def test_operators_resend_by_name_and_viewers_only_look(
    backend: Backend, redis: Redis, store: asyncpg.Connection
) -> None:
    entry = await redis.xadd(
        ONE.home.rejected, {"entry": "1-0", "reason": "once", "loadout": loadout(7, "red", 1)}
    )
    path, body = "/v1/internal/rejected-changes", {"entries": [entry]}
    for role, status in (("viewer", 403), ("operator", 200)):
        token = backend.app.state.signer.service_token("alex", backend.clock.now(), roles=(role,))
        headers = {"Authorization": f"Bearer {token}"}
        assert (await backend.http.get(path, headers=headers)).status_code == 200
        assert (await backend.http.post(f"{path}/resend", json=body, headers=headers)).status_code == status
    row = await store.fetchrow("SELECT operator, action, detail FROM operator_actions")
    assert (row["operator"], row["action"], json.loads(row["detail"])) == ("alex", "resend-changes", body)
    with pytest.raises(MetaRefusedError, match="entries"):
        await backend.client.resend_changes(["no id"])


async def test_a_kind_that_an_older_worker_did_not_know_comes_back_by_itself(
    backend: Backend, redis: Redis, store: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = "INSERT INTO loadouts (player_id, skin, version) SELECT 8, json_array_length($1::json)::text, 1"
    await redis.xadd(ONE.home.stream, {"riddle": "{}"})
    await drain(backend)
    (change,) = (await backend.client.rejected_changes()).rejected
    assert change.newer

    monkeypatch.setitem(apply.STATEMENTS, "riddle", newer)  # a worker of the release that makes such changes
    async with working(backend.settings, backend.clock):
        await until(lambda: _rejected_none(redis), "the change is taken back")
        await drained(backend)
    assert await store.fetchval("SELECT skin FROM loadouts WHERE player_id = 8") == "1"
    assert (await backend.client.counters()).writebehind_rejected == 0


async def _rejected_none(redis: Redis) -> bool:
    return not await redis.xlen(ONE.home.rejected)


def test_the_command_says_what_the_store_would_take_today(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writebehind, "read_settings", lambda: settings)

    async def set_aside() -> list[str]:
        redis = Redis.from_url(settings.cache_url, decode_responses=True)
        try:
            for text in (loadout(7, "red", 1), "not json"):
                await redis.xadd(ONE.home.rejected, {"entry": "1-0", "reason": "once", "loadout": text})
            return [one.entry for one in await RejectedChanges(redis).all()]
        finally:
            await redis.aclose()

    good, bad = asyncio.run(set_aside())
    listed = RUN.invoke(writebehind.app, ["rejected", "list", "--json"])
    assert [json.loads(line)["today"] for line in listed.stdout.splitlines()] == ["good", "still bad"]
    shown = json.loads(RUN.invoke(writebehind.app, ["rejected", "show", good]).stdout)
    assert shown["changes"]["loadout"]["skin"] == "red"
    sent = RUN.invoke(writebehind.app, ["rejected", "resend", "--all"])
    assert sent.stdout.startswith("1 sent again; 1 that the store would not take skipped")
    missing = RUN.invoke(writebehind.app, ["rejected", "show", good])
    assert missing.exit_code == writebehind.ERROR

    async def left() -> list[str]:
        redis = Redis.from_url(settings.cache_url, decode_responses=True)
        try:
            return [one.entry for one in await RejectedChanges(redis).all()]
        finally:
            await redis.aclose()

    assert asyncio.run(left()) == [bad]


async def test_each_partition_sets_its_own_aside_and_is_named_behind_the_entry(redis: Redis) -> None:
    keys = Keys(8)
    rejected = RejectedChanges(redis, keys)
    for number in (5, 0):
        fields: Any = {"entry": "1-0", "reason": "once", "loadout": loadout(number, "red", 1)}
        await redis.xadd(keys.partitions[number].rejected, fields, id=f"{number + 1}000-0")
    assert [one.entry for one in await rejected.all()] == ["1000-0", "6000-0.5"]
    assert [one.entry for one in await rejected.newest(1)] == ["6000-0.5"]
    assert await rejected.resend(["6000-0", "6000-0.5", "6000-0.9", "1000-0.5"]) == ["6000-0.5"]
    assert await redis.xlen(keys.partitions[5].stream) == 1
    assert [one.entry for one in await rejected.all()] == ["1000-0"]
