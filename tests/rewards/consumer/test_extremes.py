"""Whatever is read as an event can be stored: every field of every kind at its extremes."""

from __future__ import annotations

import contextlib
import math
import random
import uuid
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from rewards.analytics import columns
from rewards.consumer.store import Store
from rewards.errors import BadEventError
from rewards.events import Envelope, EventIds
from rewards.events.parse import read_event, read_whole_event
from rewards.progression import rules
from tests.rewards.events.test_parse import EXAMPLES
from tests.rewards.examples import NOW_S
from tests.rewards.running import LETTERS, batch

_NUMBERS = [0, 1, -1, 2**31, 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1]
_REALS = [0.0, -1.0, 5e-324, 3.4e38, 1e300, 4_102_444_799.0, math.nan, math.inf, -math.inf]
_TEXTS = ["", "\0", "a\0b", "\uffff", "\U0010ffff" * 200, "x" * 201, "\u202e", "\\x00", "%s'--"]
_BYTES = [b"", b"\0", b"\xff" * 16, b"\0" * 16]
EXTREMES: dict[int, list[Any]] = {
    FieldDescriptor.TYPE_STRING: _TEXTS,
    FieldDescriptor.TYPE_BYTES: _BYTES,
    FieldDescriptor.TYPE_FLOAT: _REALS,
    FieldDescriptor.TYPE_DOUBLE: _REALS,
}
IDS = EventIds(random.Random(7).getrandbits)


def variants(envelope: Envelope, message: Any) -> Iterator[Envelope]:
    """Copies of an envelope with one field of ``message``, a part of it, at an extreme."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                yield from variants(envelope, part)
            continue
        kept = list(value) if field.is_repeated else value
        for extreme in EXTREMES.get(field.type, _NUMBERS):
            with contextlib.suppress(ValueError):  # protobuf itself takes no such number
                if field.is_repeated:
                    value[:] = [extreme]
                else:
                    setattr(message, field.name, extreme)
            copy = Envelope()
            copy.CopyFrom(envelope)
            yield copy
        if field.is_repeated:
            value[:] = kept
        else:
            setattr(message, field.name, kept)


async def test_whatever_is_read_as_an_event_can_be_stored_and_written(store_url: str) -> None:
    taken: list[Envelope] = []
    refused = 0
    for example in EXAMPLES:
        whole = Envelope()
        whole.CopyFrom(example)
        for each in variants(whole, whole):
            if len(each.event_id) == 16 and each.event_id[6] >> 4 == 7:
                each.event_id = IDS.next(NOW_S)
            try:
                read_event(each.SerializeToString())
            except BadEventError:
                refused += 1
            else:
                taken.append(each)
    assert len(taken) > 300
    assert refused > 300
    store = Store(store_url, "rewards", rules.load(), LETTERS, announce_level_ups=True)
    await store.apply(batch(taken), NOW_S)
    ids = {uuid.UUID(bytes=each.event_id) for each in taken}
    assert await store.known(ids) == ids
    await store.close()
    for each in taken:
        event, newer = read_whole_event(each.SerializeToString())
        if not newer:
            columns.table(event.WhichOneof("event") or "", [event])
