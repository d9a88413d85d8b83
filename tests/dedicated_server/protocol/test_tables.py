from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.protocol import fields, layout, reliable_kinds
from dedicated_server.protocol.bits import nearest
from dedicated_server.protocol.tables import (
    Field,
    columns,
    leasts,
    length_of,
    read_fields,
    widths,
    write_fields,
)

TABLE = (Field("a", 3, ""), Field("b", 12, "", least=-1), Field("c", 63, ""), Field("d", 1, ""))
VALUES = st.tuples(st.integers(0, 7), st.integers(-1, 4094), st.integers(0, 2**63 - 1), st.integers(0, 1))
LENGTH = length_of(TABLE)


def written(values: tuple[int, ...], at: int = 5) -> tuple[np.ndarray, int]:
    words = np.zeros(6, np.uint64)
    return words, write_fields(words, at, values, widths(TABLE), leasts(TABLE))


def read(words: np.ndarray, at: int, end: int, length: int) -> tuple[int, list[int]]:
    values = np.full(len(TABLE), -7, np.int64)
    return read_fields(words, at, end, length, widths(TABLE), leasts(TABLE), values), values.tolist()


@given(VALUES, st.integers(0, 200))
def test_what_is_written_is_read_whatever_is_behind_it(values: tuple[int, ...], longer: int) -> None:
    words, end = written(values)
    assert end == 5 + LENGTH
    assert read(words, 5, end + longer, LENGTH + longer) == (end + longer, list(values))


@given(VALUES, st.integers(0, LENGTH))
def test_fields_that_the_writer_does_not_know_are_zero_bits(values: tuple[int, ...], length: int) -> None:
    words, end = written(values)
    whole = [sum(widths(TABLE)[: place + 1]) <= length for place in range(len(TABLE))]
    expected = [
        value if known else field.least for value, known, field in zip(values, whole, TABLE, strict=True)
    ]
    assert read(words, 5, end, length) == (5 + length, expected)


@given(VALUES, st.integers(1, 300))
def test_a_stream_that_ends_early_is_not_read(values: tuple[int, ...], short: int) -> None:
    words, end = written(values)
    position, untouched = read(words, 5, end - short, LENGTH)
    assert position > end - short
    assert untouched == [-7] * len(TABLE)


def test_values_beyond_a_field_are_held_at_its_ends_and_missing_ones_are_zero_bits() -> None:
    words, end = written((99, -5))
    assert read(words, 5, end, LENGTH)[1] == [7, -1, 0, 0]
    words, end = written((-3, 9_999, -1, 2))
    assert read(words, 5, end, LENGTH)[1] == [0, 4_094, 0, 1]


@given(st.integers(0, 2**40), st.integers(-(2**15), 2**15 - 1))
def test_the_nearest_number_is_found_by_its_low_bits(known: int, apart: int) -> None:
    assert nearest(known, (known + apart) & 0xFFFF, 16) == known + apart


def test_fields_are_found_by_name() -> None:
    assert columns(TABLE, "d b") == (3, 1)
    with pytest.raises(KeyError):
        columns(TABLE, "e")


def test_every_table_can_be_said_and_read() -> None:
    tables = {**layout.CLIENT_TABLES, **layout.SERVER_TABLES}
    for table in (*tables.values(), *(kind.table for kind in reliable_kinds.RELIABLE_KINDS)):
        assert len({field.name for field in table}) == len(table)
        assert all(1 <= field.bits <= 63 for field in table)
    assert length_of(fields.INPUT_FIELDS) <= 63  # an input is handled as one number
    assert layout.CLIENT_LENGTHS[:2] == bytes([96, 52])
    longest = max(length_of(kind.table) for kind in reliable_kinds.RELIABLE_KINDS)
    assert longest + 8 * reliable_kinds.MAX_NAME_BYTES < 1 << reliable_kinds.RELIABLE_LENGTH_BITS
    with pytest.raises(ValueError, match="do not fit"):
        layout.lengths({"long": (Field("a", 63, ""),) * 5}, 8)
