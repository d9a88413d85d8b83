"""The sidecar as a game server meets it: Agones' paths, bodies, answers and errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from dedicated_server.agones_sdk import MATCH_ANNOTATION
from dedicated_server.fleet.pool.counters_and_lists import Counter, ValueList
from dedicated_server.fleet.pool.gameserver import GameServer
from dedicated_server.fleet.pool.states import State
from tests.dedicated_server.fleet.conftest import REGION, RunningFleet

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def fleet(shared_fleet: RunningFleet) -> RunningFleet:
    return shared_fleet


@pytest_asyncio.fixture(loop_scope="module")
async def server(fleet: RunningFleet) -> AsyncIterator[GameServer]:
    """A Ready server of the test's own: the one that is given to the next match. It is replaced after the
    test.
    """
    await fleet.full()
    server = next(iter(fleet.pool.in_state(REGION, State.READY).values()))
    yield server
    fleet.pool.shut_down(server, fleet.pool.clock.monotonic())


@pytest_asyncio.fixture(loop_scope="module")
async def sdk(server: GameServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.sdk_port}") as http:
        yield http


async def test_the_record_has_agones_fields_and_strings_for_64_bit_integers(
    server: GameServer, sdk: httpx2.AsyncClient
) -> None:
    record = (await sdk.get("/gameserver")).json()
    assert set(record) == {"object_meta", "spec", "status"}
    assert record["object_meta"]["name"] == server.name
    for field in ("resource_version", "generation", "creation_timestamp", "deletion_timestamp"):
        assert isinstance(record["object_meta"][field], str)
    assert record["object_meta"]["labels"] == {"agones.dev/fleet": REGION}
    assert record["spec"]["health"]["failure_threshold"] == 3
    assert record["status"] == {
        "state": "Ready",
        "address": "127.0.0.1",
        "addresses": [],
        "ports": [{"name": "default", "port": server.port}],
        "players": None,
        "counters": {},
        "lists": {},
    }


@pytest.mark.parametrize("path", ["/ready", "/health", "/shutdown", "/allocate", "/reserve"])
async def test_an_empty_body_is_answered_400_and_changes_nothing(
    server: GameServer, sdk: httpx2.AsyncClient, path: str
) -> None:
    for body in (b"", b"[]", b"{", b"\xff"):
        response = await sdk.post(path, content=body)
        assert response.status_code == 400
        assert response.json()["code"] == 3
    assert server.state is State.READY


async def test_unknown_paths_and_ports_are_404(fleet: RunningFleet, sdk: httpx2.AsyncClient) -> None:
    assert (await sdk.get("/nothing")).status_code == 404
    free = next(iter(fleet.pool._roster._sdk_ports._free))
    async with httpx2.AsyncClient() as http:
        assert (await http.get(f"http://127.0.0.1:{free}/gameserver")).status_code == 404


async def test_labels_and_annotations_are_stored_under_agones_prefix(
    server: GameServer, sdk: httpx2.AsyncClient
) -> None:
    await sdk.put("/metadata/label", json={"key": "map", "value": "island"})
    await sdk.put("/metadata/annotation", json={"key": "launchday-report", "value": '{"tick": 3}'})
    record = (await sdk.get("/gameserver")).json()
    assert record["object_meta"]["labels"]["agones.dev/sdk-map"] == "island"
    assert record["object_meta"]["annotations"]["agones.dev/sdk-launchday-report"] == '{"tick": 3}'
    assert server.report == {"tick": 3}
    refused = await sdk.put("/metadata/label", json={"key": "map", "value": 3})
    assert refused.status_code == 400


async def test_a_reserved_server_is_ready_again_after_its_time(
    fleet: RunningFleet, server: GameServer, sdk: httpx2.AsyncClient
) -> None:
    await sdk.post("/reserve", json={"seconds": "2"})
    assert server.state is State.RESERVED
    fleet.pool.step(server.reserved_until_mono_s - 1)
    assert server.state is State.RESERVED
    fleet.pool.step(server.reserved_until_mono_s)
    assert server.state.value == "Ready"
    assert (await sdk.post("/reserve", json={"seconds": "-1"})).status_code == 400


async def test_a_server_may_allocate_itself_and_be_ready_again(
    fleet: RunningFleet, server: GameServer, sdk: httpx2.AsyncClient
) -> None:
    started = fleet.pool.fleet_counters.matches_started
    await sdk.post("/allocate", json={})
    assert server.state is State.ALLOCATED
    await sdk.post("/ready", json={})
    assert server.state.value == "Ready"
    assert fleet.pool.fleet_counters.matches_started == started


async def test_a_state_that_cannot_follow_is_refused(
    fleet: RunningFleet, server: GameServer, sdk: httpx2.AsyncClient
) -> None:
    await sdk.post("/shutdown", json={})
    refused = await sdk.post("/ready", json={})
    assert refused.status_code in (400, 404)  # 404 where the server is gone already
    await fleet.until(lambda: server.gone)


async def test_a_watch_tells_the_record_now_and_at_each_change_until_the_server_is_gone(
    fleet: RunningFleet, server: GameServer, sdk: httpx2.AsyncClient
) -> None:
    seen = []
    async with sdk.stream("GET", "/watch/gameserver") as stream:
        async for line in stream.aiter_lines():
            record = json.loads(line)["result"]
            seen.append(record["status"]["state"])
            if len(seen) == 1:
                given = await fleet.allocator.allocate(
                    region=REGION, match={"match_id": "m", "mode": "stay"}, idempotency_key="k"
                )
                assert given.name == server.name
            elif record["status"]["state"] == "Allocated":
                assert json.loads(record["object_meta"]["annotations"][MATCH_ANNOTATION])["match_id"] == "m"
                fleet.pool.shut_down(server, server.created_mono_s)
    assert seen[0] == "Ready"
    assert "Allocated" in seen
    assert seen[-1] == "Shutdown"


async def test_counters_and_lists_are_agones(
    fleet: RunningFleet, server: GameServer, sdk: httpx2.AsyncClient
) -> None:
    server.counters["rooms"] = Counter(1, 10)
    server.lists["players"] = ValueList(["a"], 2)
    assert (await sdk.get("/v1beta1/counters/rooms")).json() == {
        "name": "rooms",
        "count": "1",
        "capacity": "10",
    }
    changed = await sdk.patch("/v1beta1/counters/rooms", json={"countDiff": "4", "capacity": "6"})
    assert changed.json() == {"name": "rooms", "count": "5", "capacity": "6"}
    for body, code in (({"countDiff": 2}, 11), ({"count": "-1"}, 11), ({"count": "many"}, 11)):
        refused = await sdk.patch("/v1beta1/counters/rooms", json=body)
        assert (refused.status_code, refused.json()["code"]) == (400, code)
    assert (await sdk.get("/v1beta1/counters/dragons")).status_code == 404

    assert (await sdk.post("/v1beta1/lists/players:addValue", json={"value": "b"})).json()["values"] == [
        "a",
        "b",
    ]
    assert (await sdk.post("/v1beta1/lists/players:addValue", json={"value": "c"})).status_code == 400  # full
    assert (await sdk.post("/v1beta1/lists/players:addValue", json={"value": "b"})).status_code == 409
    assert (await sdk.post("/v1beta1/lists/players:removeValue", json={"value": "z"})).status_code == 404
    assert (await sdk.post("/v1beta1/lists/players:removeValue", json={"value": "a"})).json()["values"] == [
        "b"
    ]
    masked = await sdk.patch(
        "/v1beta1/lists/players", params={"updateMask": "capacity"}, json={"capacity": "9", "values": []}
    )
    assert masked.json() == {"name": "players", "capacity": "9", "values": ["b"]}
    assert (await sdk.delete("/v1beta1/lists/players")).status_code == 404
    status = (await sdk.get("/gameserver")).json()["status"]
    assert status["counters"] == {"rooms": {"count": "5", "capacity": "6"}}
    assert status["lists"] == {"players": {"capacity": "9", "values": ["b"]}}
