"""One of each thing on its way through the product, followed: what `tests.documents.test_walks` counts."""

from __future__ import annotations

import asyncio
import io
import time
import uuid
from pathlib import Path

import numpy as np
from redis.asyncio import Redis

from dedicated_server.cards import shipped_cards
from dedicated_server.match.events import MatchEvents
from dedicated_server.match.spec import MatchSpec, RosterEntry
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.simulation.damage import die
from dedicated_server.simulation.event_buffer import KILL
from dedicated_server.tick.engine import Engine
from dedicated_server.transport import open_transport
from launchday.clock import SystemClock
from launchday.identity import Signer, signer_of
from launchday.launcher.backend import Backend
from launchday.settings import Settings
from launchday.terminal import Terminal
from loadtest.command import run_scenario
from loadtest.flood.options import FloodOptions
from loadtest.scenario.reader import load_scenario
from matchmaker.api.app import create_api
from matchmaker.client import MatchmakerClient
from matchmaker.director.director import Director
from matchmaker.queue.cache import open_cache
from matchmaker.rules.modes import load_rules
from meta_service.app import build
from meta_service.client import MetaClient, ProgressCache
from rewards.consumer.cache_publisher import CachePublisher
from rewards.consumer.consumer import Consumer
from rewards.consumer.store import Store
from rewards.events import DEAD_LETTERS, EventIds, EventProducer, Source
from rewards.progression import rules
from tests.dedicated_server.fleet.conftest import free_port_range, running_fleet
from tests.dedicated_server.tick.swarm import FLEET_KEY, Swarm, Table, aim_and_fire, config
from tests.matchmaker.conftest import running, served
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
        settings.kafka_bootstrap, settings.topic_prefix, "walk", settings.state_dir / "spool", clock=clock
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
        Source("walk", "west-europe", spec.match_id, ids=EventIds.from_clock(clock)),
        producer,
        card=shipped_cards()["battle_royale"],
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
        await until(lambda: consumer.partitions, "the consumer reads")
        with follow() as walk:
            walk.enter(die)
            await events.emit_records(drained, now_s=time.time(), tick=engine.tick_number)
            await until(lambda: consumer.counters.events_applied, "the kill is applied")
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


async def walk_ticket(settings: Settings) -> tuple[Walk, Walk]:
    """Two players queue over HTTP; follow their tickets to the assignment. Returns what goes on anyway, and
    the walk.
    """
    regions = {"west-europe": 12.0, "east-us": 88.0}
    clock = SystemClock()
    signer = signer_of(settings, "loadtest")
    async with (
        served(build(settings, clock)) as meta_url,
        running_fleet(_with_fleet(settings, meta_url)) as fleet,
        open_cache(settings.cache_url) as cache,
    ):
        own = fleet.settings.model_copy(
            update={
                "match_players": 2,
                "match_min_players": 2,
                "server_answer_s": 0.0,
                "matching_period_s": 0.02,
            }
        )
        director = Director(load_rules(own)["battle_royale"], own, cache, fleet.allocator, clock=clock)
        async with served(create_api(own, clock)) as url, running(director):
            await fleet.full()
            async with MatchmakerClient(url, signer.service_token("walk", clock.now())) as client:
                players = [client.with_token(signer.player_token(each, clock.now(), 3600)) for each in (1, 2)]
                with follow() as idle:
                    # What every request passes, whatever it asks for, is not the ticket's way.
                    await client.counters()
                    await _ask_the_meta_service(meta_url, signer, clock)
                    await asyncio.sleep(1.5)  # the time is the point: what happens without a ticket
                with follow(OTHER_SERVICES) as walk:
                    made = [await each.create_ticket("battle_royale", regions) for each in players]
                    states = await asyncio.gather(
                        *(
                            _last_state(each, ticket.ticket_id)
                            for each, ticket in zip(players, made, strict=True)
                        )
                    )
                assert states == ["assigned", "assigned"]
    return idle, walk


OTHER_SERVICES = {  # have processes of their own: their part of the way is what they do while they answer
    "dedicated_server/fleet/client.py": "fleet/client.py",
    "dedicated_server/fleet/": "fleet/agones/allocator_fast_path.py",
    "launchday/service.py": "matchmaker/api/direct_routes.py",
    "meta_service/": "meta_service/client/servers.py",
    "rewards/": "fleet/agones/allocator_fast_path.py",
}


def _with_fleet(settings: Settings, meta_url: str) -> Settings:
    """Settings of a small fleet beside a meta service."""
    first = free_port_range(20)
    return settings.model_copy(
        update={
            "meta_url": meta_url,
            "regions": "west-europe,east-us",
            "ready_per_region": 2,
            # so that no new one takes an allocated one's place: that is not the ticket's way
            "max_servers": 4,
            "game_port_min": first,
            "game_port_max": first + 19,
        }
    )


async def _ask_the_meta_service(url: str, signer: Signer, clock: SystemClock) -> None:
    async with MetaClient(url, signer.service_token("walk", clock.now())) as meta:
        await meta.counters()


async def _last_state(client: MatchmakerClient, ticket_id: str) -> str:
    """Follow a ticket by server-sent events to its end."""
    state = ""
    async for view in client.follow_ticket(ticket_id):
        state = view.state
    return state


def walk_scenario(settings: Settings, folder: Path) -> Walk:
    """Flood a backend of its own processes with four players; follow from the file to the report."""
    scenario = folder / "four.yaml"
    scenario.write_text(FOUR_PLAYERS)
    wanted = load_scenario(scenario).backend_settings()
    backend = Backend(settings.model_copy(update=wanted), fresh=True)
    try:
        completed = backend.start()
        with follow() as walk:
            code = asyncio.run(
                run_scenario(
                    scenario,
                    completed,
                    FloodOptions(report=folder / "report.html"),
                    console=Terminal(file=io.StringIO()),
                )
            )
    finally:
        backend.stop()
    assert code in (0, 99)
    return walk


FOUR_PLAYERS = """
name: four
players: {count: 4, locations: {west-europe: 1.0}}
arrivals: {curve: constant, over_s: 0.5}
modes: {battle_royale: {players: 4, duration_s: 5}}
behaviours: {rest_s: 0.3, patience_s: 30}
"""
