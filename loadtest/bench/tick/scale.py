"""``scale``: the time of a tick as a match grows at one density, on one core, beside that of sending
everything to everybody.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.cards.kinds import KIND_PLAYER
from dedicated_server.protocol.bits import append
from dedicated_server.protocol.entity_table import FIELD_BITS, RECORD_WORDS, WHOLE_BITS
from dedicated_server.protocol.fields import TICK_HZ
from loadtest.bench.harness.rig import Rig
from loadtest.bench.harness.run_config import RunConfig, constant_density
from loadtest.bench.harness.statistics import fitted_exponent, percentiles
from loadtest.bench.tick.tick import snapshot_hz

PLAYERS: Final = (100, 200, 400, 800, 1_600)
SECONDS: Final = 3.0  # of each
REPEATS: Final = 15
PLAYER_BITS: Final = int(WHOLE_BITS[KIND_PLAYER])
FULL_RATE: Final = 0.98  # share of the full rate; a skipped tick is not yet a lowered rate


def run(sizes: Sequence[int] = PLAYERS, seconds: float = SECONDS, *, seed: int = 1) -> dict[str, Any]:
    """Measure a match of each size and return what is printed.

    ``exponent``: k for which the median tick grows as players^k. ``exponent_full_rate``: the same of the
    points whose clients got a snapshot in every tick, null where there are fewer than two; a server that is
    too slow sends fewer snapshots, which makes its ticks cheaper. ``exponent_naive``: the same of
    ``naive_us``, the time of writing every entity into every client's datagram, without sending any.

    Args:
        sizes: players of each match.
        seconds: measured of each match.
        seed: of where players start and what they do.

    Raises:
        BenchError: a process ends, or clients do not connect.
    """
    points: list[dict[str, Any]] = []
    with Rig(max(sizes)) as rig:
        rig.warm_up()
        for players in sizes:
            served, clients = rig.play(
                RunConfig(players, constant_density(players), seconds, seed, floor=False)
            )
            points.append(
                {
                    "players": players,
                    "tick_us": percentiles(served.tick_us, 50, 99, 100),
                    "naive_us": naive_us(players),
                    "stages_us": served.stages_us,
                    "records_per_snapshot": round(
                        served.counters["records"] / max(served.counters["snapshots"], 1), 1
                    ),
                    "kbit_per_client": percentiles(clients.kbit, 50, 100),
                    "staleness_ms": clients.staleness_ms,
                    "missed_ticks": served.missed_ticks,
                    "snapshot_hz": snapshot_hz(players, served),
                    "connected": clients.connected,
                    "dropped": served.dropped,
                    "clients": {"load": clients.load, "missed_steps": clients.missed_steps},
                }
            )
    full = [point for point in points if point["snapshot_hz"] > FULL_RATE * TICK_HZ]
    return {
        "bench": "scale",
        "points": points,
        "exponent": _exponent(points),
        "exponent_full_rate": _exponent(full) if len(full) > 1 else None,
        "exponent_naive": fitted_exponent(sizes, [point["naive_us"] for point in points]),
    }


def _exponent(points: Sequence[dict[str, Any]]) -> float:
    return fitted_exponent(
        [point["players"] for point in points], [point["tick_us"]["p50"] for point in points]
    )


def naive_us(players: int) -> float:
    """Return the median time of `write_all_to_all` in microseconds."""
    records = np.zeros((players, RECORD_WORDS), np.int64)
    words = np.zeros(players * PLAYER_BITS // 64 + 2, np.uint64)
    write_all_to_all(records, players, words)
    took_ns = []
    for _ in range(REPEATS):
        begun_ns = time.perf_counter_ns()
        write_all_to_all(records, players, words)
        took_ns.append(time.perf_counter_ns() - begun_ns)
    return round(float(np.median(took_ns)) / 1e3, 2)


@njit(cache=True, nogil=True)
def write_all_to_all(records: npt.NDArray[np.int64], clients: int, words: npt.NDArray[np.uint64]) -> int:
    """Write all records whole, once for each client, into the same ``words``.

    Args:
        records: int64[N, RECORD_WORDS], a player's each.
        clients: how many.
        words: uint64[N * PLAYER_BITS / 64 + 2], overwritten.

    Returns:
        The bits of one client's datagram.
    """
    position = 0
    for _ in range(clients):
        words[0] = np.uint64(0)
        position = 0
        for record in records:
            for word in range(RECORD_WORDS):
                position = append(words, position, record[word], FIELD_BITS[KIND_PLAYER, word])
    return position
