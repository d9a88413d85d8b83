"""Records of entities again in plain Python, from PROTOCOL.md and the table of their fields alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dedicated_server.cards.kinds import KIND_NAMES
from dedicated_server.protocol.entity_table import ANGLE, ENTITY_KINDS, EntityField

PLAYER = 0


class Reader(Protocol):
    """Takes numbers off a stream of bits."""

    def take(self, bits: int) -> int: ...


class Writer(Protocol):
    """Puts numbers onto a stream of bits."""

    def put(self, value: int, bits: int) -> None: ...


def rows(kind: int) -> tuple[EntityField, ...]:
    """The rows of a kind's own fields."""
    return ENTITY_KINDS[KIND_NAMES[kind]]


@dataclass(frozen=True)
class Record:
    """One entity, in wire units: a player's fields by name, those of other kinds and new ones in ``more``."""

    x: int
    y: int
    yaw: int = 0
    health: int = 0
    flags: int = 0
    kind: int = PLAYER
    more: tuple[int, ...] = ()

    @classmethod
    def of(cls, kind: int, x: int, y: int, values: Sequence[int]) -> Record:
        """From the values of the kind's own fields, in the table's order."""
        if kind == PLAYER:
            yaw, health, flags, *more = values
            return cls(x, y, yaw, health, flags, kind, tuple(more))
        return cls(x, y, kind=kind, more=tuple(values))

    @property
    def values(self) -> tuple[int, ...]:
        """Those of the kind's own fields, in the table's order; what was not given is 0."""
        own = (self.yaw, self.health, self.flags, *self.more) if self.kind == PLAYER else self.more
        return own + (0,) * (len(rows(self.kind)) - len(own))

    @property
    def packed(self) -> tuple[int, ...]:
        """The words of memory: no field lies in two of them, and bit 63 stays clear."""
        words, at = [0], 0
        bits = (3, 17, 17, *(row.bits for row in rows(self.kind)))
        for value, width in zip((self.kind, self.x, self.y, *self.values), bits, strict=True):
            if at + width > 63:
                words.append(0)
                at = 0
            words[-1] |= value << at
            at += width
        return tuple(words)

    @classmethod
    def unpacked(cls, words: Sequence[int]) -> Record:
        """The reverse of ``packed``."""
        values, place, at = [], 0, 0
        kind = int(words[0]) & 7
        for width in (3, 17, 17, *(row.bits for row in rows(kind))):
            if at + width > 63:
                place, at = place + 1, 0
            values.append((int(words[place]) >> at) & ((1 << width) - 1))
            at += width
        return cls.of(kind, values[1], values[2], values[3:])


def unzigzag(value: int) -> int:
    return value // 2 if value % 2 == 0 else -(value + 1) // 2


def zigzag(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def tight_bits(age: int) -> int:
    return next(
        bits for bits, oldest in zip(range(5, 11), (2, 4, 8, 16, 32, 64), strict=True) if age <= oldest
    )


def write_whole(writer: Writer, record: Record) -> None:
    writer.put(record.kind, 3)
    writer.put(record.x, 17)
    writer.put(record.y, 17)
    for row, value in zip(rows(record.kind), record.values, strict=True):
        writer.put(value, row.bits)


def read_whole(reader: Reader) -> Record:
    kind, x, y = reader.take(3), reader.take(17), reader.take(17)
    return Record.of(kind, x, y, [reader.take(row.bits) for row in rows(kind)])


def write_delta(writer: Writer, record: Record, base: Record, age: int) -> None:
    writer.put(int(record != base), 1)
    if record == base:
        return
    dx, dy = zigzag(record.x - base.x), zigzag(record.y - base.y)
    tight = tight_bits(age)
    if dx == dy == 0:
        writer.put(0, 1)
    elif max(dx, dy) < 1 << tight:
        for value, bits in ((0b01, 2), (dx, tight), (dy, tight)):
            writer.put(value, bits)
    elif max(dx, dy) < 1 << (tight + 3):
        for value, bits in ((0b011, 3), (dx, tight + 3), (dy, tight + 3)):
            writer.put(value, bits)
    else:
        for value, bits in ((0b111, 3), (record.x, 17), (record.y, 17)):
            writer.put(value, bits)
    plain = [
        (row.bits, now, before)
        for row, now, before in zip(rows(record.kind), record.values, base.values, strict=True)
        if row.difference != ANGLE
    ]
    for row, now, before in zip(rows(record.kind), record.values, base.values, strict=True):
        if row.difference == ANGLE:
            half = 1 << (row.bits - 1)
            turn = (now - before + half) % (2 * half) - half
            if turn == 0:
                writer.put(0, 1)
            elif -32 <= turn <= 31:
                writer.put(0b01, 2)
                writer.put(zigzag(turn), 6)
            else:
                writer.put(0b11, 2)
                writer.put(now, row.bits)
    differs = any(now != before for _, now, before in plain)
    writer.put(int(differs), 1)
    for bits, now, _ in plain if differs else ():
        writer.put(now, bits)


def read_delta(reader: Reader, base: Record, age: int) -> Record:
    if not reader.take(1):
        return base
    x, y = base.x, base.y
    if reader.take(1):
        if not reader.take(1):
            width = tight_bits(age)
            x, y = x + unzigzag(reader.take(width)), y + unzigzag(reader.take(width))
        elif not reader.take(1):
            width = tight_bits(age) + 3
            x, y = x + unzigzag(reader.take(width)), y + unzigzag(reader.take(width))
        else:
            x, y = reader.take(17), reader.take(17)
    values = list(base.values)
    for place, row in enumerate(rows(base.kind)):
        if row.difference == ANGLE and reader.take(1):
            if reader.take(1):
                values[place] = reader.take(row.bits)
            else:
                values[place] = (values[place] + unzigzag(reader.take(6))) % (1 << row.bits)
    if reader.take(1):
        for place, row in enumerate(rows(base.kind)):
            if row.difference != ANGLE:
                values[place] = reader.take(row.bits)
    return Record.of(base.kind, x, y, values)
