from __future__ import annotations

from pathlib import Path

import pytest

from rewards.events import EVENT_TOPICS, events_pb2, topics
from rewards.events.generate import GENERATED, SCHEMA, generate
from rewards.events.priority_queue import PRIORITY

KINDS = [field.name for field in events_pb2.Envelope.DESCRIPTOR.oneofs_by_name["event"].fields]


def test_generating_from_the_schema_gives_the_committed_modules(tmp_path: Path) -> None:
    generate(tmp_path)

    for name in GENERATED:
        assert (tmp_path / name).read_text() == (SCHEMA.parent / "events" / name).read_text(), (
            "run: python rewards/events/generate.py"
        )


def test_every_kind_of_event_has_a_topic_and_a_key() -> None:
    assert set(topics.ROUTING) == set(KINDS)
    assert {topic for topic, _ in topics.ROUTING.values()} == set(EVENT_TOPICS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_field_of_a_kind_is_a_player_id_of_it(kind: str) -> None:
    _, key_field = topics.ROUTING[kind]
    if key_field in (topics.BY_MATCH, topics.BY_SERVER):
        assert key_field in events_pb2.Envelope.DESCRIPTOR.fields_by_name
        return
    message = events_pb2.Envelope.DESCRIPTOR.fields_by_name[kind].message_type
    assert message is not None
    assert message.fields_by_name[key_field].type == message.fields_by_name[key_field].TYPE_INT64


def test_every_kind_of_event_has_an_importance() -> None:
    assert sorted(PRIORITY) == sorted(KINDS)
