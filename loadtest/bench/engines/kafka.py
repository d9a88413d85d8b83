"""Kafka with three brokers, TLS and logins: one killed, paused, restarted; tokens that expire under load.

A request is an event that a game server's producer has seen acknowledged. The rewards service, a process,
counts it; both have the rights of their programs and no more. Afterwards each event that was emitted,
acknowledged or not, has to be counted once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg
from pydantic import SecretStr

from launchday import child_processes
from launchday.clock import SystemClock
from launchday.engines import Postgres, Valkey, free_port
from launchday.resilience.bus import Bus
from launchday.settings import Settings, environment
from loadtest.bench.engines.kafka_brokers import KafkaBrokers, SecuredBroker
from loadtest.bench.engines.measuring import Audit, EngineFault
from loadtest.errors import BenchError
from meta_service.store import schema
from rewards.events import PLAYER, EventIds, EventProducer, Source, ensure_topics, kill
from rewards.events.rights import all_of

WORKERS = 8
PREFIX = "bench"
FLUSH_S = 5.0
SETTLE_S = 60.0  # for what lies in spools, and for the consumer to come to the end
CONSUMING_S = 60.0
FIRST_PLAYER = 1_000_000
VICTIM = 1
TOKEN_LIFE_S = 8.0
POLL_S = 0.1
USERS = {"rewards": "rewards", "servers": "game servers and the fleet"}


@dataclass
class SecuredKafka:
    """Three brokers, a store and a rewards service, for one fault.

    Attributes:
        brokers: which it happens to.
        settings: of the rewards service.
        producers: of game servers, one for each request at a time; those that are free.
        emitted: numbers of the events that were given to one.
    """

    brokers: KafkaBrokers
    settings: Settings
    folder: Path
    fault: Callable[[SecuredKafka], Awaitable[None]]
    healing: Callable[[SecuredKafka], Awaitable[None]] | None
    producers: asyncio.Queue[EventProducer] = field(default_factory=asyncio.Queue)
    emitted: set[int] = field(default_factory=set)
    victim: SecuredBroker | None = None
    _source: Source = field(
        default_factory=lambda: Source("bench", "", uuid.uuid4(), ids=EventIds.from_clock(SystemClock()))
    )

    async def ask(self, number: int) -> bool:
        """As in Subject: one event; whether the broker has acknowledged it."""
        producer = await self.producers.get()
        try:
            before = producer.counters().delivered
            self.emitted.add(number)
            producer.emit(
                kill(
                    self._source,
                    now_s=time.time(),
                    tick=1,
                    killer_id=FIRST_PLAYER + number,
                    victim_id=VICTIM,
                    weapon="rifle",
                    distance_m=10.0,
                    killer_at=(0.0, 0.0),
                    victim_at=(1.0, 1.0),
                )
            )
            return await producer.flush(FLUSH_S) and producer.counters().delivered > before
        finally:
            self.producers.put_nowait(producer)

    async def inject(self) -> None:
        """As in Subject."""
        leaders = await self.brokers.leaders(PLAYER.name(PREFIX))
        self.victim = self.brokers.nodes[leaders[0] - 1]
        await self.fault(self)

    async def heal(self) -> None:
        """As in Subject."""
        if self.healing is not None:
            await self.healing(self)

    async def audit(self, acknowledged: Sequence[int]) -> Audit:
        """As in Subject: each event is known by its killer, whom no other has."""
        free = [self.producers.get_nowait() for _ in range(self.producers.qsize())]
        connection = await asyncpg.connect(self.settings.store_url)
        try:

            async def settled() -> bool:
                left = any(one.counters().resent < one.counters().spooled for one in free)
                return not left and await connection.fetchval(_COUNT, FIRST_PLAYER) >= len(self.emitted)

            with contextlib.suppress(TimeoutError):  # what is not there by then is told as lost
                await _until(settled, SETTLE_S)
            rows = await connection.fetch(_KILLS, FIRST_PLAYER)
            inbox = await connection.fetchval("SELECT count(*) FROM event_inbox")
        finally:
            await connection.close()
            for producer in free:
                await producer.stop()
        counted = {row["player_id"] - FIRST_PLAYER: row["kills"] for row in rows}
        return Audit(
            lost=sum(number not in counted for number in acknowledged),
            doubled=sum(kills > 1 for kills in counted.values()),
            balanced=counted.keys() == self.emitted
            and inbox == len(self.emitted)
            and len({row["xp"] for row in rows}) == 1,
        )


_COUNT = "SELECT count(*) FROM progression WHERE player_id >= $1"
_KILLS = "SELECT player_id, kills, xp FROM progression WHERE player_id >= $1"


@contextlib.asynccontextmanager
async def secured_kafka(
    fault: Callable[[SecuredKafka], Awaitable[None]],
    healing: Callable[[SecuredKafka], Awaitable[None]] | None = None,
    *,
    by_token: bool = False,
) -> AsyncIterator[SecuredKafka]:
    """Start everything, and end it.

    Args:
        fault: what happens.
        healing: what ends it.
        by_token: log in by OAUTHBEARER, with tokens that live for `TOKEN_LIFE_S`; otherwise by SCRAM-SHA-512.
    """
    with tempfile.TemporaryDirectory(prefix="launchday-bench-") as name, contextlib.ExitStack() as ends:
        folder = Path(name)
        brokers = KafkaBrokers(folder / "kafka", users=tuple(USERS))
        valkey = Valkey(folder / "valkey", folder / "valkey.log")
        postgres = Postgres(folder / "postgres", folder / "postgres.log")
        for server in (valkey, postgres, brokers):
            ends.callback(server.stop)
            server.start()
        await brokers.all_there()
        await asyncio.to_thread(schema.migrate, postgres.address)
        await ensure_topics(brokers.inner_address, PREFIX)
        for user, program in USERS.items():
            await brokers.allow(user, list(all_of(program, PREFIX)))

        def of_user(user: str) -> Settings:
            return Settings(
                state_dir=folder / user,
                cache_url=valkey.address,
                store_url=postgres.address,
                kafka_bootstrap=brokers.address,
                kafka_security="sasl_ssl",
                kafka_ca=str(brokers.authority.ca),
                kafka_mechanism="OAUTHBEARER" if by_token else "SCRAM-SHA-512",
                kafka_user=user,
                kafka_password=SecretStr(brokers.users[user]),
                kafka_token_command=brokers.authority.token_command(user, TOKEN_LIFE_S),
                identity_secret=SecretStr(secrets.token_hex(32)),
                topic_prefix=PREFIX,
                rewards_port=free_port(),
            )

        rewards = of_user("rewards")
        subject = SecuredKafka(brokers, rewards, folder, fault, healing)
        service = child_processes.spawn(
            [sys.executable, "-m", "rewards"],
            log=folder / "rewards.log",
            env={**os.environ, **environment(rewards)},
        )
        ends.callback(child_processes.stop, service, 10)
        bus = Bus.of(of_user("servers"), SystemClock())
        for number in range(WORKERS):
            producer = EventProducer(
                bus, PREFIX, f"server-{number}", folder / f"spool-{number}", clock=SystemClock()
            )
            await producer.start()
            subject.producers.put_nowait(producer)
        await _until_consuming(subject, service)
        yield subject


async def _until_consuming(subject: SecuredKafka, service: subprocess.Popen[bytes]) -> None:
    """Wait until an event has come through; it counts as emitted, and as no request."""
    connection = await asyncpg.connect(subject.settings.store_url)
    try:
        for number in range(WORKERS):  # each producer connects
            await subject.ask(FIRST_PLAYER + number)

        async def counted() -> bool:
            if service.poll() is not None:
                said = child_processes.last_line(subject.folder / "rewards.log")
                raise BenchError(f"rewards ended with code {service.returncode}: {said}")
            return bool(await connection.fetchval(_COUNT, FIRST_PLAYER) >= len(subject.emitted))

        await _until(counted, CONSUMING_S)
    except TimeoutError as error:
        raise BenchError(f"rewards counted nothing within {CONSUMING_S:g} s") from error
    finally:
        await connection.close()


async def _until(condition: Callable[[], Awaitable[bool]], within_s: float) -> None:
    """Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while True:
            if await condition():
                return
            await asyncio.sleep(POLL_S)


