"""Check that schemas read each other's bytes, the newer and the older: only additions are allowed.

The rules are those of ``buf``'s category WIRE (https://buf.build/docs/breaking/rules), compared by
descriptors, because bytes on a topic outlive the programs that wrote them. ``released.binpb`` is the
baseline: the schema of the last release, and before the first release the schema that was fixed as a
beginning. A test compares it with the current one. To make a release, replace it with ``python -m
rewards.events.compatibility``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

from launchday import startup
from rewards.events import events_pb2 as pb
from rewards.events.kinds import KINDS_FIELD

RELEASED = Path(__file__).with_name("released.binpb")

# Types in one group are read from each other's bytes
# (https://protobuf.dev/programming-guides/proto3/#updating).
_WIRE_GROUPS = (
    ("TYPE_INT32", "TYPE_INT64", "TYPE_UINT32", "TYPE_UINT64", "TYPE_BOOL"),
    ("TYPE_SINT32", "TYPE_SINT64"),
    ("TYPE_FIXED32", "TYPE_SFIXED32"),
    ("TYPE_FIXED64", "TYPE_SFIXED64"),
)


def current_schema() -> FileDescriptorProto:
    """Return the schema of this program."""
    found = FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(found)
    return found


def released_schema() -> FileDescriptorProto:
    """Return the baseline: the schema of the last release, or the one that was fixed before the first."""
    return FileDescriptorProto.FromString(RELEASED.read_bytes())


def incompatibilities(old: FileDescriptorProto, new: FileDescriptorProto) -> list[str]:
    """List what of ``old`` the schema ``new`` no longer honours, one line each; empty for additions alone."""
    found = [] if old.package == new.package else [f"the package was {old.package} and is {new.package}"]
    found += _enums(old.enum_type, new.enum_type, "")
    found += _messages(old.message_type, new.message_type, "")
    return found


def _messages(old: Iterable[Any], new: Iterable[Any], path: str) -> Iterator[str]:
    now = {message.name: message for message in new}
    for message in old:
        name = f"{path}{message.name}"
        if message.name not in now:
            yield f"the message {name} is gone"
        else:
            yield from _fields(message, now[message.name], name)
            yield from _routes(message, now[message.name], name)
            yield from _messages(message.nested_type, now[message.name].nested_type, f"{name}.")
            yield from _enums(message.enum_type, now[message.name].enum_type, f"{name}.")


def _fields(old: DescriptorProto, new: DescriptorProto, name: str) -> Iterator[str]:
    now = {field.number: field for field in new.field}
    for field in old.field:
        place = f"{name}.{field.name} ({field.number})"
        found = now.get(field.number)
        if found is None:
            yield f"the field {place} is gone"
            continue
        if _wire_type(field) != _wire_type(found):
            yield f"the type of {place} has changed"
        elif field.type_name != found.type_name:
            yield f"{place} was a {field.type_name} and is a {found.type_name}"
        if (field.label == field.LABEL_REPEATED) != (found.label == found.LABEL_REPEATED):
            yield f"{place} was single and is repeated, or the other way round"
        if _oneof(field, old) != _oneof(found, new):
            yield f"{place} is in another oneof"
        elif _oneof(field, old) == KINDS_FIELD and field.name != found.name:
            yield f"the kind {place} is called {found.name}: its Parquet files go by its name"


def _routes(old: DescriptorProto, new: DescriptorProto, name: str) -> Iterator[str]:
    # Events of one key keep their order as long as they are in one partition of one topic.
    for extension in (pb.topic, pb.key):
        was, found = _option(old, extension), _option(new, extension)
        if was and was != found:
            yield f"the ({extension.name}) of {name} {f'was {was} and is {found}' if found else 'is gone'}"


def _option(message: Any, extension: Any) -> Any:
    return message.options.Extensions[extension]


def _enums(old: Iterable[Any], new: Iterable[Any], path: str) -> Iterator[str]:
    now: dict[str, EnumDescriptorProto] = {enum.name: enum for enum in new}
    for enum in old:
        if enum.name not in now:
            yield f"the enum {path}{enum.name} is gone"
            continue
        numbers = {value.number for value in now[enum.name].value}
        for value in enum.value:
            if value.number not in numbers:
                yield f"the value {path}{enum.name}.{value.name} ({value.number}) is gone"


def _wire_type(field: FieldDescriptorProto) -> str:
    name = FieldDescriptorProto.Type.Name(field.type)
    return next((group[0] for group in _WIRE_GROUPS if name in group), name)


def _oneof(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    # "optional" makes a oneof of its own out of one field, which changes nothing on the wire.
    if field.HasField("oneof_index") and not field.proto3_optional:
        return message.oneof_decl[field.oneof_index].name
    return ""


def main() -> None:
    """Write the current schema as the released one, unless it breaks with that."""
    if broken := incompatibilities(released_schema(), current_schema()):
        sys.exit("error: the schema does not honour the released one: " + "; ".join(broken))
    RELEASED.write_bytes(current_schema().SerializeToString(deterministic=True))


if __name__ == "__main__":
    startup.prepare()
    main()
