from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.protocol import fields
from tests.dedicated_server.protocol.oracle import Record

METRES = st.floats(-1024.0, 1023.98)


@given(METRES, METRES, st.floats(-50.0, 50.0), st.integers(0, 100), st.integers(0, 63))
def test_a_packed_entity_is_within_half_a_unit_of_the_truth(
    x: float, y: float, yaw: float, health: int, flags: int
) -> None:
    packed = fields.pack_entity(x, y, yaw, health, flags)
    assert packed < 1 << fields.RECORD_BITS
    assert abs(fields.entity_x(packed) - x) <= 0.5 / 64
    assert abs(fields.entity_y(packed) - y) <= 0.5 / 64
    turned = (fields.entity_yaw(packed) - yaw + math.pi) % (2 * math.pi) - math.pi
    assert abs(turned) <= 0.5 * 2 * math.pi / 1024 + 1e-9
    assert (fields.entity_health(packed), fields.entity_flags(packed)) == (health, flags)
    record = Record.unpacked(packed)
    assert (record.packed, record.health, record.flags) == (packed, health, flags)
    assert record.x == math.floor((x + 1024) * 64 + 0.5)


@given(st.floats())
def test_no_number_whatsoever_leaves_the_fields_bits(value: float) -> None:
    assert 0 <= fields.quantise_position(value) < 1 << fields.POSITION_BITS
    if math.isfinite(value) and abs(value) < 1e15:
        assert 0 <= fields.quantise_yaw(value) < 1 << fields.YAW_BITS


def test_unpacking_takes_arrays_as_well() -> None:
    packed = np.array([fields.pack_entity(1.0, -2.0, 0.0, 50, 3), fields.pack_entity(5.0, 7.5, 1.0, 100, 1)])
    assert fields.entity_x(packed).tolist() == [1.0, 5.0]
    assert fields.entity_y(packed).tolist() == [-2.0, 7.5]
    assert fields.entity_health(packed).tolist() == [50, 100]
