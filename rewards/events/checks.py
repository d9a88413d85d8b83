"""What of an event cannot be true: one function for each kind of event, written from the schema.

By type: the id of a player is positive, a text has at most MAX_TEXT characters and no NUL, a number is
finite. By options of ``events.proto``: bounds of numbers, the longest lists, entries that differ, a match
that must be named. A place (a message of nothing but numbers without bounds) is not looked into: nothing
counts by it, and the two of a kill would cost as much as everything else of it.

The functions are written as text and compiled once, as dataclasses make their methods. A kill costs 1 µs like
that; to ask the message for its fields and each field for its rules costs three times as much, and reading is
most of what rewards does for an event.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from rewards.errors import BadEventError
from rewards.events import events_pb2 as pb
from rewards.events.kinds import FLOATS, INTEGERS, is_player, kinds_of, option

MAX_TEXT = 200  # characters; the longest text that we write is a reason

Check = Callable[[Any, Any], None]
"""Takes an envelope and its event; raises BadEventError with the first thing that cannot be true."""


def checks_of(envelope: Any) -> dict[str, Check]:
    """Return the check of each kind of event of a schema."""
    return {kind.name: _compiled(kind.name, kind.message) for kind in kinds_of(envelope).values()}


def check_text(name: str, text: str) -> None:
    """Raise BadEventError for a text that is too long, or that PostgreSQL cannot store."""
    if len(text) > MAX_TEXT:
        raise BadEventError(f"{name} is longer than {MAX_TEXT} characters")
    if "\0" in text:
        raise BadEventError(f"{name} contains a NUL")


def _compiled(kind: str, message: Descriptor) -> Check:
    text = "\n".join(["def check(envelope, event):", *_indented([*_of_kind(message), "pass"])])
    names: dict[str, Any] = {"BadEventError": BadEventError, "check_text": check_text, "INF": math.inf}
    exec(compile(text, f"<check of {kind}>", "exec"), names)
    return cast(Check, names["check"])


def _of_kind(message: Descriptor) -> Iterator[str]:
    if option(message, pb.in_match):
        yield from _refuse_if("not envelope.match_id", "match_id is missing")
    yield from _of_message(message, "event", "")
    for one, other in combinations(option(message, pb.different), 2):
        first, second = (f"item_{message.fields_by_name[name].number}" for name in (one, other))
        yield from _refuse_if(f"{first} == {second}", f"{one} and {other} are the same player")


def _of_message(message: Descriptor, variable: str, depth: str) -> Iterator[str]:
    """The lines that check what ``variable`` holds; ``depth`` makes their own variables' names unique."""
    for field in message.fields:
        value = f"{variable}.{field.name}"
        item = f"item{depth}_{field.number}"
        if field.is_repeated:
            lines = [*_of_value(field, item, f"{depth}_{field.number}")]
            most, distinct = option(field, pb.max_count), option(field, pb.distinct)
            if most or distinct or lines:
                yield f"entries = {value}"
            if most:
                yield from _refuse_if(f"len(entries) > {most}", f"more than {most} {field.name}")
            if distinct:
                once = f"len({{each.{distinct} for each in entries}})"
                of = "player" if distinct.endswith("_id") else distinct
                yield from _refuse_if(f"{once} != len(entries)", f"a {of} is named twice in {field.name}")
            if lines:
                yield f"for {item} in entries:"
                yield from _indented(lines)
        elif lines := [*_of_value(field, item, f"{depth}_{field.number}")]:
            lines = [f"{item} = {value}", *lines]
            if field.has_presence:
                yield f"if {variable}.HasField({field.name!r}):"
                lines = _indented(lines)
            yield from lines


def _of_value(field: FieldDescriptor, item: str, depth: str) -> Iterator[str]:
    """The lines that check one value of a field, which the variable ``item`` holds."""
    if field.message_type is not None:
        if field.is_repeated or not _is_place(field.message_type):
            yield from _of_message(field.message_type, item, depth)
    elif is_player(field):
        yield from _refuse_if(f"{item} <= 0", f"{field.name} is not a player id")
    elif field.type == FieldDescriptor.TYPE_STRING:
        yield f'if len({item}) > {MAX_TEXT} or "\\0" in {item}:'
        yield f"    check_text({field.name!r}, {item})"
    elif field.type in (*FLOATS, *INTEGERS):
        yield from _of_number(field, item)


def _is_place(message: Descriptor) -> bool:
    return all(
        field.type in FLOATS and not field.is_repeated and not option(field, pb.bounds).ByteSize()
        for field in message.fields
    )


def _of_number(field: FieldDescriptor, item: str) -> Iterator[str]:
    bounds = option(field, pb.bounds)
    least, most = (
        f"{getattr(bounds, end):.17g}" if bounds.HasField(end) else None for end in ("least", "most")
    )
    is_float = field.type in FLOATS
    if least is None and most is None and not is_float:
        return
    parts = [
        f"{least} <= " if least is not None else "-INF < " if is_float else "",
        item,
        f" <= {most}" if most is not None else " < INF" if is_float else "",
    ]
    if least is not None and most is not None:
        reason = f"is not between {bounds.least:g} and {bounds.most:g}"
    elif least is not None:
        reason = f"is less than {bounds.least:g}" + (" or not finite" if is_float else "")
    elif most is not None:
        reason = f"is more than {bounds.most:g}" + (" or not finite" if is_float else "")
    else:
        reason = "is not finite"
    yield from _refuse_if(f"not {''.join(parts)}", f"{field.name} {reason}")


def _refuse_if(condition: str, reason: str) -> list[str]:
    return [f"if {condition}:", f"    raise BadEventError({reason!r})"]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]
