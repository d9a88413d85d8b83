from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.events import Envelope
from rewards.events.priority_queue import PRIORITY, EventPriorityQueue


def event(kind: str) -> Envelope:
    envelope = Envelope(producer="server-1")
    getattr(envelope, kind).SetInParent()
    return envelope


@given(st.lists(st.sampled_from(PRIORITY), max_size=60), st.integers(1, 10))
def test_a_full_backlog_keeps_the_most_important_and_counts_the_rest(kinds: list[str], capacity: int) -> None:
    backlog = EventPriorityQueue(capacity)
    for kind in kinds:
        backlog.put(event(kind))

    expected = sorted(kinds, key=PRIORITY.index)
    assert [envelope.WhichOneof("event") for envelope in backlog.take(99)] == expected[:capacity]
    assert backlog.dropped == Counter(expected[capacity:])
    assert len(backlog) == 0


def test_events_of_one_kind_leave_in_the_order_they_came() -> None:
    backlog = EventPriorityQueue(10)
    for tick in range(5):
        envelope = event("kill")
        envelope.tick = tick
        backlog.put(envelope)

    assert [envelope.tick for envelope in backlog.take(2) + backlog.take(9)] == [0, 1, 2, 3, 4]


def test_put_says_whether_the_event_was_kept() -> None:
    backlog = EventPriorityQueue(1)
    assert backlog.put(event("death"))
    assert not backlog.put(event("player_connected"))
    assert backlog.put(event("match_ended"))


def test_an_envelope_without_an_event_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="no event"):
        EventPriorityQueue(1).put(Envelope())
