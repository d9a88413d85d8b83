from __future__ import annotations

import numpy as np

from loadtest.bots.rng import next_exponential, next_normal, next_uniform
from tests.loadtest.bots.naive_links import NaiveLinks

DRAWS = 100_000


def test_a_stream_gives_the_numbers_of_splitmix64() -> None:
    seeds = [0, 1, 2**64 - 1, 0x9E3779B97F4A7C15]
    streams, naive = np.array(seeds, np.uint64), NaiveLinks(seeds, 1, [])
    for _ in range(50):
        for stream in range(len(seeds)):
            assert next_uniform(streams, stream) == naive.uniform(stream)


def test_the_first_numbers_are_those_published_for_seed_1234567() -> None:
    # Vigna's reference implementation, the first outputs for this seed, shifted to 53 bits.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    streams = np.array([1234567], np.uint64)
    assert [next_uniform(streams, 0) for _ in published] == [(value >> 11) / 2**53 for value in published]


def test_exponential_and_normal_numbers_have_the_mean_and_deviation_they_should() -> None:
    streams = np.array([42, 43], np.uint64)
    exponential = np.array([next_exponential(streams, 0) for _ in range(DRAWS)])
    normal = np.array([next_normal(streams, 1) for _ in range(DRAWS)])
    error = 4 / np.sqrt(DRAWS)
    assert exponential.min() >= 0
    assert abs(exponential.mean() - 1) < error
    assert abs(exponential.std() - 1) < 2 * error
    assert abs(normal.mean()) < error
    assert abs(normal.std() - 1) < error
    assert abs(np.mean(np.abs(normal) < 1.96) - 0.95) < error
