"""What the tests of rewards share: brokers, a producer, a store that can be cut off, short group sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from launchday.clock import SystemClock
from launchday.engines import ApacheKafka, Broker
from launchday.settings import Settings
from rewards.analytics import writer
from rewards.consumer import consumer
from rewards.events import EventProducer, Source
from tests.optional import needs
from tests.rewards.examples import SOURCE
from tests.rewards.running import Gate


@pytest.fixture(autouse=True)
def short_sessions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make group sessions 1.5 s long on the embedded broker.

    It waits for half a session when a group begins, and for one or two before it admits a second
    member. Apache
    Kafka does not wait, and takes no session below 6 s.
    """
    parameters = getattr(request.node, "callspec", None)
    if "apache_settings" in request.fixturenames or (
        parameters and parameters.params.get("either_broker") == "apache"
    ):
        return
    for module in (consumer, writer):
        monkeypatch.setattr(module, "SESSION_TIMEOUT_MS", 1_500)
        monkeypatch.setattr(module, "HEARTBEAT_MS", 500)


@pytest.fixture
def source() -> Source:
    return SOURCE


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker of this test's own, to be stopped and started again; its topics are gone then."""
    broker = Broker(tmp_path / "broker", tmp_path / "broker.log")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def apache_server(server_dir: Path) -> Iterator[ApacheKafka]:
    """Apache Kafka, started once a run; a test that asks for it needs apache-kafka."""
    server = ApacheKafka(server_dir / "apache", server_dir / "apache.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def apache_settings(settings: Settings, apache_server: ApacheKafka) -> Settings:
    """The settings, with Apache Kafka in the place of the embedded broker."""
    return settings.model_copy(update={"kafka_bootstrap": apache_server.address})


@pytest.fixture(params=["embedded", pytest.param("apache", marks=needs("apache-kafka"))])
def either_broker(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """The settings, with each of the brokers in turn."""
    if request.param == "embedded":
        return settings
    server: ApacheKafka = request.getfixturevalue("apache_server")
    return settings.model_copy(update={"kafka_bootstrap": server.address})


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[EventProducer]:
    """A started producer on the shared broker."""
    made = EventProducer(
        settings.kafka_bootstrap,
        settings.topic_prefix,
        "server-1",
        settings.state_dir / "spool",
        clock=SystemClock(),
    )
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def gate(store_url: str) -> AsyncIterator[Gate]:
    made = Gate(store_url)
    await made.open()
    yield made
    await made.shut()
