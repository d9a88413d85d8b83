"""The allocator call: Agones' JSON, one server to one caller, and the same server to the same key."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from pathlib import Path

import httpx2
import pytest

from dedicated_server.agones_sdk import FLEET_LABEL, MATCH_ANNOTATION
from dedicated_server.fleet.agones.allocator import Allocator, NoReadyServerError
from dedicated_server.fleet.agones.requests import AllocationRequest, Metadata, Selector
from dedicated_server.fleet.client import (
    AllocatorClient,
    FleetRefusedError,
    FleetUnavailableError,
    NoServerReadyError,
)
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import State
from launchday.identity import signer_of
from tests.dedicated_server.fleet.conftest import REGION, RunningFleet
from tests.dedicated_server.fleet.stub_pool import make_ready, new_pool

ON_THE_SHARED_FLEET = pytest.mark.asyncio(loop_scope="module")


def headers(fleet: RunningFleet) -> dict[str, str]:
    signer = signer_of(fleet.settings, "loadtest")
    return {"Authorization": f"Bearer {signer.service_token('test', time.time())}"}


@ON_THE_SHARED_FLEET
async def test_the_answer_is_agones(shared_fleet: RunningFleet) -> None:
    await shared_fleet.full()
    request = {
        "namespace": "default",
        "gameServerSelectors": [{"matchLabels": {FLEET_LABEL: REGION}, "gameServerState": "READY"}],
        "scheduling": "Packed",
        "metadata": {"labels": {"mode": "stay"}, "annotations": {MATCH_ANNOTATION: '{"mode":"stay"}'}},
    }
    async with httpx2.AsyncClient(base_url=shared_fleet.url, headers=headers(shared_fleet)) as http:
        response = await http.post("/gameserverallocation", json=request)
    assert response.status_code == 200
    answer = response.json()
    server = shared_fleet.pool.get(answer["gameServerName"])
    assert server is not None
    assert answer == {
        "gameServerName": server.name,
        "ports": [{"name": "default", "port": server.port}],
        "address": "127.0.0.1",
        "addresses": [],
        "nodeName": "local",
        "source": "local",
        "metadata": {
            "labels": {FLEET_LABEL: REGION, "mode": "stay"},
            "annotations": {MATCH_ANNOTATION: '{"mode":"stay"}'},
        },
        "counters": {},
        "lists": {},
    }


async def test_the_same_key_gives_the_same_server(fleet: RunningFleet) -> None:
    match = {"match_id": str(uuid.uuid4()), "mode": "stay"}
    first = await fleet.allocator.allocate(region=REGION, match=match, idempotency_key="once")
    again = await fleet.allocator.allocate(region=REGION, match=match, idempotency_key="once")
    other = await fleet.allocator.allocate(region=REGION, match=match, idempotency_key="twice")
    assert first == again != other
    assert fleet.pool.fleet_counters.matches_started == 2


@ON_THE_SHARED_FLEET
async def test_none_ready_is_429_and_the_client_says_so(shared_fleet: RunningFleet) -> None:
    with pytest.raises(NoServerReadyError, match="ask again"):
        await shared_fleet.allocator.allocate(region="atlantis", match={}, idempotency_key="k")


async def test_after_429_the_same_key_gets_a_server_once_there_is_one(fleet: RunningFleet) -> None:
    for _ in range(2):
        await fleet.play("stay")
    answers = 0
    while True:  # the buffer is being filled while we ask
        try:
            await fleet.play("stay", key="patient")
            break
        except NoServerReadyError:
            answers += 1
            await asyncio.sleep(0)
    assert fleet.pool.fleet_counters.matches_started == 3


async def test_concurrent_callers_never_get_one_server_twice(fleet: RunningFleet) -> None:
    """Three directors of eight calls each, against at most ten servers."""

    async def call(number: int) -> str | None:
        try:
            return await fleet.play("stay", key=f"caller {number}")
        except NoServerReadyError:
            return None

    given = [name for name in await asyncio.gather(*map(call, range(24))) if name is not None]
    assert 2 <= len(given) <= 10
    assert len(set(given)) == len(given)
    assert fleet.pool.fleet_counters.matches_started == len(given)


async def test_concurrent_calls_with_one_key_get_one_server(fleet: RunningFleet) -> None:
    given = await asyncio.gather(*(fleet.play("stay", key="the same") for _ in range(10)))
    assert len(set(given)) == 1
    assert fleet.pool.fleet_counters.matches_started == 1


@ON_THE_SHARED_FLEET
async def test_without_a_service_token_nothing_is_allocated(shared_fleet: RunningFleet) -> None:
    started = shared_fleet.pool.fleet_counters.matches_started
    player = signer_of(shared_fleet.settings, "loadtest").player_token(7, time.time(), 60)
    for token, status in ((None, 401), ("nonsense", 401), (player, 403)):
        async with AllocatorClient(shared_fleet.url, token) as client:
            with pytest.raises(FleetRefusedError, match=f"HTTP {status}"):
                await client.allocate(region=REGION, match={}, idempotency_key="k")
    assert shared_fleet.pool.fleet_counters.matches_started == started


@ON_THE_SHARED_FLEET
async def test_a_malformed_request_is_refused_with_a_pointer(shared_fleet: RunningFleet) -> None:
    async with httpx2.AsyncClient(base_url=shared_fleet.url, headers=headers(shared_fleet)) as http:
        response = await http.post(
            "/gameserverallocation", json={"gameServerSelectors": [{"gameServerState": "GONE"}]}
        )
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/body/gameServerSelectors/0/gameServerState"


async def test_a_fleet_that_is_away_is_unavailable() -> None:
    async with AllocatorClient("http://127.0.0.1:9", patience_s=1.0) as client:
        with pytest.raises(FleetUnavailableError, match="no answer"):
            await client.allocate(region=REGION, match={}, idempotency_key="k")


@ON_THE_SHARED_FLEET
async def test_an_unknown_server_is_refused(shared_fleet: RunningFleet) -> None:
    with pytest.raises(FleetRefusedError, match="no game server nobody"):
        await shared_fleet.admin.gameserver("nobody")


@ON_THE_SHARED_FLEET
async def test_the_metrics_have_agones_names(shared_fleet: RunningFleet) -> None:
    await shared_fleet.full()
    await shared_fleet.play("stay")
    shared_fleet.pool.step(shared_fleet.pool.clock.monotonic())
    async with httpx2.AsyncClient(base_url=shared_fleet.url) as http:
        text = (await http.get("/metrics")).text
    assert f'agones_gameservers_count{{fleet_name="{REGION}",type="Ready"}}' in text
    assert 'agones_gameserver_allocations_duration_seconds_count{status="Allocated"}' in text
    assert f'agones_fleets_replicas_count{{name="{REGION}",type="desired"}}' in text


# --- without processes: the pool and the allocator are plain functions of time ------------------------------


@pytest.fixture
def pool(tmp_path: Path) -> WarmPool:
    return new_pool(tmp_path)


def wanting(*labels: dict[str, str]) -> AllocationRequest:
    return AllocationRequest(selectors=[Selector(match_labels=wanted) for wanted in labels])


def test_selectors_are_tried_in_order(pool: WarmPool) -> None:
    make_ready(pool, 1.0)
    allocator = Allocator(pool)
    fussy = wanting({FLEET_LABEL: REGION, "size": "huge"}, {FLEET_LABEL: "east-us"})
    assert allocator.allocate(fussy, None, 2.0).name.startswith("east-us")
    chosen = next(iter(pool.in_state(REGION, State.READY).values()))
    chosen.annotate({}, {"size": "huge"})
    assert allocator.allocate(fussy, None, 3.0).name == chosen.name
    assert allocator.allocate(AllocationRequest(), None, 4.0).name.startswith(REGION)


def test_the_server_that_has_been_ready_the_longest_is_taken(pool: WarmPool) -> None:
    make_ready(pool, 1.0)
    allocator = Allocator(pool)
    names = list(pool.in_state(REGION, State.READY))
    taken = [allocator.allocate(wanting({FLEET_LABEL: REGION}), None, 2.0).name for _ in names]
    assert taken == names
    with pytest.raises(NoReadyServerError):
        allocator.allocate(wanting({FLEET_LABEL: REGION}), None, 2.0)


def test_ten_thousand_allocations_never_give_one_server_twice(pool: WarmPool) -> None:
    allocator = Allocator(pool)
    metadata = Metadata(annotations={MATCH_ANNOTATION: json.dumps({"match_id": str(uuid.uuid4())})})
    taken: set[str] = set()
    for number in range(10_000):
        now = number / 100
        make_ready(pool, now)
        request = AllocationRequest(
            selectors=[Selector(match_labels={FLEET_LABEL: (REGION, "east-us")[number % 2]})],
            metadata=metadata,
        )
        answer = allocator.allocate(request, f"key {number}", now)
        assert allocator.allocate(request, f"key {number}", now).name == answer.name
        assert answer.name not in taken
        taken.add(answer.name)
        pool.exited(answer.name, "exited with code 0", now)
    assert pool.fleet_counters.matches_started == pool.fleet_counters.matches_failed == 10_000
    assert len(pool) <= 6
