"""What a tick allocates once it is warm: nothing that lasts, and no array."""

from __future__ import annotations

import gc
import tracemalloc

from dedicated_server.protocol import fields
from tests.dedicated_server.replication.lossy import LossyTable
from tests.dedicated_server.tick.swarm import Intent

TICKS = 50
PLAYERS = 40
# A few numbers of Python's; one of this match's arrays of a number a pair of players would be 6,400
MAX_BYTES = 4_096


def run_and_shoot(_table: LossyTable, client: int) -> Intent:
    return 100, client, 900 * client, fields.BUTTON_FIRE


def test_a_warm_tick_allocates_no_array_and_nothing_that_lasts() -> None:
    table = LossyTable(PLAYERS, run_and_shoot, spawn_radius_m=40.0, match_s=600.0)
    table.play(120)
    engine = table.engine
    # The memory transport keeps what is sent, as no socket does.
    table.transport.send = lambda *_rows: 0  # type: ignore[method-assign]
    lasting, peaks = [], []
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(TICKS):
            table.now_s += 1 / 60
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            engine.prefetch()
            engine.tick(table.now_s)
            after, peak = tracemalloc.get_traced_memory()
            lasting.append(after - before)
            peaks.append(peak - before)
    finally:
        tracemalloc.stop()
        gc.enable()
    assert max(peaks[5:]) < MAX_BYTES
    assert sum(lasting[5:]) < MAX_BYTES
