"""A client counts its ticks as fast as the server says, for as long as it says so; and no press is lost."""

from __future__ import annotations

import pytest

from dedicated_server.protocol.fields import BUTTON_FIRE, PACE_FASTER, PACE_SLOWER, PACE_STEADY, TICK_HZ
from dedicated_server.protocol.inputs import INPUT_BUTTONS, INPUT_RING
from dedicated_server.protocol.server.state import PACE
from tests.dedicated_server.protocol.rig import Table


def connected(pace: int) -> Table:
    table = Table(1)
    table.connect()
    table.wire.state.per_slot[PACE, 0] = pace
    table.step()
    return table


@pytest.mark.parametrize(("pace", "counted"), [(PACE_STEADY, 500), (PACE_FASTER, 510), (PACE_SLOWER, 490)])
def test_a_client_counts_at_the_servers_pace(pace: int, counted: int) -> None:
    table = connected(pace)
    begun = int(table.clients.sessions["input_tick"][0])
    for _ in range(500):
        table.step()
    assert int(table.clients.sessions["input_tick"][0]) - begun == pytest.approx(counted, abs=1)
    assert table.wire.input_newest[0] == table.clients.sessions["input_tick"][0]


def test_a_pace_is_forgotten_where_no_snapshot_repeats_it() -> None:
    table = connected(PACE_FASTER)
    begun = int(table.clients.sessions["input_tick"][0])
    for _ in range(4 * TICK_HZ):
        table.now_s += 1 / TICK_HZ
        table.transmit(0)
    assert int(table.clients.sessions["input_tick"][0]) - begun <= 4 * TICK_HZ + 1


def test_what_is_pressed_in_a_frame_without_an_input_is_in_the_next() -> None:
    table = connected(PACE_SLOWER)
    session = table.clients.sessions[0]
    fired: list[int] = []
    for frame in range(400):  # the trigger is pulled in every other frame
        before = int(session["input_tick"])
        table.say(0, table.transmit(0, buttons=BUTTON_FIRE * (frame % 2)))
        new = range(before + 1, int(session["input_tick"]) + 1)
        fired += [int(session["inputs"][tick % INPUT_RING, INPUT_BUTTONS]) for tick in new]
        for _, datagram in table.serve():
            table.receive(0, datagram)
    assert 390 <= len(fired) <= 393
    assert 199 <= sum(fired) <= 200  # that of the last frame may be in the next
