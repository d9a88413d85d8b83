"""The lifecycle events of a fleet's servers: each state once, with its match, and nothing of it in an
allocation's way.
"""

from __future__ import annotations

import uuid
from collections import defaultdict

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from dedicated_server.fleet.admin import lifecycle_events
from dedicated_server.fleet.admin.lifecycle_events import LifecycleEvents
from dedicated_server.fleet.pool.changes import Changes
from dedicated_server.fleet.pool.states import State
from launchday.clock import ManualClock
from launchday.engines import Broker
from launchday.settings import Settings
from rewards.events import MATCH, Envelope, ServerState, ensure_topics, parse_envelope
from tests.dedicated_server.fleet.conftest import REGION, running_fleet


class Sink:
    """Keeps what is emitted."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    def emit(self, envelope: Envelope) -> bool:
        self.envelopes.append(parse_envelope(envelope.SerializeToString()))
        return True

    def states(self, name: str) -> list[int]:
        return [each.server_lifecycle.state for each in self.envelopes if each.producer == name]


def publish(changes: Changes, state: State, *, match_id: str | None = None, gone: bool = False) -> None:
    changes.publish(
        "gameserver", 1e9, name="a", region=REGION, state=state, match_id=match_id, gone=gone, reason="why"
    )


def test_a_life_is_told_state_by_state_and_what_is_no_change_is_not() -> None:
    changes, sink = Changes("epoch"), Sink()
    events = LifecycleEvents(changes, sink, ManualClock())
    match = str(uuid.uuid4())
    for state in (State.CREATING, State.STARTING, State.SCHEDULED, State.REQUEST_READY, State.READY):
        publish(changes, state)
    publish(changes, State.READY)  # cordoned
    publish(changes, State.ALLOCATED, match_id=match)
    publish(changes, State.ALLOCATED, match_id=match)  # draining
    publish(changes, State.SHUTDOWN, match_id=match)
    publish(changes, State.SHUTDOWN, match_id=match, gone=True)
    events.finish()
    events.finish()
    wanted = [ServerState.STARTED, ServerState.READY, ServerState.ALLOCATED, ServerState.ENDED]
    assert sink.states("a") == wanted
    assert [each.match_id for each in sink.envelopes] == [b"", b"", *[uuid.UUID(match).bytes] * 2]
    assert {each.server_lifecycle.reason for each in sink.envelopes} == {"why"}
    assert events.overruns == 0


def test_a_server_that_crashed_is_lost_and_its_match_may_have_any_name() -> None:
    changes, sink = Changes("epoch"), Sink()
    events = LifecycleEvents(changes, sink, ManualClock())
    publish(changes, State.ALLOCATED, match_id="the final")
    publish(changes, State.UNHEALTHY, match_id="the final")
    events.finish()
    assert sink.states("a") == [ServerState.ALLOCATED, ServerState.LOST]
    assert {each.match_id for each in sink.envelopes} == {b""}


def test_changes_that_were_overwritten_before_they_were_read_are_counted() -> None:
    changes, sink = Changes("epoch", kept=2), Sink()
    events = LifecycleEvents(changes, sink, ManualClock())
    for state in (State.SCHEDULED, State.READY, State.ALLOCATED):
        publish(changes, state)
    events.finish()
    assert sink.states("a") == [ServerState.READY, ServerState.ALLOCATED]
    assert events.overruns == 1


async def test_the_servers_of_a_fleet_are_told_from_start_to_end(
    fleet_settings: Settings, broker_server: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle_events, "GATHER_PERIOD_S", 0.01)
    monkeypatch.setattr("dedicated_server.fleet.app.EVENTS_FLUSH_S", 20.0)
    settings = fleet_settings.model_copy(
        update={"kafka_bootstrap": broker_server.address, "topic_prefix": f"test-{uuid.uuid4().hex[:12]}"}
    )
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    topic = TopicPartition(MATCH.name(settings.topic_prefix), 0)
    found: dict[str, list[int]] = defaultdict(list)
    kafka = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, auto_offset_reset="earliest")
    await kafka.start()

    async def reach(name: str, state: ServerState) -> None:
        while state not in found[name]:
            for records in (await kafka.getmany(timeout_ms=50)).values():
                for record in records:
                    envelope = parse_envelope(record.value)
                    assert record.key == envelope.producer.encode()
                    found[envelope.producer].append(envelope.server_lifecycle.state)

    try:
        kafka.assign([topic])
        async with running_fleet(settings) as fleet:
            await fleet.full()
            name = await fleet.play("brief")
            await reach(name, ServerState.ALLOCATED)
            other = next(server.name for server in fleet.pool.in_state(REGION, State.READY).values())
        await reach(other, ServerState.ENDED)
        await reach(name, ServerState.ENDED)
    finally:
        await kafka.stop()
    assert found[name] == [
        ServerState.STARTED,
        ServerState.READY,
        ServerState.ALLOCATED,
        ServerState.ENDED,
    ]
