from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.protocol import fields, inputs
from dedicated_server.protocol.tables import write_fields
from tests.dedicated_server.protocol import oracle
from tests.dedicated_server.protocol.oracle import Input

INPUTS = st.lists(
    st.builds(
        Input,
        st.integers(-127, 127),
        st.integers(-127, 127),
        st.integers(0, 65535),
        st.integers(0, 255),
        st.integers(700, 1000),
    )
    | st.just(Input(1, 2, 3, 4, 900)),
    max_size=16,
)
ACK = 1000


def words_of(plain: bytes) -> np.ndarray:
    return np.frombuffer(plain + bytes(-len(plain) % 8 + 16), np.uint64).copy()


def in_view(lag: int) -> int:
    return ACK - min(max(lag, 0), 255)


@given(INPUTS)
def test_inputs_arrive_as_they_were_sent_by_either_writer(sent: list[Input]) -> None:
    newest = 5000
    ring = np.zeros((32, 6), np.int32)
    for back, one in enumerate(sent):
        ring[(newest - back) % 32] = (
            newest - back,
            one.move_x,
            one.move_y,
            one.yaw,
            one.buttons,
            one.view_tick,
        )
    words = np.zeros(160, np.uint64)
    values = (fields.MESSAGE_INPUTS, ACK, 0xFFFF0000, 77, newest, len(sent))
    position = write_fields(words, 0, values, inputs.HEAD_WIDTHS, inputs.HEAD_LEASTS)
    position = inputs.write_inputs(words, position, ring, newest, len(sent), ACK)
    plain = words.tobytes()[: (position + 7) // 8]
    assert plain == oracle.write_message(ACK, 0xFFFF0000, 77, newest, sent)

    expected = [Input(i.move_x, i.move_y, i.yaw, i.buttons, in_view(ACK - i.view_tick)) for i in sent]
    assert oracle.read_message(plain) == (ACK, 0xFFFF0000, 77, newest, expected)
    taken, head = np.zeros((32, 6), np.int32), np.zeros(6, np.int64)
    at = inputs.read_head(words_of(plain), len(plain) * 8, inputs.HEAD_BITS, head)
    assert head.tolist() == [0, ACK, 0xFFFF0000, 77, newest, len(sent)]
    assert inputs.inputs_end(words_of(plain), at, len(plain) * 8, len(sent), inputs.INPUT_BITS) == position
    inputs.read_inputs(words_of(plain), at, taken, head, inputs.INPUT_BITS)
    for back, one in enumerate(expected):
        tick = newest - back
        assert tuple(taken[tick % 32].tolist()) == (
            tick, one.move_x, one.move_y, one.yaw, one.buttons, one.view_tick,
        )  # fmt: skip


@given(st.binary(min_size=1, max_size=120))
def test_random_bytes_are_refused_or_within_bounds(plain: bytes) -> None:
    head = np.zeros(6, np.int64)
    words = words_of(plain)
    position = inputs.read_head(words, len(plain) * 8, inputs.HEAD_BITS, head)
    if position > 0 and head[0] == fields.MESSAGE_INPUTS:
        assert head[5] <= 16
        end = inputs.inputs_end(words, position, len(plain) * 8, head[5], inputs.INPUT_BITS)
        assert end == -1 or len(plain) * 8 - end < 8


@given(INPUTS.filter(bool), st.integers(1, 5))
def test_a_message_cut_short_or_padded_is_malformed(sent: list[Input], change: int) -> None:
    plain = oracle.write_message(ACK, 0, 0, 5000, sent)
    head = np.zeros(6, np.int64)
    for wrong in (plain[:-change], plain + bytes(change)):
        position = inputs.read_head(words_of(wrong), len(wrong) * 8, inputs.HEAD_BITS, head)
        if position != -1:
            end = inputs.inputs_end(words_of(wrong), position, len(wrong) * 8, head[5], inputs.INPUT_BITS)
            assert end == -1


def test_the_first_input_of_a_tick_stands() -> None:
    ring, head = np.zeros((32, 6), np.int32), np.zeros(6, np.int64)
    for buttons in (1, 2):
        plain = oracle.write_message(ACK, 0, 0, 40, [Input(0, 0, 0, buttons, ACK)])
        position = inputs.read_head(words_of(plain), len(plain) * 8, inputs.HEAD_BITS, head)
        inputs.read_inputs(words_of(plain), position, ring, head, inputs.INPUT_BITS)
    assert ring[40 % 32].tolist() == [40, 0, 0, 0, 1, ACK]


@pytest.mark.parametrize(("tick", "count"), [(3, 4), (100, 17)])
def test_more_inputs_than_ticks_or_than_the_limit_are_malformed(tick: int, count: int) -> None:
    plain = oracle.write_message(ACK, 0, 0, tick, [Input(0, 0, 0, 0, ACK)] * count)
    head = np.zeros(6, np.int64)
    position = inputs.read_head(words_of(plain), len(plain) * 8, inputs.HEAD_BITS, head)
    assert position == -1 or not inputs.widen_ticks(head, ACK, 99)
