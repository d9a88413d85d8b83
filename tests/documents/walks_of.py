"""One of each thing on its way through the product, followed: what `tests.documents.test_walks` counts."""

from __future__ import annotations

import asyncio
import time
import uuid

import numpy as np
from redis.asyncio import Redis

from dedicated_server.match.events import MatchEvents
from dedicated_server.match.spec import MatchSpec, RosterEntry
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.simulation.damage import die
from dedicated_server.simulation.event_buffer import KILL
from dedicated_server.tick.engine import Engine
from dedicated_server.transport import open_transport
from launchday.clock import SystemClock
from launchday.settings import Settings
from meta_service.client import ProgressCache
from rewards.consumer.cache_publisher import CachePublisher
from rewards.consumer.consumer import Consumer
from rewards.consumer.store import Store
from rewards.events import DEAD_LETTERS, EventProducer, Source
from rewards.progression import rules
from tests.dedicated_server.tick.swarm import FLEET_KEY, Swarm, Table, aim_and_fire, config
from tests.waiting import until
from tests.walks import Walk, follow


async def walk_datagram() -> Walk:
    """Play until all are connected; then follow one tick, from the socket to the socket."""
    transport = await open_transport("127.0.0.1", 0, "mmsg")
    engine = Engine(config(4), FLEET_KEY, transport, secret=bytes(SECRET_BYTES))
    swarm = Swarm(engine, aim_and_fire)
    table = Table(engine, swarm)
    try:
        await table.play(60)
        swarm.play_frame(table.now_s)
        with follow() as walk:
            engine.tick(table.now_s)
    finally:
        swarm.close()
        await transport.close()
    return walk


async def walk_kill(settings: Settings) -> Walk:
    """Play until somebody is killed; then follow that kill to the killer's XP in the cache."""
    transport = await open_transport("127.0.0.1", 0, "mmsg")
    engine = Engine(config(2, spawn_radius_m=20.0), FLEET_KEY, transport, secret=bytes(SECRET_BYTES))
    swarm = Swarm(engine, aim_and_fire)
    table = Table(engine, swarm)
    clock = SystemClock()
    producer = EventProducer(
        settings.kafka_bootstrap, settings.topic_prefix, "walk", settings.state_dir / "spool"
    )
    players = tuple(
        RosterEntry(player_id=player.player_id, team=player.team, entity=player.entity)
        for player in engine.match.roster
    )
    spec = MatchSpec(
        match_id=uuid.UUID(int=7),
        mode="battle_royale",
        region="west-europe",
        seed=1,
        match_s=60.0,
        players=players,
    )
    events = MatchEvents(
        spec,
        Source("walk", "west-europe", spec.match_id),
        producer,
        tick_hz=60,
        has_left=lambda entity: False,
    )
    store = Store(settings.store_url, "rewards", rules.load(), DEAD_LETTERS.name(settings.topic_prefix))
    cache = Redis.from_url(settings.cache_url)
    publisher = CachePublisher(ProgressCache(cache), clock)
    consumer = Consumer(settings.kafka_bootstrap, settings.topic_prefix, store, publisher, clock)
    await producer.start()
    tasks = [asyncio.create_task(consumer.run()), asyncio.create_task(publisher.run())]
    try:
        drained = engine.drain_events()
        while KILL not in drained["kind"]:
            await table.play(1)
            drained = engine.drain_events() if not table.events else np.array(table.events)
        with follow() as walk:
            walk.enter(die)
            await events.emit_records(drained, now_s=time.time(), tick=engine.tick_number)
            await until(lambda: consumer.counters.applied, "the kill is applied")
            await publisher.flush(10)
    finally:
        await consumer.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await producer.stop()
        await store.close()
        await cache.aclose()
        swarm.close()
        await transport.close()
    return walk