async def _kill(subject: SecuredKafka) -> None:
    assert subject.victim is not None
    subject.victim.kill()


async def _pause(subject: SecuredKafka) -> None:
    _signal(subject, signal.SIGSTOP)


async def _go_on(subject: SecuredKafka) -> None:
    _signal(subject, signal.SIGCONT)


async def _restart(subject: SecuredKafka) -> None:
    """As an upgrade does: it is asked to end, and started again."""
    node = subject.victim
    assert node is not None
    assert node.process is not None
    node.process.terminate()
    await asyncio.to_thread(node.process.wait)
    node.process = node.launch()  # in this thread: a broker ends with the one that has started it
    await asyncio.to_thread(node.await_ready)


async def _nothing(_subject: SecuredKafka) -> None:
    """Time passes, and with it every token's."""


def _signal(subject: SecuredKafka, number: signal.Signals) -> None:
    assert subject.victim is not None
    assert subject.victim.process is not None
    subject.victim.process.send_signal(number)


FAULTS: Sequence[EngineFault] = (
    EngineFault("kafka", "broker killed", partial(secured_kafka, _kill), WORKERS),
    EngineFault(
        "kafka",
        "broker paused for 12 s",
        partial(secured_kafka, _pause, _go_on),
        WORKERS,
        12.0,
        ends_outside=True,
    ),
    EngineFault("kafka", "broker restarted", partial(secured_kafka, _restart), WORKERS),
    EngineFault(
        "kafka",
        "tokens expire twice",
        partial(secured_kafka, _nothing, by_token=True),
        WORKERS,
        2 * TOKEN_LIFE_S,
    ),
)
"""The broker is the one that leads the first partition of the player topic."""
