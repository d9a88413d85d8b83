from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.links import (
    DELIVERED,
    LOST,
    OVERFLOWED,
    SENT,
    UNDER_WAY,
    LinkQueue,
    link_pop,
    link_push,
    link_queue,
)
from tests.loadtest.naive_links import NaiveLinks

Step = tuple[str, int, float]

steps = st.lists(
    st.tuples(
        st.sampled_from(["push", "push", "pop"]),
        st.integers(0, 3),
        st.sampled_from([0.0, 0.0, 0.001, 0.004, 0.05]),
    ),
    max_size=120,
)


@settings(deadline=None, max_examples=150)
@given(
    steps=steps,
    seeds=st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=4),
    capacity=st.integers(1, 20),
)
def test_the_queue_does_what_a_sorted_list_does(steps: list[Step], seeds: list[int], capacity: int) -> None:
    queue = link_queue(np.array(seeds, np.uint64), capacity, 16)
    naive = NaiveLinks(seeds, capacity)
    for link, (delay_s, jitter_s, loss) in enumerate(
        [(0.0, 0, 0), (0.01, 0, 0), (0.01, 0.02, 0.3), (0.002, 0.001, 0.1)]
    ):
        queue.links["delay_s"][link] = naive.delay_s[link] = delay_s
        queue.links["jitter_s"][link] = naive.jitter_s[link] = jitter_s
        queue.links["loss"][link] = naive.loss[link] = loss
    now_s = 100.0
    for number, (kind, link, passes_s) in enumerate(steps):
        now_s += passes_s
        if kind == "push":
            datagram = number.to_bytes(4, "big") * (1 + number % 4)
            pushed = link_push(queue, link, np.frombuffer(datagram, np.uint8), len(datagram), now_s)
            assert pushed == naive.push(link, datagram, now_s)
        else:
            slot = link_pop(queue, now_s)
            expected = naive.pop(now_s)
            if expected is None:
                assert slot == -1
            else:
                assert (
                    queue.slots[slot]["link"],
                    bytes(queue.payload[slot, : queue.slots[slot]["length"]]),
                ) == expected
    counts = queue.counts
    assert counts[UNDER_WAY] == len(naive.under_way)
    assert (counts[SENT], counts[LOST], counts[OVERFLOWED], counts[DELIVERED]) == (
        naive.sent,
        naive.lost,
        naive.overflowed,
        naive.delivered,
    )


def _arrivals_s(queue: LinkQueue, datagrams: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How long each datagram that was not lost was under way, all sent at 0."""
    for number in range(datagrams):
        link_push(queue, 0, np.frombuffer(number.to_bytes(8, "big"), np.uint8), 8, 0.0)
    return np.sort(queue.heap["due_s"][: queue.counts[UNDER_WAY]])


def test_a_link_has_the_delay_jitter_and_loss_it_was_given() -> None:
    datagrams = 200_000
    queue = link_queue(np.array([20261123], np.uint64), datagrams, 8)
    queue.links[0] = (0.0425, 0.003, 0.02)
    under_way_s = _arrivals_s(queue, datagrams)
    # Tolerances: four standard errors of each statistic at this sample size.
    assert abs(queue.counts[LOST] / datagrams - 0.02) < 4 * np.sqrt(0.02 * 0.98 / datagrams)
    assert under_way_s[0] >= 0.0425
    assert abs(under_way_s.mean() - 0.0455) < 4 * 0.003 / np.sqrt(datagrams)
    assert abs(under_way_s.std() - 0.003) < 4 * 0.003 * np.sqrt(2 / datagrams)
    assert abs(np.median(under_way_s) - (0.0425 + 0.003 * np.log(2))) < 4 * 0.003 / np.sqrt(datagrams)


def test_the_same_seed_gives_each_link_the_same_fate_whatever_the_others_send() -> None:
    alone = link_queue(np.array([1, 2], np.uint64), 500, 8)
    crowded = link_queue(np.array([1, 2], np.uint64), 500, 8)
    for queue in (alone, crowded):
        queue.links[:] = (0.0, 0.01, 0.2)
    datagram = np.zeros(8, np.uint8)
    fates: list[bool] = []
    for _ in range(200):
        fates.append(link_push(alone, 0, datagram, 8, 0.0))
        link_push(crowded, 1, datagram, 8, 0.0)
        assert link_push(crowded, 0, datagram, 8, 0.0) == fates[-1]
    under_way = crowded.heap[: crowded.counts[UNDER_WAY]]
    of_link_0 = under_way["due_s"][crowded.slots["link"][under_way["slot"]] == 0]
    assert sorted(of_link_0) == sorted(alone.heap["due_s"][: alone.counts[UNDER_WAY]])


def test_datagrams_that_arrive_together_keep_their_order() -> None:
    queue = link_queue(np.zeros(1, np.uint64), 64, 8)
    for number in range(64):
        link_push(queue, 0, np.full(8, number, np.uint8), 8, 5.0)
    assert [int(queue.payload[link_pop(queue, 5.0), 0]) for _ in range(64)] == list(range(64))
