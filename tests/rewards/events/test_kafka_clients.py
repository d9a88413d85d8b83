"""No wait on a broker that is silent, or is stopped in the middle, goes on for ever."""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from launchday.clock import SystemClock
from launchday.engines import Broker
from launchday.resilience import sockets
from launchday.settings import Settings
from loadtest.errors import BackendError
from loadtest.flood.watching.events import EventCounter
from rewards import dead_letters
from rewards.consumer.rebuild import rebuild
from rewards.errors import BusUnavailableError, DeadLettersError, RebuildError
from rewards.events import PLAYER, ensure_topics, kafka, kafka_clients
from rewards.events.kafka import KafkaRecord, KafkaSender
from rewards.progression import rules
from tests.silent_server import silent_server

SHORT_S = 0.1


@pytest.fixture
async def silent(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The address of a broker that is silent, and little patience with it."""
    for module, name in (
        (kafka_clients, "START_S"),
        (kafka_clients, "ANSWER_S"),
        (kafka_clients, "CLOSE_S"),
        (kafka, "CONNECT_TIMEOUT_S"),
        (dead_letters, "NEWEST_S"),
    ):
        monkeypatch.setattr(module, name, SHORT_S)
    async with silent_server() as server:
        yield server.address


async def test_topics_are_not_waited_for(silent: str) -> None:
    with pytest.raises(BusUnavailableError, match=r"did not answer within 0\.1 s: creating the topics"):
        await ensure_topics(silent, "test")


async def test_a_sender_does_not_wait_to_connect(silent: str) -> None:
    with pytest.raises(BusUnavailableError, match="cannot connect"):
        await KafkaSender.open(silent, "test")


async def test_dead_letters_are_not_waited_for(silent: str) -> None:
    with pytest.raises(DeadLettersError, match=r"did not answer within 0\.1 s: .*test.dead-letters"):
        await dead_letters.read_newest(silent, "test", 5)
    with pytest.raises(DeadLettersError, match=r"did not answer within 0\.1 s: .*test.dead-letters"):
        await dead_letters.read_all(silent, "test")


async def test_a_rebuild_does_not_wait_for_its_log(silent: str, store_url: str) -> None:
    with pytest.raises(RebuildError, match=r"did not answer within 0\.1 s"):
        await rebuild(silent, "test", store_url, rules.load(), SystemClock())
    connection = await asyncpg.connect(store_url)
    await connection.close()


async def test_a_flood_does_not_wait_to_count_kills(silent: str) -> None:
    with pytest.raises(BackendError, match=r"did not answer within 0\.1 s"):
        async with EventCounter(silent, "test"):
            pass


async def test_a_batch_is_not_waited_for_once_its_broker_is_stopped(
    own_broker: Broker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = settings.model_copy(update={"kafka_bootstrap": own_broker.address})
    await ensure_topics(own.kafka_bootstrap, own.topic_prefix)
    sender = await KafkaSender.open(own.kafka_bootstrap, "test")
    record = KafkaRecord(PLAYER.name(own.topic_prefix), b"1", b"x", 1)
    assert await sender.send([record]) == []
    monkeypatch.setattr(kafka, "SEND_TIMEOUT_S", SHORT_S)
    monkeypatch.setattr(kafka_clients, "CLOSE_S", SHORT_S)
    assert own_broker.process is not None
    own_broker.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(BusUnavailableError, match=r"no acknowledgement within 0\.1 s"):
            await sender.send([record] * 5)
        await sender.close()
    finally:
        own_broker.kill()


async def test_the_sockets_to_a_broker_notice_that_it_is_gone(settings: Settings, tmp_path: Path) -> None:
    """aiokafka has no option for it, so `kafka_clients` puts its own class of connection in the way."""
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    async with kafka_clients.reader(settings.kafka_bootstrap, "test") as consumer:
        await consumer.topics()
        connections = list(consumer._client._conns.values())
        assert connections
        for connection in connections:
            raw = connection._writer.get_extra_info("socket")
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == sockets.USER_TIMEOUT_MS
            assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
