"""The admin API: who may do what, what it changes, and how others hear of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI, Request

from dedicated_server.fleet.admin.autoscaler import FleetAutoscaler
from dedicated_server.fleet.admin.match_finalizer import MatchFinalizer
from dedicated_server.fleet.admin.policy_overrides import PolicyOverride, PolicyOverrides, buffer_policy
from dedicated_server.fleet.autoscaling.demand import DemandMeter, DemandSample
from dedicated_server.fleet.autoscaling.policy import parse_policy
from dedicated_server.fleet.client import (
    Cursor,
    FleetAdminClient,
    FleetRefusedError,
    FleetUnavailableError,
    NoServerReadyError,
)
from dedicated_server.fleet.pool.gameserver import GameServer
from dedicated_server.fleet.pool.states import State
from launchday import identity
from launchday.clock import SystemClock
from launchday.identity import signer_of
from launchday.resilience.http_client import ServiceClient
from launchday.settings import Settings
from meta_service.client import MetaUnavailableError
from tests.dedicated_server.fleet.conftest import REGION, InProcess, RunningFleet, running_fleet
from tests.waiting import until


def token(fleet: RunningFleet, *roles: str) -> str:
    signer = signer_of(fleet.settings, "loadtest")
    return signer.service_token("ann", time.time(), roles=roles)


@pytest.fixture
async def operator(fleet: RunningFleet) -> AsyncIterator[FleetAdminClient]:
    async with FleetAdminClient(fleet.url, token(fleet, identity.OPERATOR)) as client:
        yield client


@pytest.mark.parametrize("role", [identity.VIEWER, identity.SERVICE])
async def test_only_an_operator_changes_anything(fleet: RunningFleet, role: str) -> None:
    server = next(iter(fleet.pool)).name
    async with FleetAdminClient(fleet.url, token(fleet, role)) as client:
        assert len(await client.fleets()) == 2
        for call in (
            client.set_buffer(REGION, 0),
            client.set_policy(REGION, {"type": "Buffer", "buffer": {"bufferSize": 0}}),
            client.reset_policy(REGION),
            client.act_on_fleet(REGION, "drain"),
            client.act_on_server(server, "kill"),
        ):
            with pytest.raises(FleetRefusedError, match="HTTP 403"):
                await call
    assert fleet.pool.get(server) is not None
    assert not fleet.pool.regions[REGION].draining


async def test_scale_to_nothing_and_grow_by_what_is_asked_for(
    fleet: RunningFleet, operator: FleetAdminClient
) -> None:
    decision = await operator.set_buffer(REGION, 0)
    assert (decision["idle_before"], decision["idle"]) == (2, 0)
    await fleet.until(lambda: not fleet.pool.in_state(REGION, State.READY))
    with pytest.raises(NoServerReadyError):
        await fleet.play("stay", key="patient")
    while True:  # the autoscaler hears of it within a second
        try:
            await fleet.play("stay", key="patient")
            break
        except NoServerReadyError:
            await asyncio.sleep(0.02)
    assert any("without success" in one["reason"] for one in await operator.decisions())


async def test_a_policy_is_set_in_agones_json_and_a_bad_one_is_refused(
    fleet: RunningFleet, operator: FleetAdminClient
) -> None:
    chain = {"type": "Chain", "chain": [{"id": "all day", "type": "Buffer", "buffer": {"bufferSize": 3}}]}
    decision = await operator.set_policy(REGION, {"policy": chain})
    assert decision["idle"] == 3
    assert decision["reason"].startswith("all day: ")
    with pytest.raises(FleetRefusedError, match=r"policy.type is 'Guess'"):
        await operator.set_policy(REGION, {"type": "Guess"})
    with pytest.raises(FleetRefusedError, match="no fleet atlantis"):
        await operator.set_buffer("atlantis", 1)
    [shown] = [one for one in await operator.fleets() if one["name"] == REGION]
    assert (shown["policy"], shown["idle_wanted"]) == ("Chain", 3)


async def test_a_killed_servers_match_is_told_of_with_its_players(
    fleet: RunningFleet, operator: FleetAdminClient
) -> None:
    cursor, _, _ = await operator.finished_matches(Cursor())
    match = {
        "match_id": "0190d0a0-0000-7000-8000-000000000001",
        "mode": "stay",
        "players": [{"player_id": "7"}],
    }
    given = await fleet.allocator.allocate(region=REGION, match=match, idempotency_key="k")
    following = asyncio.create_task(operator.finished_matches(cursor, wait_s=20.0))
    await operator.act_on_server(given.name, "kill")
    cursor, [failed], lost = await following
    assert (failed.match_id, failed.server, failed.player_ids) == (match["match_id"], given.name, (7,))
    assert failed.reason == "killed by ann"
    assert not lost
    assert (await operator.finished_matches(cursor))[1] == []
    assert (await operator.finished_matches(Cursor("another epoch", 9)))[2]
    server = fleet.pool.get(given.name)
    assert server is not None
    await fleet.until(lambda: server.gone)
    with pytest.raises(FleetRefusedError, match="has ended already"):
        await operator.act_on_server(given.name, "drain")


async def test_events_are_streamed_and_taken_up_again(
    fleet: RunningFleet, operator: FleetAdminClient
) -> None:
    headers = {"Authorization": f"Bearer {token(fleet, identity.VIEWER)}"}
    async with httpx2.AsyncClient(base_url=fleet.url, headers=headers) as http:

        async def read(last: str | None, wanted: str) -> tuple[str, list[str]]:
            more = {} if last is None else {"Last-Event-ID": last}
            kinds, identifier = [], last or ""
            async with http.stream("GET", "/v1/events", headers=more) as stream:
                lines = stream.aiter_lines()
                assert await anext(lines) == "retry: 1000"
                if last is None:
                    await operator.act_on_fleet(REGION, "cordon")
                async for line in lines:
                    if line.startswith("event: "):
                        kinds.append(line.removeprefix("event: "))
                    identifier = line.removeprefix("id: ") if line.startswith("id: ") else identifier
                    if line.startswith("data: ") and wanted in line:
                        return identifier, kinds
            raise AssertionError("the stream has ended")

        last, kinds = await read(None, '"action": "cordon"')
        assert kinds[-1] == "fleet"
        await operator.act_on_fleet(REGION, "uncordon")
        _, kinds = await read(last, '"action": "uncordon"')
        assert "reset" not in kinds
        _, kinds = await read("another.7", "{}")
        assert kinds == ["reset"]


async def test_the_api_says_all_of_itself(fleet: RunningFleet) -> None:
    async with httpx2.AsyncClient(base_url=fleet.url) as http:
        document = await http.get("/openapi.json")
        paths, schemas = document.json()["paths"], document.json()["components"]["schemas"]
        metrics = (await http.get("/metrics")).text
    assert {
        "/gameserverallocation",
        "/autoscale",
        "/v1/fleets/{name}/buffer",
        "/v1/events",
        "/v1/changes",
    } <= set(paths)
    body = paths["/gameserverallocation"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["$ref"] == "#/components/schemas/AllocationRequest"
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', document.text))
    assert referred <= set(schemas)
    for name in (
        "agones_fleet_autoscalers_buffer_size",
        "agones_fleet_autoscalers_desired_replicas_count",
        "agones_fleet_autoscalers_limited",
        "agones_gameserver_state_duration",
        "agones_gameserver_allocations_retry_total",
    ):
        assert name in metrics


# --- webhooks -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    server = InProcess(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, ws="none"))
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started, "the server serves")
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


async def test_a_webhook_is_asked_and_one_that_is_away_leaves_things_as_they_are(
    fleet: RunningFleet, operator: FleetAdminClient, tmp_path: Path
) -> None:
    hourly = {
        "type": "FixedInterval",
        "fixedInterval": {"seconds": 3600},
    }  # so that the fleet's own does not meddle
    await operator.set_policy(REGION, {"policy": buffer_policy(2), "sync": hourly})
    app, asked = FastAPI(), []

    @app.post("/scale")
    async def scale(request: Request) -> dict[str, object]:
        review = json.loads(await request.body())
        asked.append(review)
        return {**review, "response": {"uid": review["request"]["uid"], "scale": True, "replicas": 4}}

    async with ServiceClient("") as http:
        scaler = FleetAutoscaler(
            fleet.pool,
            dict.fromkeys(fleet.pool.regions, parse_policy('{"type":"Buffer","buffer":{"bufferSize":2}}')),
            SystemClock(),
            http,
            PolicyOverrides(tmp_path / "policies.json"),
        )
        async with serving(app) as url:
            webhook = {"type": "Webhook", "webhook": {"url": f"{url}/scale"}}
            decision = await scaler.override_policy(REGION, PolicyOverride({"policy": webhook}, "ann", 1.0))
        assert (decision["idle"], decision["replicas"]) == (4, 4)
        assert asked[0]["request"]["name"] == REGION
        decision = await scaler.override_policy(REGION, PolicyOverride({"policy": webhook}, "ann", 1.0))
        assert decision["idle"] == 4
        assert "gave no answer" in decision["reason"]
        chain = {
            "type": "Chain",
            "chain": [
                {"id": "hook", **webhook},
                {"id": "else", "type": "Buffer", "buffer": {"bufferSize": 1}},
            ],
        }
        decision = await scaler.override_policy(REGION, PolicyOverride({"policy": chain}, "ann", 1.0))
        assert (decision["idle"], decision["reason"]) == (1, "else: 0 in use and a buffer of 1")


async def test_the_fleet_asks_our_own_policy_as_a_webhook(
    fleet: RunningFleet, operator: FleetAdminClient
) -> None:
    webhook = {"type": "Webhook", "webhook": {"url": f"{fleet.url}/autoscale"}}
    decision = await operator.set_policy(REGION, {"policy": webhook})
    assert decision["reason"].startswith(f"{fleet.url}/autoscale says ")
    assert decision["idle"] >= 1


def test_the_demand_on_a_fleet_is_its_share_of_what_the_counters_say() -> None:
    meter = DemandMeter(match_s=60.0, players_per_match=100.0)
    assert meter.demand(REGION, 6, 0.0).matches_per_s == pytest.approx(0.1)  # no sample yet: by Little's law
    for second in range(60):
        meter.add(DemandSample(float(second), 200 * second, 150 * second, 2 * second, 40))
    meter.demand("east-us", 19, 60.0)
    demand = meter.demand(REGION, 59, 60.0)
    assert demand.matches_per_s == pytest.approx(0.75 * 2.0)
    assert demand.players_per_s == pytest.approx(0.75 * 200.0)
    assert (demand.queued_players, demand.players_per_match) == (30, 75.0)
    meter.add(DemandSample(61.0, 5, 0, 0, 0))  # the counters were reset
    assert meter.demand(REGION, 59, 61.0).matches_per_s == 0.0


# --- finalizing ---------------------------------------------------------------------------------------------


async def test_the_players_of_a_failed_match_are_released_however_often_it_takes(fleet: RunningFleet) -> None:
    calls: list[tuple[object, ...]] = []

    class Meta:
        async def close_match(self, match_id: UUID, player_ids: Sequence[int], force: bool = False) -> bool:
            calls.append((match_id, player_ids, force))
            if len(calls) < 3:
                raise MetaUnavailableError("away")
            return True

    match: dict[str, Any] = {
        "match_id": "0190d0a0-0000-7000-8000-000000000002",
        "mode": "stay",
        "players": [{"player_id": "7"}],
    }
    given = await fleet.allocator.allocate(region=REGION, match=match, idempotency_key="k")
    server = fleet.pool.get(given.name)
    assert isinstance(server, GameServer)
    finalizer = MatchFinalizer(
        fleet.journal, lambda: fleet.pool.changes, Meta(), SystemClock(), pause_s=0.001
    )
    finalizer.finalize(server, True, "")
    finalizer.finalize(server, False, "crashed")
    await until(lambda: finalizer.released, "the players are released")
    assert finalizer.released == 1
    assert (len(calls), calls[-1]) == (3, (UUID(match["match_id"]), (7,), True))
    await finalizer.aclose()


async def test_a_fleet_with_several_parents_loses_one_and_keeps_the_rest(fleet_settings: Settings) -> None:
    settings = fleet_settings.model_copy(update={"warm_parents": 2})
    async with running_fleet(settings) as fleet:
        await fleet.full()
        parents = (await fleet.admin.fleet())["warm_parents"]
        assert [parent["servers"] for parent in parents] == [2, 2]
        kept = [server.name for server in fleet.pool if server.node == parents[1]["node"]]
        os.kill(parents[0]["pid"], signal.SIGKILL)
        await fleet.until(lambda: any(server.gone for server in fleet.pool))
        await fleet.full()
        alive = [server.name for server in fleet.pool if not server.gone]
        assert set(kept) <= set(alive)


async def test_a_fleet_that_does_not_answer_is_unavailable(fleet: RunningFleet) -> None:
    async with FleetAdminClient("http://127.0.0.1:1", "t") as client:
        with pytest.raises(FleetUnavailableError):
            await client.fleets()
