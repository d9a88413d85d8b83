from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.protocol import fields


@given(st.floats())
def test_no_number_whatsoever_leaves_the_fields_bits(value: float) -> None:
    assert 0 <= fields.quantise_position(value) < 1 << fields.POSITION_BITS
