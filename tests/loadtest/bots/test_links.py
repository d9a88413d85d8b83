from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.bots.links import (
    CONGESTED,
    DELIVERED,
    DUPLICATED,
    IN_FLIGHT,
    LOST,
    OVERFLOWED,
    SENT,
    SLOT_MASK,
    LinkQueue,
    link_pop,
    link_push,
    link_queue,
)
from tests.loadtest.bots.naive_links import NaiveLinks

Step = tuple[str, int, float]

LINES: list[dict[str, float]] = [
    {},
    {"delay_s": 0.01, "bytes_s": 4_000.0, "buffer_s": 0.03},
    {"delay_s": 0.01, "jitter_s": 0.02, "loss": 0.3, "duplicate": 0.3, "detour": 0.2, "detour_s": 0.05},
    {"delay_s": 0.002, "jitter_s": 0.001, "loss": 0.05, "loss_bad": 0.8, "to_bad": 0.2, "to_good": 0.3},
]


def _set(queue: LinkQueue, link: int, line: dict[str, float]) -> None:
    for name, value in line.items():
        queue.links[name][link] = value


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
    naive = NaiveLinks(seeds, capacity, LINES)
    for link, line in enumerate(LINES):
        _set(queue, link, line)
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
    assert counts[IN_FLIGHT] == len(naive.under_way)
    assert (counts[SENT], counts[LOST], counts[OVERFLOWED], counts[DELIVERED]) == (
        naive.sent,
        naive.lost,
        naive.overflowed,
        naive.delivered,
    )
    assert (counts[CONGESTED], counts[DUPLICATED]) == (naive.congested, naive.duplicated)


def _arrivals_s(queue: LinkQueue, datagrams: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How long each datagram that was not lost was under way, all sent at 0."""
    for number in range(datagrams):
        link_push(queue, 0, np.frombuffer(number.to_bytes(8, "big"), np.uint8), 8, 0.0)
    return np.sort(queue.heap["due_s"][: queue.counts[IN_FLIGHT]])


def test_a_link_has_the_delay_jitter_and_loss_it_was_given() -> None:
    datagrams = 200_000
    queue = link_queue(np.array([20261123], np.uint64), datagrams, 8)
    _set(queue, 0, {"delay_s": 0.0425, "jitter_s": 0.003, "loss": 0.02})
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
        for link in range(2):
            _set(queue, link, {"jitter_s": 0.01, "loss": 0.2})
    datagram = np.zeros(8, np.uint8)
    records: list[bool] = []
    for _ in range(200):
        records.append(link_push(alone, 0, datagram, 8, 0.0))
        link_push(crowded, 1, datagram, 8, 0.0)
        assert link_push(crowded, 0, datagram, 8, 0.0) == records[-1]
    under_way = crowded.heap[: crowded.counts[IN_FLIGHT]]
    of_link_0 = under_way["due_s"][crowded.slots["link"][under_way["number"] & SLOT_MASK] == 0]
    assert sorted(of_link_0) == sorted(alone.heap["due_s"][: alone.counts[IN_FLIGHT]])


def test_datagrams_that_arrive_together_keep_their_order() -> None:
    queue = link_queue(np.zeros(1, np.uint64), 64, 8)
    for number in range(64):
        link_push(queue, 0, np.full(8, number, np.uint8), 8, 5.0)
    assert [int(queue.payload[link_pop(queue, 5.0), 0]) for _ in range(64)] == list(range(64))


def test_losses_come_in_bursts_as_long_as_the_bad_state_lasts() -> None:
    datagrams = 200_000
    queue = link_queue(np.array([7], np.uint64), datagrams, 8)
    _set(queue, 0, {"loss_bad": 1.0, "to_bad": 0.01, "to_good": 0.25})
    datagram = np.zeros(8, np.uint8)
    lost = np.array([not link_push(queue, 0, datagram, 8, 0.0) for _ in range(datagrams)])
    begins = np.flatnonzero(lost & ~np.roll(lost, 1))
    bursts = len(begins)
    share = 0.01 / (0.01 + 0.25)  # of the time in the bad state
    assert abs(lost.sum() / bursts - 4.0) < 4 * np.sqrt(12 / bursts)  # geometric: mean 4, variance 12
    assert abs(lost.mean() - share) < 4 * np.sqrt(
        share * (1 - share) * 8 / datagrams
    )  # correlated: about 8 a burst


def test_a_bottleneck_lets_through_what_it_can_and_drops_the_rest() -> None:
    datagrams, gap_s = 20_000, 0.001
    queue = link_queue(np.array([7], np.uint64), datagrams, 100)
    _set(queue, 0, {"bytes_s": 64_000.0, "buffer_s": 0.05})  # half of what is sent: 128 bytes a millisecond
    for number in range(datagrams):
        link_push(queue, 0, np.zeros(100, np.uint8), 100, number * gap_s)
    due_s = np.sort(queue.heap["due_s"][: queue.counts[IN_FLIGHT]])
    assert queue.counts[LOST] == queue.counts[CONGESTED]
    assert np.allclose(np.diff(due_s)[100:], 0.002)
    assert due_s[-1] <= datagrams * gap_s + 0.05 + 0.002


def test_copies_and_detours_are_as_frequent_as_they_were_to_be() -> None:
    datagrams = 100_000
    queue = link_queue(np.array([7], np.uint64), 2 * datagrams, 8)
    _set(queue, 0, {"duplicate": 0.02, "detour": 0.05, "detour_s": 0.03})
    due_s = _arrivals_s(queue, datagrams)
    assert abs(queue.counts[DUPLICATED] / datagrams - 0.02) < 4 * np.sqrt(0.02 * 0.98 / datagrams)
    assert set(np.unique(due_s)) == {0.0, 0.03}
    assert abs((due_s > 0).mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / datagrams)
