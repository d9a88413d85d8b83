from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.protocol import entities
from tests.dedicated_server.protocol.oracle import Record

METRES = st.floats(-1024.0, 1023.98)


@given(METRES, METRES, st.floats(-50.0, 50.0), st.integers(0, 100), st.integers(0, 63))
def test_a_packed_player_is_within_half_a_unit_of_the_truth(
    x: float, y: float, yaw: float, health: int, flags: int
) -> None:
    packed = entities.pack_player(x, y, yaw, health, flags)
    assert packed[0] < 1 << entities.RECORD_BITS
    assert abs(entities.entity_x(packed) - x) <= 0.5 / 64
    assert abs(entities.entity_y(packed) - y) <= 0.5 / 64
    turned = (entities.entity_yaw(packed) - yaw + math.pi) % (2 * math.pi) - math.pi
    assert abs(turned) <= 0.5 * 2 * math.pi / 1024 + 1e-9
    assert (entities.entity_health(packed), entities.entity_flags(packed)) == (health, flags)
    record = Record.unpacked(packed)
    assert (record.packed, record.health, record.flags) == (packed, health, flags)
    assert record.x == math.floor((x + 1024) * 64 + 0.5)


@given(st.floats(-1e15, 1e15))
def test_no_angle_leaves_the_fields_bits(radians: float) -> None:
    assert 0 <= entities.quantise_yaw(radians) < 1 << entities.YAW_BITS


def test_a_record_is_a_row_of_an_array_and_columns_of_many_are_read_at_once() -> None:
    records = np.zeros((2, 3, entities.RECORD_WORDS), np.int64)
    first = entities.pack_player(1.0, -2.0, 0.0, 50, 3)
    entities.store_record(records[1, 2], first)
    assert entities.load_record(records[1, 2]) == first
    assert entities.load_record(records[0, 2]) == entities.NO_RECORD
    assert entities.x_array(records)[1].tolist() == [-1024.0, -1024.0, 1.0]
    assert entities.y_array(records)[1].tolist() == [-1024.0, -1024.0, -2.0]
    assert entities.field_array(records, "health").tolist() == [[0, 0, 0], [0, 0, 50]]


def test_a_record_can_be_put_elsewhere() -> None:
    record = entities.at_place(entities.pack_player(1.0, -2.0, 0.5, 50, 3), 700, 800, 900)
    assert (entities.x_units(record), entities.y_units(record), entities.yaw_units(record)) == (700, 800, 900)
    assert (entities.entity_health(record), entities.entity_flags(record)) == (50, 3)
