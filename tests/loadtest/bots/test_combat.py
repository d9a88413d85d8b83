from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.state import EVENT_RING
from dedicated_server.protocol.reliable_kinds import (
    KILL_KILLER,
    KILL_VICTIM,
    RELIABLE_HIT,
    RELIABLE_KILL,
    RELIABLE_KIND,
)
from loadtest.bots.combat import COMBAT_COLUMNS, DEATHS, KILLS, count_combat

OWN = 3
CLIENTS = ClientSessions(2, 8)
fights = st.tuples(
    st.sampled_from([RELIABLE_KILL, RELIABLE_KILL, RELIABLE_HIT]), st.integers(-1, 5), st.integers(0, 5)
)


@settings(deadline=None)
@given(st.lists(st.lists(fights, max_size=EVENT_RING), max_size=5))
def test_own_kills_and_deaths_are_counted_once_each_however_they_come(
    frames: list[list[tuple[int, int, int]]],
) -> None:
    wire, counted, told = CLIENTS.state, np.zeros(COMBAT_COLUMNS, np.int64), 0
    wire.sessions["own_entity"][1] = OWN
    for frame in frames:
        for kind, killer, victim in frame:
            event = wire.events[1, told % EVENT_RING]
            event[RELIABLE_KIND], event[KILL_KILLER], event[KILL_VICTIM] = kind, killer, victim
            told += 1
        wire.sessions["events_count"][1] = told
        count_combat(wire, 1, counted)
        count_combat(wire, 1, counted)
    kills = [(killer, victim) for frame in frames for kind, killer, victim in frame if kind == RELIABLE_KILL]
    assert counted[KILLS] == sum(killer == OWN for killer, _ in kills)
    assert counted[DEATHS] == sum(victim == OWN for _, victim in kills)
