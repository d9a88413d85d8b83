"""Each profile that is shipped does to datagrams what it says."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from loadtest.bots.links import (
    CONGESTED,
    DUPLICATED,
    IN_FLIGHT,
    LOST,
    SLOT_BITS,
    LinkQueue,
    link_push,
    link_queue,
)
from loadtest.scenario.link_profiles import FILE, LinkProfile, profiles

DATAGRAMS = 400_000
GAP_S = 1 / 60
BYTES = 120


@njit
def _send(queue: LinkQueue, lost: np.ndarray) -> None:
    datagram = np.zeros(BYTES, np.uint8)
    for number in range(len(lost)):
        lost[number] = not link_push(queue, 0, datagram, BYTES, number * GAP_S)


def _through(profile: LinkProfile, seed: int) -> tuple[LinkQueue, np.ndarray]:
    queue = link_queue(np.array([seed], np.uint64), 2 * DATAGRAMS, BYTES)
    for name, value in profile.direction(100.0, profile.up_kbit_s).items():
        queue.links[name][0] = value
    lost = np.zeros(DATAGRAMS, np.bool_)
    _send(queue, lost)
    return queue, lost


@pytest.mark.parametrize("name", sorted(profiles()))
def test_a_profile_has_the_statistics_it_names(name: str) -> None:
    profile = profiles()[name]
    queue, lost = _through(profile, seed=20261124)
    assert queue.counts[CONGESTED] == 0  # a player's 60 datagrams a second pass every bottleneck
    share = 1 - (1 - profile.burst.share) * (1 - profile.loss)
    # Bursts make neighbours alike: the variance of the mean is that of independent losses times about 2 ·
    # length.
    spread = np.sqrt(share * (1 - share) * 2 * profile.burst.length / DATAGRAMS)
    assert abs(lost.mean() - share) < 4 * spread
    assert queue.counts[LOST] == lost.sum()
    came = DATAGRAMS - lost.sum()
    copies = queue.counts[DUPLICATED] / came
    assert abs(copies - profile.duplicate) <= 4 * np.sqrt(profile.duplicate / came)
    sent_s = np.flatnonzero(~lost) * GAP_S
    rows = queue.heap[: queue.counts[IN_FLIGHT]]
    first = np.unique(rows["number"] >> SLOT_BITS, return_index=True)[1]
    extra_s = rows["due_s"][first] - sent_s - 0.05
    expected_s = (
        profile.jitter_ms / 1e3
        + profile.detour.share * profile.detour.ms / 1e3
        + (BYTES + 28) / (profile.up_kbit_s * 125)
    )
    assert extra_s.min() >= 0
    deviation_s = np.hypot(profile.jitter_ms, np.sqrt(profile.detour.share) * profile.detour.ms) / 1e3
    assert abs(extra_s.mean() - expected_s) < 4 * deviation_s / np.sqrt(came) + 1e-9
    assert np.quantile(extra_s, 0.9995) * 1e3 < profile.max_extra_ms


def test_bursts_are_longer_than_chance_where_a_profile_says_so() -> None:
    _, lost = _through(profiles()["train"], seed=1)
    begins = np.flatnonzero(lost & ~np.roll(lost, 1))
    mean_length = lost.sum() / len(begins)
    share, length, single = 0.05, 30.0, 0.01
    bursts = share / length
    expected = (share + single) / (bursts + single)  # single losses are runs of one, but for those in a burst
    assert abs(mean_length - expected) < 0.1 * expected


def test_the_file_names_the_lines_that_scenarios_speak_of() -> None:
    assert set(profiles()) == {"fibre", "cable", "wifi", "4g", "satellite", "train"}
    assert FILE.is_file()
