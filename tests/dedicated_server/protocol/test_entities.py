from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.cards.kinds import KIND_NAMES
from dedicated_server.protocol import entities
from dedicated_server.protocol.entity_table import (
    ANGLE,
    ENTITY_KINDS,
    PLAIN,
    POSITION,
    RECORD_WORDS,
    EntityField,
    lay_out,
    place_of,
)
from dedicated_server.protocol.fields import WORLD_HALF_M
from tests.dedicated_server.protocol.entity_oracle import Record, rows

METRES = st.floats(-1024.0, 1023.98)


@given(METRES, METRES, st.floats(-50.0, 50.0), st.integers(0, 100), st.integers(0, 31))
def test_a_packed_player_is_within_half_a_unit_of_the_truth(
    x: float, y: float, yaw: float, health: int, flags: int
) -> None:
    packed = entities.pack_player(x, y, yaw, health, flags)
    assert abs(entities.entity_x(packed) - x) <= 0.5 / 64
    assert abs(entities.entity_y(packed) - y) <= 0.5 / 64
    turned = (entities.entity_yaw(packed) - yaw + math.pi) % (2 * math.pi) - math.pi
    assert abs(turned) <= 0.5 * 2 * math.pi / 1024 + 1e-9
    assert (entities.entity_health(packed), entities.entity_flags(packed)) == (health, flags)
    record = Record.unpacked(packed)
    assert (record.health, record.flags, record.kind) == (health, flags, 0)
    assert record.x == math.floor((x + 1024) * 64 + 0.5)
    assert record.packed == packed[: len(record.packed)]


@given(st.floats(-1e15, 1e15))
def test_no_angle_leaves_the_fields_bits(radians: float) -> None:
    assert 0 <= entities.quantise_yaw(radians) <= entities.YAW.mask


PACKED: dict[str, tuple[Any, ...]] = {
    "flag": (entities.pack_flag, (1, 7, 2), {"team": 1, "carrier": 8, "state": 2}),
    "item": (entities.pack_item, (5, -1), {"what": 5, "taken": 0}),
    "projectile": (entities.pack_projectile, (math.pi / 2, 0, 3), {"yaw": 256, "owner": 1, "weapon": 3}),
    "obstacle": (
        entities.pack_obstacle,
        (2.5, 100.0, True),
        {"half_east": 20, "half_north": 800, "standing": 1},
    ),
}


@pytest.mark.parametrize("name", list(PACKED))
def test_an_object_has_its_kinds_fields_and_no_others(name: str) -> None:
    pack, arguments, expected = PACKED[name]
    record = pack(10.0, -20.0, *arguments)
    kind = KIND_NAMES.index(name)
    assert entities.entity_kind(record) == kind
    assert (entities.entity_x(record), entities.entity_y(record)) == (10.0, -20.0)
    names = {field.name for table in ENTITY_KINDS.values() for field in table}
    for field in names:
        assert entities.field_of(record, place_of(field)) == expected.get(field, 0)
    assert Record.unpacked(record).values == tuple(expected[row.name] for row in rows(kind))
    assert entities.record_of(kind, expected | {"x": 66_176, "y": 64_256}) == record


def test_what_is_out_of_range_is_held_at_the_fields_edge() -> None:
    record = entities.pack_obstacle(5_000.0, math.nan, 1e6, -3.0, False)
    assert entities.entity_x(record) == pytest.approx(WORLD_HALF_M, abs=0.02)
    assert entities.entity_y(record) == -WORLD_HALF_M
    assert entities.field_of(record, entities.HALF_EAST) == 1_023
    assert entities.field_of(record, entities.HALF_NORTH) == 0


def test_a_record_is_a_row_of_an_array_and_a_field_of_many_is_read_at_once() -> None:
    records = np.zeros((2, 3, RECORD_WORDS), np.int64)
    first = entities.pack_player(1.0, -2.0, math.pi, 50, 3)
    entities.store_record(records[1, 2], first)
    entities.store_record(records[1, 1], entities.pack_flag(3.0, 4.0, 1, 5, 1))
    assert entities.load_record(records[1, 2]) == first
    assert entities.load_record(records[0, 2]) == entities.NO_RECORD
    assert entities.x_array(records)[1].tolist() == [-1024.0, 3.0, 1.0]
    assert entities.y_array(records)[1].tolist() == [-1024.0, 4.0, -2.0]
    assert entities.field_array(records, "health").tolist() == [[0, 0, 0], [0, 0, 50]]
    assert entities.field_array(records, "carrier").tolist() == [[0, 0, 0], [0, 6, 0]]
    assert entities.value_array(records, "yaw")[1].tolist() == [0.0, 0.0, pytest.approx(math.pi)]


def test_a_record_can_be_put_elsewhere_and_only_fields_that_it_has_can_be_set() -> None:
    record = entities.at_place(entities.pack_player(1.0, -2.0, 0.5, 50, 3), 700, 800)
    assert (entities.x_units(record), entities.y_units(record)) == (700, 800)
    assert (entities.entity_health(record), entities.entity_flags(record)) == (50, 3)
    assert entities.entity_yaw(entities.with_field(record, entities.YAW, 512)) == pytest.approx(math.pi)
    assert entities.with_field(record, entities.TEAM, 3) == record


YAW = EntityField("yaw", 10, ANGLE, "")


def test_a_row_more_goes_on_where_the_last_ended_and_into_a_new_word_where_it_does_not_fit() -> None:
    layout = lay_out(
        (*ENTITY_KINDS["player"], EntityField("stance", 2, PLAIN, ""), EntityField("skin", 40, PLAIN, ""))
    )
    assert (layout.word[-2:], layout.at[-2:]) == ((0, 1), (59, 0))
    assert layout.at[3:] == (37, 47, 54, 59, 0)


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ((EntityField("state", 2, PLAIN, ""), YAW), "the first may be an angle"),
        ((YAW, EntityField("z", 17, POSITION, "")), "are plain"),
        ((EntityField("name", 64, PLAIN, ""),), "name has 64 bits"),
        ((EntityField("nothing", 0, PLAIN, ""),), "nothing has 0 bits"),
        ((EntityField("yaw", 30, ANGLE, ""),), "an angle lies in the first word"),
        (tuple(EntityField(f"more_{n}", 60, PLAIN, "") for n in range(3)), "more than 3 words"),
    ],
)
def test_a_row_that_the_wire_cannot_express_is_refused(table: tuple[EntityField, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        lay_out(table)


def test_a_field_that_no_kind_has_is_not_found() -> None:
    with pytest.raises(ValueError, match="altitude lies in 0 places"):
        place_of("altitude")
