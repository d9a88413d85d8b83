"""Which server an allocation gets: Agones' selectors, strategies, priorities and actions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedicated_server.agones_sdk import FLEET_LABEL, MATCH_ANNOTATION
from dedicated_server.fleet.agones.allocator import Allocator, NoReadyServerError
from dedicated_server.fleet.agones.requests import AllocationAnswer, decode
from dedicated_server.fleet.pool.counters_and_lists import CounterListError
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import IllegalTransitionError, State
from tests.dedicated_server.fleet.stub_pool import REGION, StubSpawner, make_ready, new_pool, ready

COUNTERS_AND_LISTS = {
    "counters": {"rooms": {"count": 1, "capacity": 10}},
    "lists": {"players": {"values": ["a"], "capacity": 3}},
}


@pytest.fixture
def pool(tmp_path: Path) -> WarmPool:
    pool = new_pool(tmp_path, ready_per_region=4, counters_and_lists=COUNTERS_AND_LISTS)
    make_ready(pool, 1.0)
    return pool


def take(pool: WarmPool, *selectors: dict[str, Any], **request: Any) -> AllocationAnswer:
    body = {"gameServerSelectors": list(selectors), **request}
    return Allocator(pool).allocate(decode(json.dumps(body)), None, 2.0)


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ({"key": "map", "operator": "In", "values": ["island", "desert"]}, 1),
        ({"key": "map", "operator": "NotIn", "values": ["island"]}, 0),
        ({"key": "map", "operator": "Exists"}, 1),
        ({"key": "map", "operator": "DoesNotExist"}, 0),
    ],
)
def test_match_expressions(pool: WarmPool, expression: dict[str, Any], chosen: int) -> None:
    servers = ready(pool)
    servers[1].annotate({}, {"map": "island"})
    labels = {FLEET_LABEL: REGION}
    assert take(pool, {"matchLabels": labels, "matchExpressions": [expression]}).name == servers[chosen].name


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ({"counters": {"rooms": {"minCount": 5}}}, 1),
        ({"counters": {"rooms": {"minCount": "2", "maxCount": "6"}}}, 1),  # as gRPC's gateway writes them
        ({"counters": {"rooms": {"minAvailable": 8}}}, 0),
        ({"counters": {"rooms": {"maxAvailable": 5}}}, 1),
        ({"lists": {"players": {"containsValue": "b"}}}, 2),
        ({"lists": {"players": {"minAvailable": 2, "maxAvailable": 2}}}, 0),
    ],
)
def test_counters_and_lists_select(pool: WarmPool, selector: dict[str, Any], chosen: int) -> None:
    servers = ready(pool)
    servers[1].counters["rooms"].change(count=5)
    servers[2].lists["players"].change(values=["b", "c"])
    assert take(pool, {"matchLabels": {FLEET_LABEL: REGION}, **selector}).name == servers[chosen].name


def test_a_counter_that_no_server_has_matches_none(pool: WarmPool) -> None:
    with pytest.raises(NoReadyServerError):
        take(pool, {"counters": {"dragons": {"minCount": 0}}})


@pytest.mark.parametrize(("order", "chosen"), [("Ascending", 2), ("Descending", 0)])
def test_priorities_sort_by_what_is_left(pool: WarmPool, order: str, chosen: int) -> None:
    servers = ready(pool)
    for rank, count in enumerate((2, 5, 9, 7)):
        servers[rank].counters["rooms"].change(count=count)
    priorities = [{"type": "Counter", "key": "rooms", "order": order}]
    assert (
        take(pool, {"matchLabels": {FLEET_LABEL: REGION}}, priorities=priorities).name == servers[chosen].name
    )


def test_of_equal_first_priorities_the_second_decides(pool: WarmPool) -> None:
    servers = ready(pool)
    servers[3].lists["players"].change(values=["a", "b"])
    priorities = [
        {"type": "Counter", "key": "rooms", "order": "Ascending"},
        {"type": "List", "key": "players", "order": "Ascending"},
    ]
    assert take(pool, {"matchLabels": {FLEET_LABEL: REGION}}, priorities=priorities).name == servers[3].name


@pytest.mark.parametrize(
    ("scheduling", "nodes"),
    [("Packed", {"node-0": 3}), ("Distributed", {"node-0": 1, "node-1": 1, "node-2": 1})],
)
def test_packed_fills_a_node_and_distributed_spreads(
    tmp_path: Path, scheduling: str, nodes: dict[str, int]
) -> None:
    pool = new_pool(tmp_path, spawner=StubSpawner(3), warm_parents=3, ready_per_region=9, regions=(REGION,))
    make_ready(pool, 1.0)
    for _ in range(3):
        take(pool, scheduling=scheduling)
    assert pool.matches_by_node() == nodes


def test_the_actions_of_a_request_change_the_chosen_server(pool: WarmPool) -> None:
    answer = take(
        pool,
        counters={"rooms": {"action": "Increment", "amount": "2", "capacity": 20}, "dragons": {"amount": 1}},
        lists={"players": {"addValues": ["b", "a", "c", "d"], "deleteValues": ["a"], "capacity": "2"}},
    )
    assert answer.counters == {"rooms": {"count": "3", "capacity": "20"}}
    assert answer.lists == {"players": {"capacity": "2", "values": ["b", "a"]}}


def test_a_request_that_cannot_be_done_takes_no_server(pool: WarmPool) -> None:
    before = [server.name for server in ready(pool)]
    with pytest.raises(CounterListError):
        take(pool, counters={"rooms": {"action": "Increment", "amount": "many"}})
    assert [server.name for server in ready(pool)] == before


def test_an_allocated_server_can_be_allocated_again_but_not_given_another_match(pool: WarmPool) -> None:
    metadata = {"annotations": {MATCH_ANNOTATION: "{}"}}
    first = take(pool, metadata=metadata)
    again = take(pool, {"gameServerState": "ALLOCATED"}, metadata={"labels": {"backfill": "1"}})
    assert again.name == first.name
    assert again.metadata.labels["backfill"] == "1"
    assert pool.fleet_counters.matches_started == 1
    with pytest.raises(IllegalTransitionError, match="another"):
        take(pool, {"gameServerState": "ALLOCATED"}, metadata=metadata)


def test_cordoned_and_draining_servers_are_given_to_no_match(pool: WarmPool) -> None:
    servers = ready(pool)
    pool.cordon(servers[0], True)
    assert take(pool, {"matchLabels": {FLEET_LABEL: REGION}}).name == servers[1].name
    pool.regions[REGION].cordoned = True
    with pytest.raises(NoReadyServerError):
        take(pool, {"matchLabels": {FLEET_LABEL: REGION}})
    pool.regions[REGION].cordoned = False
    assert pool.in_state(REGION, State.READY)
    assert take(pool, {"matchLabels": {FLEET_LABEL: REGION}}).name == servers[2].name


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["gameServerSelectors", "matchLabels", "matchExpressions", "counters", "lists", "rooms",
                 "players",
                 "priorities", "metadata", "labels", "annotations", "key", "operator", "values", "minCount",
                 "maxAvailable", "containsValue", "action", "amount", "capacity", "addValues", "scheduling"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(json_values)
def test_any_json_is_an_answer_or_an_error_of_ours(pool: WarmPool, value: Any) -> None:
    try:
        request = decode(json.dumps(value))
    except msgspec.DecodeError:
        return
    make_ready(pool, 1.0)
    try:
        answer = Allocator(pool).allocate(request, None, 2.0)
    except (NoReadyServerError, CounterListError, IllegalTransitionError):
        return
    pool.exited(answer.name, "exited with code 0", 3.0)
