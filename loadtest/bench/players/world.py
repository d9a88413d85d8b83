"""Engines, two processes of the meta service, its worker and rewards, and a catalogue to shop in."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from launchday.clock import SystemClock
from launchday.engines.base import free_port
from launchday.identity import OPERATOR, signer_of
from loadtest.bench.harness.reliable_lane import World, reliable_lane
from loadtest.errors import BenchError
from meta_service.client import MetaClient, MetaUnavailableError
from meta_service.store.catalogue import Item
from rewards.events import EventProducer, ensure_topics

OPERATOR_NAME = "olga"
START_S = 60.0
LOOK_S = 0.05
NEVER_S = 10**9

SKINS = tuple(f"bench-skin-{number}" for number in range(4))
EMOTES = ("bench-bow", "bench-wave")
CRATE, RARE = "bench-crate", "bench-rare"
FREE_SKIN, FREE_EMOTE = "bench-plain", "bench-nod"
TIER_ITEM, TIER_COINS = "bench-trophy", 35
ITEM_TIER_XP, COINS_TIER_XP = 300, 900

SEASONS = f"""\
seasons:
  - name: launch
    title: All days there are
    starts: 2020-01-01
    ends: 2100-01-01
    tiers:
      - {{xp: {ITEM_TIER_XP}, gives: {{item: {TIER_ITEM}}}}}
      - {{xp: {COINS_TIER_XP}, gives: {{currency: coins, amount: {TIER_COINS}}}}}
"""


def goods() -> list[Item]:
    """The items of the benchmark: skins and emotes to wear, two free ones, and things to own many of."""
    skins = [
        Item(item_id=name, kind="skin", title=name, currency="coins", price=10 * place, refundable_s=NEVER_S)
        for place, name in enumerate(SKINS, start=1)
    ]
    emotes = [
        Item(item_id=name, kind="emote", title=name, currency="coins", price=5, refundable_s=NEVER_S)
        for name in EMOTES
    ]
    free = [
        Item(item_id=FREE_SKIN, kind="skin", title=FREE_SKIN, currency="coins", price=0),
        Item(item_id=FREE_EMOTE, kind="emote", title=FREE_EMOTE, currency="coins", price=0),
    ]
    crate = Item(
        item_id=CRATE,
        kind="consumable",
        title=CRATE,
        currency="coins",
        price=3,
        max_owned=20,
        refundable_s=NEVER_S,
    )
    rare = Item(item_id=RARE, kind="consumable", title=RARE, currency="coins", price=1, stock=50, max_owned=5)
    trophy = Item(item_id=TIER_ITEM, kind="skin", title=TIER_ITEM, on_sale=False)
    return [*skins, *emotes, *free, crate, rare, trophy]


@dataclass
class PlayersWorld:
    """What the rounds share.

    Attributes:
        services: a client a process of the meta service, with a service's token. It repeats nothing by
            itself, so that whoever calls knows of answers that are lost.
        operators: the same with the token of the operator OPERATOR_NAME.
        producer: sends events as game servers do.
    """

    inner: World
    services: list[MetaClient]
    operators: list[MetaClient]
    producer: EventProducer

    @property
    def redis_url(self) -> str:
        """The cache's address."""
        return self.inner.settings.cache_url

    @property
    def store_url(self) -> str:
        """The store's address."""
        return self.inner.settings.store_url


@contextlib.asynccontextmanager
async def players_world(folder: Path) -> AsyncIterator[PlayersWorld]:
    """Start everything, and end it. Raises BenchError where a service does not start."""
    seasons = folder / "seasons.yaml"
    seasons.write_text(SEASONS, encoding="utf-8")
    async with contextlib.AsyncExitStack() as stack:
        inner = await stack.enter_async_context(
            reliable_lane(folder, goods(), seasons=str(seasons), name_change_s=0.0)
        )
        second = inner.settings.model_copy(update={"meta_port": free_port()})
        inner.start("meta_service", second)
        ports = (inner.settings.meta_port, second.meta_port)
        signer, now = signer_of(inner.settings, "loadtest"), time.time()
        tokens = (
            signer.service_token("bench", now),
            signer.service_token(OPERATOR_NAME, now, roles=(OPERATOR,)),
        )
        services, operators = [
            [
                await stack.enter_async_context(
                    MetaClient(f"http://127.0.0.1:{port}", token, patience_s=30.0, retry=False)
                )
                for port in ports
            ]
            for token in tokens
        ]
        await _answers(services[1].counters)
        for operator in operators:
            await _answers(operator.reload_catalogue)
        bootstrap, prefix = inner.settings.kafka_bootstrap, inner.settings.topic_prefix
        await ensure_topics(bootstrap, prefix)
        producer = EventProducer(bootstrap, prefix, "bench", folder / "spool", clock=SystemClock())
        await producer.start()
        stack.push_async_callback(producer.stop, 5.0)
        yield PlayersWorld(inner, services, operators, producer)


async def _answers(call: Callable[[], Awaitable[object]]) -> None:
    began_s = time.monotonic()
    while time.monotonic() - began_s < START_S:
        with contextlib.suppress(MetaUnavailableError):
            await call()
            return
        await asyncio.sleep(LOOK_S)
    raise BenchError(f"a meta service was not ready after {START_S:g} s")
