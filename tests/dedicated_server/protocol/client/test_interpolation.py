from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.protocol.client.interpolation import (
    MAX_EXTRAPOLATION_TICKS,
    RECORDS_KEPT,
    keep_records,
    new_interpolation,
    record_at,
)
from dedicated_server.protocol.client.state import allocate
from dedicated_server.protocol.entities import NO_RECORD
from tests.dedicated_server.protocol.entity_oracle import Record
from tests.dedicated_server.protocol.naive_client import shown_record

near = st.builds(
    Record,
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(0, 1023),
    st.integers(0, 100),
    st.integers(0, 31),
)
anywhere = st.builds(
    Record,
    st.integers(0, 131_071),
    st.integers(0, 131_071),
    st.integers(0, 1023),
    st.integers(0, 100),
    st.integers(0, 31),
)
snapshots = st.lists(
    st.tuples(st.integers(1, 9), st.sampled_from(["near", "far", "silent", "left"]), near, anywhere),
    max_size=40,
)


@given(snapshots, st.floats(-30.0, 30.0))
def test_interpolation_agrees_with_its_oracle(
    script: list[tuple[int, str, Record, Record]], back_ticks: float
) -> None:
    wire, kept = allocate(2, 3), new_interpolation(2, 3)
    samples: list[tuple[int, Record]] = []
    tick = 10
    for ticks, what, close, distant in script:
        tick += ticks
        wire.sessions[1]["snapshot_tick"] = tick
        if what == "left":
            wire.seen_tick[1, 2] = 0
            samples = []
        elif what != "silent":
            record = close if what == "near" else distant
            wire.seen[1, 2], wire.seen_tick[1, 2] = record.packed, tick
            samples.append((tick, record))
        keep_records(kept, wire, 1)
        expected = shown_record(samples, tick - back_ticks)
        shown = record_at(
            kept.tick[1, 2], kept.record[1, 2], kept.newest[1, 2], kept.held[1, 2], tick - back_ticks
        )
        assert shown == (expected.packed if expected else NO_RECORD)
    assert kept.held[0].tolist() == [0, 0, 0]
    assert kept.held[1].tolist() == [0, 0, min(len(samples), RECORDS_KEPT)]


def test_a_runner_is_shown_on_the_line_between_two_snapshots_and_beyond_the_newest() -> None:
    samples = [(10, Record(1_000, 500, 1_020, 90, 1)), (14, Record(1_040, 500, 4, 80, 3))]
    at = {tick: shown(samples, tick) for tick in (5.0, 12.0, 14.0, 16.0, 14.0 + 2 * MAX_EXTRAPOLATION_TICKS)}
    assert at[5.0] == samples[0][1]
    assert at[12.0] == Record(1_020, 500, 0, 90, 1)
    assert at[14.0] == samples[1][1]
    assert at[16.0] == Record(1_060, 500, 4, 80, 3)
    assert at[14.0 + 2 * MAX_EXTRAPOLATION_TICKS].x == 1_040 + 10 * MAX_EXTRAPOLATION_TICKS


@pytest.mark.parametrize("flags", [0, 2])
def test_the_dead_run_no_further(flags: int) -> None:
    samples = [(10, Record(1_000, 500, 0, 90, 1)), (14, Record(1_040, 500, 0, 0, flags))]
    assert shown(samples, 20.0) == samples[1][1]


def test_who_comes_back_to_life_elsewhere_does_not_glide_there() -> None:
    samples = [(10, Record(1_000, 500, 0, 0, 0)), (12, Record(9_000, 500, 0, 100, 1))]
    assert shown(samples, 11.5) == samples[0][1]
    assert shown(samples, 12.5) == samples[1][1]


def shown(samples: list[tuple[int, Record]], view_tick: float) -> Record:
    wire, kept = allocate(1, 1), new_interpolation(1, 1)
    for tick, record in samples:
        wire.sessions[0]["snapshot_tick"] = wire.seen_tick[0, 0] = tick
        wire.seen[0, 0] = record.packed
        keep_records(kept, wire, 0)
    packed = record_at(kept.tick[0, 0], kept.record[0, 0], kept.newest[0, 0], kept.held[0, 0], view_tick)
    return Record.unpacked(packed)
