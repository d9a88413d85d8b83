from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from rewards.events import (
    EVENT_TOPICS,
    compatibility,
    event_kinds,
    events_pb2,
    kinds,
    make_event,
    parse_envelope,
    topics,
)
from rewards.events.generate import GENERATED, SCHEMA, generate
from rewards.events.priority_queue import PRIORITY
from tests.rewards.examples import NOW_S, SOURCE

REPEATED = FieldDescriptorProto.LABEL_REPEATED
KINDS = [field.name for field in events_pb2.Envelope.DESCRIPTOR.oneofs_by_name["event"].fields]


def test_generating_from_the_schema_gives_the_committed_modules(tmp_path: Path) -> None:
    generate(tmp_path)

    for name in GENERATED:
        assert (tmp_path / name).read_text() == (SCHEMA.parent / "events" / name).read_text(), (
            "run: python rewards/events/generate.py"
        )


def test_every_kind_of_event_has_a_topic_a_key_and_a_priority_of_its_own() -> None:
    assert set(topics.ROUTING) == set(KINDS) == event_kinds()
    assert {topic for topic, _ in topics.ROUTING.values()} == set(EVENT_TOPICS)
    assert sorted(PRIORITY) == sorted(KINDS)


def test_what_the_schema_says_of_a_kind_is_read() -> None:
    kind = kinds.KINDS["flag_captured"]
    assert (kind.topic, kind.key) == ("player", "player_id")
    assert topics.ROUTING["server_lifecycle"] == (topics.MATCH, "producer")
    assert PRIORITY.index("match_ended") < PRIORITY.index("flag_captured") < PRIORITY.index("death")


def schema_with(**options: object) -> Any:
    """The envelope of this program's schema and one kind more, with these options."""
    schema = compatibility.current_schema()
    made = schema.message_type.add(name="Made")
    made.field.add(name="player_id", number=1, type=FieldDescriptorProto.TYPE_INT64)
    made.field.add(name="friend_ids", number=2, type=FieldDescriptorProto.TYPE_INT64, label=REPEATED)
    for name, value in options.items():
        made.options.Extensions[getattr(events_pb2, name)] = value
    envelope = next(each for each in schema.message_type if each.name == "Envelope")
    envelope.field.add(
        name="made",
        number=99,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=".launchday.events.v1.Made",
        oneof_index=0,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(descriptor_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(schema)
    return pool.FindMessageTypeByName("launchday.events.v1.Envelope")


def test_a_kind_with_all_of_its_options_is_a_kind() -> None:
    made = kinds.kinds_of(schema_with(topic="match", key="player_id", priority=5))["made"]
    assert (made.topic, made.key, made.priority) == ("match", "player_id", 5)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"key": "player_id", "priority": 5}, r"Made has no \(topic\)"),
        ({"topic": "player", "priority": 5}, r"the \(key\) of Made, ''"),
        ({"topic": "player", "key": "friend_ids", "priority": 5}, "neither one player of it"),
        ({"topic": "player", "key": "region", "priority": 5}, "neither one player of it"),
        ({"topic": "player", "key": "player_id"}, r"Made has no \(priority\)"),
        ({"topic": "player", "key": "player_id", "priority": 100}, "kill and made have the same"),
    ],
)
def test_a_kind_that_lacks_what_others_read_is_told_by_its_name(
    options: dict[str, object], complaint: str
) -> None:
    with pytest.raises(kinds.SchemaError, match=complaint):
        kinds.kinds_of(schema_with(**options))


def test_an_event_is_made_of_the_names_of_its_fields() -> None:
    fields = {"player_id": 7, "team": 1, "at": {"x_m": 3.0, "y_m": -4.0}, "carried_s": 12.5}
    made = make_event(SOURCE, "flag_captured", fields, now_s=NOW_S, tick=9)
    assert (made.flag_captured.at.y_m, made.flag_captured.carried_s, made.tick) == (-4.0, 12.5, 9)
    assert parse_envelope(made.SerializeToString()) == made


@pytest.mark.parametrize(
    ("kind", "fields", "complaint"),
    [("flag_lost", {}, "no kind of event called flag_lost"), ("flag_captured", {"depth": 1}, "depth")],
)
def test_an_event_of_what_the_schema_does_not_have_is_not_made(
    kind: str, fields: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        make_event(SOURCE, kind, fields, now_s=NOW_S)
