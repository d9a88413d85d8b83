from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.protocol.bits import append
from dedicated_server.protocol.delta import decode_delta, encode_delta, tight_bits
from tests.dedicated_server.protocol import oracle
from tests.dedicated_server.protocol.oracle import BitWriter, Record

RECORDS = st.builds(
    Record,
    st.integers(0, (1 << 17) - 1),
    st.integers(0, (1 << 17) - 1),
    st.integers(0, 1023),
    st.integers(0, 127),
    st.integers(0, 63),
)
STEP = st.one_of(st.just(0), st.integers(-16, 16), st.integers(-5000, 5000))


@st.composite
def near_pairs(draw: st.DrawFn) -> tuple[Record, Record]:
    base = draw(RECORDS)
    return base, Record(
        min(max(base.x + draw(STEP), 0), (1 << 17) - 1),
        min(max(base.y + draw(STEP), 0), (1 << 17) - 1),
        (base.yaw + draw(st.integers(-40, 40))) % 1024,
        draw(st.sampled_from([base.health, 0, 100])),
        draw(st.sampled_from([base.flags, 0, 63])),
    )


@settings(max_examples=400)
@given(st.one_of(near_pairs(), st.tuples(RECORDS, RECORDS)), st.integers(1, 63))
def test_a_difference_is_coded_as_the_oracle_codes_it_and_decodes_to_the_record(
    pair: tuple[Record, Record], age: int
) -> None:
    base, record = pair
    code, length = encode_delta(record.packed, base.packed, age)
    writer = BitWriter()
    oracle.write_delta(writer, record, base, age)
    assert (int(code), length) == (writer.value, writer.bits)
    assert length <= 64
    words = np.zeros(4, np.uint64)
    append(words, 7, np.uint64(code), length)
    assert decode_delta(words, 7, base.packed, age) == (record.packed, 7 + length)


def test_the_width_of_a_tight_move_holds_7_m_per_s_at_every_age() -> None:
    for age in range(1, 64):
        width = tight_bits(age)
        assert width == oracle.tight_bits(age)
        assert 7.0 * 64 * age / 60 <= (1 << (width - 1)) - 0.5


def test_an_unchanged_record_takes_one_bit() -> None:
    assert encode_delta((12345,), (12345,), 9)[1] == 1
