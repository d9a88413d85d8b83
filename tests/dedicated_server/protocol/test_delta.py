from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.native.compilation import Longs
from dedicated_server.protocol.bits import append
from dedicated_server.protocol.datagrams import ENTITY_LAYOUT_BYTES
from dedicated_server.protocol.delta import (
    CODE_WORDS,
    LONGEST_CODE_BITS,
    read_difference,
    read_whole,
    tight_bits,
    write_difference,
    write_whole,
)
from dedicated_server.protocol.entities import PLAIN_LENGTH_BITS, layout, load_record
from dedicated_server.protocol.entity_table import ALL_KINDS, KINDS, RECORD_WORDS
from tests.dedicated_server.protocol import entity_oracle
from tests.dedicated_server.protocol.entity_oracle import Record, rows
from tests.dedicated_server.protocol.oracle import BitReader, BitWriter

LAYOUT = np.frombuffer(layout(), np.uint8)
COORDINATE = st.integers(0, (1 << 17) - 1)
STEP = st.one_of(st.just(0), st.integers(-16, 16), st.integers(-5000, 5000))


def values_of(kind: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*(st.integers(0, (1 << row.bits) - 1) for row in rows(kind)))


@st.composite
def records(draw: st.DrawFn, kind: int | None = None) -> Record:
    kind = draw(st.integers(0, KINDS - 1)) if kind is None else kind
    return Record.of(kind, draw(COORDINATE), draw(COORDINATE), draw(values_of(kind)))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Record, Record]:
    """Two records of one entity: anything, or such as follow each other."""
    base = draw(records())
    if draw(st.booleans()):
        return base, draw(records(base.kind))
    x = min(max(base.x + draw(STEP), 0), (1 << 17) - 1)
    y = min(max(base.y + draw(STEP), 0), (1 << 17) - 1)
    new = draw(values_of(base.kind))
    near = [
        (before + draw(st.integers(-40, 40))) % (1 << row.bits) if row.difference == "angle" else value
        for row, before, value in zip(rows(base.kind), base.values, new, strict=True)
    ]
    values = near if draw(st.booleans()) else [
        value if row.difference == "angle" else before
        for row, before, value in zip(rows(base.kind), base.values, near, strict=True)
    ]  # fmt: skip
    return base, Record.of(base.kind, x, y, values)


def row_of(record: Record) -> Longs:
    words = record.packed
    return np.array(words + (0,) * (RECORD_WORDS - len(words)), np.int64)


