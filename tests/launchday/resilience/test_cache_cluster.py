"""The one client on a real cluster: each key at its node, whatever happens to the nodes meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import NoScriptError, RedisError, ResponseError

from launchday.resilience import cache_client, packed
from launchday.resilience.cache_replicas import TooFewReplicasError
from launchday.resilience.sockets import redis_client
from loadtest.bench.engines.valkey_nodes import Cluster, Node, wait_for

NAMES = [f"key-{number}" for number in range(12)]  # of all three primaries
COUNT = "return redis.call('INCRBY', KEYS[1], ARGV[1])"
ONCE = (
    "if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SET', KEYS[1], 1) return 'new' end return 'known'"
)


@pytest.fixture
async def client(valkey_cluster: Cluster) -> AsyncIterator[Redis]:
    connected = redis_client(valkey_cluster.address, decode_responses=True)
    await connected.flushall()
    yield connected
    await connected.aclose()


def increments(*names: str) -> list[tuple[str, bytes]]:
    return [(name, packed.begin(3) + packed.pack(("INCRBY", name, 1))) for name in names]


def owner(cluster: Cluster, name: str) -> Node:
    return cluster.primary_of(key_slot(name.encode()))


async def test_commands_scripts_and_pipelines_find_their_nodes(client: Redis) -> None:
    count = client.register_script(COUNT)
    assert [await count(keys=[name], args=[n]) for n, name in enumerate(NAMES)] == list(range(12))
    pipeline: Any = client.pipeline(transaction=False)
    for name in NAMES:
        await count(keys=[name], args=[1], client=pipeline)
    pipeline.info("server")
    *counted, server = await pipeline.execute()
    assert counted == [n + 1 for n in range(12)]
    assert server["redis_version"]
    whole: Any = client.pipeline(transaction=True)
    whole.hset("{one}:a", mapping={"x": 1})
    whole.hgetall("{one}:a")
    whole.get("{one}:b")
    assert await whole.execute() == [1, {"x": "1"}, None]
    assert cache_client.is_cluster(client)
    assert len(await cache_client.each_primary(client)) == 3
    await cache_client.drop_idle(client)
    assert await client.get(NAMES[3]) == "4"


async def test_packed_commands_are_answered_in_order_and_errors_are_answers(client: Redis) -> None:
    assert await cache_client.send_packed(client, increments(*NAMES, NAMES[0])) == [1] * 12 + [2]
    await client.hset("hash", mapping={"a": 1})
    first, wrong, last = await cache_client.send_packed(client, increments("a", "hash", "b"))
    assert (first, last) == (1, 1)
    assert isinstance(wrong, ResponseError)
    unknown = packed.begin(4) + packed.pack(("EVALSHA", "0" * 40, 1, "a"))
    (lacking,) = await cache_client.send_packed(client, [("a", unknown)])
    assert isinstance(lacking, NoScriptError)


async def test_a_transaction_over_several_slots_is_refused_and_nothing_is_done(client: Redis) -> None:
    whole: Any = client.pipeline(transaction=True)
    for name in NAMES[:4]:
        whole.set(name, 1)
    with pytest.raises(RedisError):
        await whole.execute()
    assert await client.get(NAMES[0]) is None


async def test_scripts_that_a_node_has_forgotten_are_given_to_it_again(client: Redis) -> None:
    count = client.register_script(COUNT)
    for expected in (1, 2, 3):
        pipeline: Any = client.pipeline(transaction=False)
        for name in NAMES:
            await count(keys=[name], args=[1], client=pipeline)
        assert await pipeline.execute() == [expected] * 12
        await client.script_flush()
    assert await count(keys=[NAMES[0]], args=[1]) == 4


@pytest.mark.parametrize("wait", ["", "/?wait_replicas=1"])
async def test_while_slots_move_nothing_fails_and_nothing_is_done_twice(
    valkey_cluster: Cluster, client: Redis, wait: str
) -> None:
    caller = redis_client(valkey_cluster.address + wait, decode_responses=True)
    source = owner(valkey_cluster, "{moved}")
    target = next(node for node in valkey_cluster.primaries() if node is not source)
    slots = [key_slot(b"{moved}")]
    names, moved = [f"{{moved}}:{number}" for number in range(40)], asyncio.Event()
    both = caller.register_script("redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[2])")
    done = 0

    async def work(number: int) -> None:
        nonlocal done
        while not moved.is_set():
            for at in range(number, len(names), 4):
                await both(keys=[names[at], names[at - 1]])
                done += 1

    working = [asyncio.create_task(work(number)) for number in range(4)]
    await asyncio.to_thread(valkey_cluster.migrate, slots, source, target, 0.1)
    moved.set()
    await asyncio.gather(*working)
    counted: Any = await client.mget(names)
    assert sum(int(each) for each in counted) == 2 * done
    assert owner(valkey_cluster, "{moved}") is target
    await asyncio.to_thread(valkey_cluster.migrate, slots, target, source)
    assert await client.get(names[0]) is not None  # redirected once more
    await caller.aclose()


async def test_after_a_promotion_the_new_primary_is_asked(valkey_cluster: Cluster, client: Redis) -> None:
    former = owner(valkey_cluster, NAMES[0])
    await client.set(NAMES[0], "kept")
    replica = valkey_cluster.replica_of(former)
    for promoted in (replica, former):  # there, and back
        await asyncio.to_thread(promoted.ask, "CLUSTER", "FAILOVER")
        await asyncio.to_thread(_until_owner, valkey_cluster, promoted)
        assert await client.get(NAMES[0]) == "kept"
        assert await client.set(NAMES[0], "kept")
        await asyncio.to_thread(valkey_cluster.settled)


def _until_owner(cluster: Cluster, node: Node) -> None:
    wait_for(lambda: owner(cluster, NAMES[0]) is node, "a promotion")


async def test_a_change_that_no_replica_has_is_acknowledged_to_nobody(
    valkey_cluster: Cluster, client: Redis
) -> None:
    caller = redis_client(f"{valkey_cluster.address}/?wait_replicas=1&wait_ms=100", decode_responses=True)
    replica = valkey_cluster.replica_of(owner(valkey_cluster, "a"))
    once = caller.register_script(ONCE)
    assert await once(keys=["b{a}"]) == "new"
    replica.pause()
    try:
        with pytest.raises(TooFewReplicasError, match="repeat it"):
            await once(keys=["a"])
        with pytest.raises(TooFewReplicasError):  # it finds the change, and writes nothing itself
            await once(keys=["a"])
        with pytest.raises(TooFewReplicasError):
            await cache_client.send_packed(caller, increments("c{a}"))
        pipeline: Any = caller.pipeline(transaction=True)
        pipeline.incr("c{a}")
        with pytest.raises(TooFewReplicasError):
            await pipeline.execute()
        assert await caller.get("c{a}") == "2"  # what only reads waits for nobody
    finally:
        replica.resume()
    await asyncio.to_thread(valkey_cluster.settled)
    assert await once(keys=["a"]) == "known"
    assert await cache_client.send_packed(caller, increments("c{a}")) == [3]
    await caller.aclose()


async def test_a_node_that_stopped_costs_a_command_its_bound_and_no_more(valkey_cluster: Cluster) -> None:
    impatient = redis_client(valkey_cluster.address, answer_s=0.2)
    stopped = owner(valkey_cluster, "a")
    others = [name for name in NAMES if owner(valkey_cluster, name) is not stopped]
    await impatient.set("a", 1)
    stopped.pause()
    try:
        with pytest.raises(RedisError):
            await impatient.set("a", 2)
        assert await impatient.set(others[0], 1)
    finally:
        stopped.resume()
    await impatient.aclose()


async def test_an_address_without_a_cluster_behind_it_is_said_with_the_reason() -> None:
    away = redis_client("redis+cluster://127.0.0.1:9", answer_s=0.3)
    with pytest.raises(RedisError, match=r"no node of the cache's cluster answers.*refused|127\.0\.0\.1:9"):
        await away.get("a")
    await away.aclose()
