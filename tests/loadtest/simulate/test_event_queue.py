from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.simulate.event_queue import empty_event_queue, next_event_s, pop_event, push_event

ENTRIES = st.lists(st.tuples(st.sampled_from([0.0, 1.0, 1.5, 7.25]), st.integers(0, 9)), max_size=40)


@settings(max_examples=100, deadline=None)
@given(ENTRIES)
def test_entries_come_out_in_order_of_time_and_number(entries: list[tuple[float, int]]) -> None:
    calendar = empty_event_queue(40)
    for at_s, what in entries:
        push_event(calendar, at_s, what)
    taken = []
    while np.isfinite(next_event_s(calendar)):
        at_s = float(next_event_s(calendar))
        taken.append((at_s, int(pop_event(calendar))))
    assert taken == sorted(entries)