def stream_of(code: np.ndarray[tuple[int], np.dtype[np.uint64]], bits: int, at: int) -> np.ndarray:
    """A stream that has the code at bit ``at``, and ones behind it, which no reader may need."""
    words = np.zeros(12, np.uint64)
    position = at
    for word in range(0, bits, 64):
        position = append(words, position, code[word // 64], min(bits - word, 64))
    append(words, position, np.uint64(2**63 - 1), 63)
    return words


def number(words: np.ndarray, bits: int) -> int:
    return sum(int(word) << 64 * place for place, word in enumerate(words)) & ((1 << bits) - 1)


@settings(max_examples=400)
@given(pairs(), st.integers(1, 63))
def test_a_difference_is_coded_as_the_oracle_codes_it_and_decodes_to_the_record(
    pair: tuple[Record, Record], age: int
) -> None:
    base, record = pair
    code, row = np.zeros(CODE_WORDS + 1, np.uint64), np.zeros(RECORD_WORDS, np.int64)
    length = write_difference(code, row_of(record), row_of(base), age)
    writer = BitWriter()
    entity_oracle.write_delta(writer, record, base, age)
    assert (number(code, length), length) == (writer.value, writer.bits)
    assert length <= LONGEST_CODE_BITS
    end = read_difference(stream_of(code, length, 7), 7, row, row_of(base), age, LAYOUT)
    assert (end, row.tolist()) == (7 + length, row_of(record).tolist())
    assert entity_oracle.read_delta(BitReader(writer.data()), base, age) == record


@settings(max_examples=200)
@given(records())
def test_a_whole_record_is_coded_as_the_oracle_codes_it_and_decodes_to_the_record(record: Record) -> None:
    code, row = np.zeros(CODE_WORDS + 1, np.uint64), np.zeros(RECORD_WORDS, np.int64)
    length = write_whole(code, row_of(record))
    writer = BitWriter()
    entity_oracle.write_whole(writer, record)
    assert (number(code, length), length) == (writer.value, writer.bits)
    assert length <= LONGEST_CODE_BITS
    end = read_whole(stream_of(code, length, 7), 7, row, LAYOUT)
    assert (end, row.tolist()) == (7 + length, row_of(record).tolist())
    assert Record.unpacked(load_record(row)) == record
    assert entity_oracle.read_whole(BitReader(writer.data())) == record


def test_the_longest_difference_is_as_long_as_is_said() -> None:
    longest = 0
    for kind in range(KINDS):
        values = [(1 << row.bits) // 2 if row.difference == "angle" else 1 for row in rows(kind)]
        code = np.zeros(CODE_WORDS + 1, np.uint64)
        far, near = Record.of(kind, 0, 0, [0] * len(values)), Record.of(kind, 1 << 16, 1 << 16, values)
        longest = max(longest, write_difference(code, row_of(near), row_of(far), 63))
    assert longest == LONGEST_CODE_BITS


def layout_with(kind: int, plain: int, angle: int) -> np.ndarray:
    said = np.frombuffer(layout(), "<u2").copy()
    said[kind] = plain | angle << PLAIN_LENGTH_BITS
    return np.frombuffer(said.tobytes(), np.uint8)


@given(pairs(), st.integers(1, 63), st.integers(0, 63))
def test_fields_that_a_newer_server_has_at_the_end_of_a_kind_are_skipped(
    pair: tuple[Record, Record], age: int, more: int
) -> None:
    base, record = pair
    plain = sum(row.bits for row in rows(base.kind) if row.difference == "plain")
    angle = sum(row.bits for row in rows(base.kind) if row.difference == "angle")
    said = layout_with(base.kind, plain + more, angle)
    row = np.zeros(RECORD_WORDS, np.int64)
    writer = BitWriter()
    entity_oracle.write_whole(writer, record)
    writer.put((1 << more) - 1, more)
    assert read_whole(padded(writer), 0, row, said) == writer.bits
    assert row.tolist() == row_of(record).tolist()
    writer = BitWriter()
    entity_oracle.write_delta(writer, record, base, age)
    changed = [
        now for now, at in zip(record.values, rows(base.kind), strict=True) if at.difference == "plain"
    ]
    before = [now for now, at in zip(base.values, rows(base.kind), strict=True) if at.difference == "plain"]
    if changed != before:
        writer.put((1 << more) - 1, more)
    assert read_difference(padded(writer), 0, row, row_of(base), age, said) == writer.bits
    assert row.tolist() == row_of(record).tolist()


@given(records())
def test_fields_that_an_older_server_does_not_have_read_as_zeros(record: Record) -> None:
    table = rows(record.kind)
    angle = sum(row.bits for row in table if row.difference == "angle")
    plain = [row for row in table if row.difference == "plain"]
    said = layout_with(record.kind, sum(row.bits for row in plain[:-1]), angle)
    older = Record.of(record.kind, record.x, record.y, (*record.values[:-1], 0))
    writer, row = BitWriter(), np.zeros(RECORD_WORDS, np.int64)
    entity_oracle.write_whole(writer, older)
    bits = writer.bits - plain[-1].bits
    assert read_whole(stream_of(padded(writer), bits, 0), 0, row, said) == bits
    assert row.tolist() == row_of(older).tolist()


@given(st.integers(KINDS, ALL_KINDS - 1), COORDINATE, COORDINATE, st.integers(0, 40), st.integers(0, 20))
def test_of_a_kind_that_only_a_newer_server_has_the_place_is_known(
    kind: int, x: int, y: int, plain: int, angle: int
) -> None:
    said, row, moved = layout_with(kind, plain, angle), *np.zeros((2, RECORD_WORDS), np.int64)
    writer = BitWriter()
    for value, bits in ((kind, 3), (x, 17), (y, 17), ((1 << angle) - 1, angle), ((1 << plain) - 1, plain)):
        writer.put(value, bits)
    assert read_whole(padded(writer), 0, row, said) == writer.bits
    assert row.tolist() == [kind | x << 3 | y << 20, *[0] * (RECORD_WORDS - 1)]
    writer = BitWriter()
    for value, bits in ((0b1111, 4), (y, 17), (x, 17)):
        writer.put(value, bits)
    if angle:
        writer.put(0b11, 2)
        writer.put((1 << angle) - 1, angle)
    writer.put(1, 1)
    writer.put((1 << plain) - 1, plain)
    assert read_difference(padded(writer), 0, moved, row, 5, said) == writer.bits
    assert moved.tolist() == [kind | y << 3 | x << 20, *[0] * (RECORD_WORDS - 1)]


def padded(writer: BitWriter) -> np.ndarray:
    data = writer.data().ljust(96, b"\0")
    return np.frombuffer(data, np.uint64).copy()


def test_the_layout_fits_what_the_handshake_has_room_for() -> None:
    assert len(layout()) == ENTITY_LAYOUT_BYTES


def test_the_width_of_a_tight_move_holds_7_m_per_s_at_every_age() -> None:
    for age in range(1, 64):
        width = tight_bits(age)
        assert width == entity_oracle.tight_bits(age)
        assert 7.0 * 64 * age / 60 <= (1 << (width - 1)) - 0.5


def test_an_unchanged_record_takes_one_bit() -> None:
    code, row = np.zeros(CODE_WORDS + 1, np.uint64), np.full(RECORD_WORDS, 12345, np.int64)
    assert write_difference(code, row, row, 9) == 1
