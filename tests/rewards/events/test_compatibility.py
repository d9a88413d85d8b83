from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

from rewards.events import compatibility, events_pb2


def message(schema: FileDescriptorProto, name: str) -> DescriptorProto:
    return next(each for each in schema.message_type if each.name == name)


def field(schema: FileDescriptorProto, of: str, name: str) -> FieldDescriptorProto:
    return next(each for each in message(schema, of).field if each.name == name)


def test_the_schema_only_adds_to_its_baseline() -> None:
    assert (
        compatibility.incompatibilities(compatibility.released_schema(), compatibility.current_schema()) == []
    )


def test_what_was_added_since_the_baseline_would_be_missed_if_it_went() -> None:
    found = compatibility.incompatibilities(compatibility.current_schema(), compatibility.released_schema())
    assert all("is gone" in line for line in found)


def _delete(of: str, name: str) -> Callable[[FileDescriptorProto], None]:
    return lambda schema: message(schema, of).field.remove(field(schema, of, name))


def _set(of: str, of_field: str, /, **values: object) -> Callable[[FileDescriptorProto], None]:
    def change(schema: FileDescriptorProto) -> None:
        for key, value in values.items():
            setattr(field(schema, of, of_field), key, value)

    return change


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_delete("Kill", "weapon"), "the field Kill.weapon (3) is gone"),
        (_set("Kill", "weapon", number=30), "the field Kill.weapon (3) is gone"),
        (_set("Kill", "distance_m", type=FieldDescriptorProto.TYPE_DOUBLE), "the type of Kill.distance_m"),
        (_set("XpGranted", "xp", type=FieldDescriptorProto.TYPE_SINT64), "the type of XpGranted.xp"),
        (_set("Kill", "weapon", label=FieldDescriptorProto.LABEL_REPEATED), "single and is repeated"),
        (_set("Kill", "killer_at", type_name=".launchday.events.v1.Kill"), "was a .launchday"),
        (
            lambda schema: field(schema, "Envelope", "kill").ClearField("oneof_index"),
            "in another oneof",
        ),
        (lambda schema: schema.message_type.remove(message(schema, "Placement")), "Placement is gone"),
        (lambda schema: message(schema, "Death").enum_type[0].value.pop(), "CAUSE_LEFT (3) is gone"),
        (lambda schema: message(schema, "Death").enum_type.pop(), "the enum Death.Cause is gone"),
        (lambda schema: setattr(schema, "package", "other"), "the package"),
        (_set("Envelope", "kill", name="frag"), "the kind Envelope.kill (18) is called frag"),
    ],
)
def test_a_change_that_would_break_readers_is_found(
    change: Callable[[FileDescriptorProto], object], complaint: str
) -> None:
    changed = compatibility.released_schema()
    change(changed)
    found = compatibility.incompatibilities(compatibility.released_schema(), changed)
    assert any(complaint in line for line in found), found


@pytest.mark.parametrize("name", ["topic", "key"])
def test_a_kind_that_goes_another_way_would_lose_its_order(name: str) -> None:
    changed = compatibility.current_schema()
    message(changed, "FlagCaptured").options.Extensions[getattr(events_pb2, name)] = "match"
    [found] = compatibility.incompatibilities(compatibility.current_schema(), changed)
    assert found.startswith(f"the ({name}) of FlagCaptured was player")


@pytest.mark.parametrize(
    "change",
    [
        _set("Kill", "weapon", name="weapon_name"),
        _set("Kill", "killer_id", type=FieldDescriptorProto.TYPE_UINT64),
        lambda schema: message(schema, "Kill").field.add(
            name="headshot", number=99, type=FieldDescriptorProto.TYPE_BOOL
        ),
        lambda schema: schema.message_type.add(name="Emote"),
    ],
)
def test_a_change_that_readers_survive_is_let_through(
    change: Callable[[FileDescriptorProto], object],
) -> None:
    changed = compatibility.released_schema()
    change(changed)
    assert compatibility.incompatibilities(compatibility.released_schema(), changed) == []
