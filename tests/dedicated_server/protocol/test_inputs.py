from __future__ import annotations

from dataclasses import astuple, replace

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
        st.integers(0, 15),
    )
    | st.builds(
        Input, st.just(1), st.just(2), st.just(3), st.just(4), st.integers(899, 901), st.integers(0, 15)
    )
    | st.just(Input(1, 2, 3, 5, 900)),
    max_size=16,
)
ACK = 1000
COLUMNS = inputs.INPUT_COLUMNS


def words_of(plain: bytes) -> np.ndarray:
    return np.frombuffer(plain + bytes(-len(plain) % 8 + 16), np.uint64).copy()


def said(sent: Input) -> Input:
    """An input as the wire has it, of a view within its bounds."""
    fraction = 15 if sent.view_tick > ACK else sent.view_fraction
    return replace(sent, view_tick=min(max(sent.view_tick, ACK - 255), ACK), view_fraction=fraction)


def view_of(one: Input) -> float:
    return one.view_tick + one.view_fraction / 16


def ring_of(newest: int, sent: list[Input]) -> np.ndarray:
    ring = np.zeros((32, COLUMNS), np.int32)
    for back, one in enumerate(sent):
        ring[(newest - back) % 32] = (newest - back, *astuple(one), 0)
    return ring


def written(newest: int, sent: list[Input]) -> tuple[bytes, int]:
    """A message by the kernels, and its bits."""
    words = np.zeros(160, np.uint64)
    values = (fields.MESSAGE_INPUTS, ACK, 0xFFFF0000, 77, newest, len(sent), 0)
    position = write_fields(words, 0, values, inputs.HEAD_WIDTHS, inputs.HEAD_LEASTS)
    position = inputs.write_inputs(words, position, ring_of(newest, sent), newest, len(sent), ACK)
    return words.tobytes()[: (position + 7) // 8], position


@given(INPUTS)
def test_inputs_arrive_as_they_were_sent_by_either_writer(sent: list[Input]) -> None:
    newest = 5000
    plain, position = written(newest, sent)
    assert plain == oracle.write_message(ACK, 0xFFFF0000, 77, newest, sent)

    *head_values, received = oracle.read_message(plain)
    assert head_values == [ACK, 0xFFFF0000, 77, newest]
    for got, one in zip(received, map(said, sent), strict=True):
        assert replace(got, view_tick=0, view_fraction=0) == replace(one, view_tick=0, view_fraction=0)
        assert abs(view_of(got) - view_of(one)) <= (0 if one.buttons & fields.BUTTON_FIRE else 0.5)
    taken, head = np.zeros((32, COLUMNS), np.int32), np.zeros(len(inputs.HEAD_WIDTHS), np.int64)
    at = inputs.read_head(words_of(plain), len(plain) * 8, inputs.HEAD_BITS, head)
    assert head.tolist() == [0, ACK, 0xFFFF0000, 77, newest, len(sent), 0]
    assert inputs.inputs_end(words_of(plain), at, len(plain) * 8, len(sent), inputs.INPUT_BITS) == position
    inputs.read_inputs(words_of(plain), at, taken, head, inputs.INPUT_BITS, 950)
    for back, one in enumerate(received):
        tick = newest - back
        assert tuple(taken[tick % 32].tolist()) == (tick, *astuple(one), 950 - min(back, 4))


@given(st.lists(st.floats(-0.45, 0.45), min_size=16, max_size=16))
def test_uneven_frames_cost_no_whole_inputs(uneven: list[float]) -> None:
    sixteenths = [round((ACK - 5 - back + off / 2) * 16) for back, off in enumerate(uneven)]
    runs = [Input(127, 0, 0, 0, *divmod(view, 16)) for view in sixteenths]
    bits = inputs.HEAD_BITS + inputs.INPUT_BITS + 15
    assert written(5000, runs)[1] == bits
    fires = [replace(one, buttons=fields.BUTTON_FIRE) for one in runs]
    assert written(5000, fires)[1] >= bits


@given(st.binary(min_size=1, max_size=120))
def test_random_bytes_are_refused_or_within_bounds(plain: bytes) -> None:
    head = np.zeros(len(inputs.HEAD_WIDTHS), np.int64)
    words = words_of(plain)
    position = inputs.read_head(words, len(plain) * 8, inputs.HEAD_BITS, head)
    if position > 0 and head[0] == fields.MESSAGE_INPUTS:
        assert head[5] <= 16
        end = inputs.inputs_end(words, position, len(plain) * 8, head[5], inputs.INPUT_BITS)
        assert end <= len(plain) * 8
        assert not inputs.is_padding(words, end, len(plain) * 8) or len(plain) * 8 - end < 8


@given(INPUTS.filter(bool), st.integers(1, 5))
def test_a_message_cut_short_or_padded_is_malformed(sent: list[Input], change: int) -> None:
    plain = oracle.write_message(ACK, 0, 0, 5000, sent)
    head = np.zeros(len(inputs.HEAD_WIDTHS), np.int64)
    for wrong in (plain[:-change], plain + bytes(change)):
        position = inputs.read_head(words_of(wrong), len(wrong) * 8, inputs.HEAD_BITS, head)
        if position != -1:
            end = inputs.inputs_end(words_of(wrong), position, len(wrong) * 8, head[5], inputs.INPUT_BITS)
            assert not inputs.is_padding(words_of(wrong), end, len(wrong) * 8)


def test_the_first_input_of_a_tick_stands() -> None:
    ring, head = np.zeros((32, COLUMNS), np.int32), np.zeros(len(inputs.HEAD_WIDTHS), np.int64)
    for buttons in (1, 2):
        plain = oracle.write_message(ACK, 0, 0, 40, [Input(0, 0, 0, buttons, ACK)])
        position = inputs.read_head(words_of(plain), len(plain) * 8, inputs.HEAD_BITS, head)
        inputs.read_inputs(words_of(plain), position, ring, head, inputs.INPUT_BITS, ACK)
    assert ring[40 % 32].tolist() == [40, 0, 0, 0, 1, ACK, 0, ACK]


@pytest.mark.parametrize(("tick", "count"), [(3, 4), (100, 17)])
def test_more_inputs_than_ticks_or_than_the_limit_are_malformed(tick: int, count: int) -> None:
    plain = oracle.write_message(ACK, 0, 0, tick, [Input(0, 0, 0, 0, ACK)] * count)
    head = np.zeros(len(inputs.HEAD_WIDTHS), np.int64)
    position = inputs.read_head(words_of(plain), len(plain) * 8, inputs.HEAD_BITS, head)
    assert position == -1 or not inputs.widen_ticks(head, ACK, 99)
