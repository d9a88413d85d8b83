from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.simulation.calendar import add_entry, empty_calendar, next_entry_s, take_entry

ENTRIES = st.lists(st.tuples(st.sampled_from([0.0, 1.0, 1.5, 7.25]), st.integers(0, 9)), max_size=40)


@settings(max_examples=100, deadline=None)
@given(ENTRIES)
def test_entries_come_out_in_order_of_time_and_number(entries: list[tuple[float, int]]) -> None:
    calendar = empty_calendar(40)
    for at_s, what in entries:
        add_entry(calendar, at_s, what)
    taken = []
    while np.isfinite(next_entry_s(calendar)):
        at_s = float(next_entry_s(calendar))
        taken.append((at_s, int(take_entry(calendar))))
    assert taken == sorted(entries)
