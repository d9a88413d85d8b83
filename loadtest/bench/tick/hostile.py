"""``hostile``: the time of a tick while hostile datagrams arrive, beside the quiet ticks of the same run.

Quiet and hostile blocks of a second take turns, so that variations of the machine fall on both alike.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from dedicated_server.protocol.fields import TICK_HZ
from loadtest.bench.harness.hostile_traffic import CHEATING_CLIENTS, HIJACKED_CLIENTS
from loadtest.bench.harness.instrumented_engine import BASELINE, DISTURBED
from loadtest.bench.harness.rig import Rig
from loadtest.bench.harness.run_config import CLUSTER, ClientFigures, RunConfig, ServerFigures
from loadtest.bench.harness.statistics import percentiles, ratio
from loadtest.errors import BenchError

HOSTILE_PER_S: Final = 50_000
SECONDS: Final = 44.0  # a million datagrams in the hostile half of it


def run(
    players: int = 100, hostile_per_s: int = HOSTILE_PER_S, seconds: float = SECONDS, *, seed: int = 1
) -> dict[str, Any]:
    """Measure one match in which everybody is in sight of everybody, and return what is printed. Raises
    BenchError.

    ``hostile_per_s``: hostile datagrams a second in hostile blocks.
    """
    if players <= HIJACKED_CLIENTS + CHEATING_CLIENTS:
        raise BenchError(
            f"{HIJACKED_CLIENTS + CHEATING_CLIENTS} clients are hostile: take more players than that"
        )
    config = RunConfig(players, CLUSTER, seconds, seed, floor=False, hostile_per_s=hostile_per_s)
    with Rig(players) as rig:
        rig.warm_up()
        served, clients = rig.play(config)
    return describe(config, served, clients)


def describe(config: RunConfig, served: ServerFigures, clients: ClientFigures) -> dict[str, Any]:
    """Return what is printed.

    ``ratio``: hostile to quiet. ``bad``: hostile datagrams sent, in all and a second of the hostile blocks;
    those that the kernel had no room for; those that the server dropped. ``players_lost``: players without a
    slot at the end. ``grown_mb``: growth of the server's memory.
    """
    tick_us, kind = np.array(served.tick_us), np.array(served.block_kind)
    quiet, hostile = (percentiles(tick_us[kind == one], 50, 99, 100) for one in (BASELINE, DISTURBED))
    hostile_s = len(served.tick_us) / TICK_HZ / 2.0
    refused = served.dropped.get("inbox_full", 0)
    return {
        "bench": "hostile",
        "players": config.players,
        "layout": config.layout.name,
        "seconds": config.seconds,
        "quiet_us": quiet,
        "hostile_us": hostile,
        "ratio": {point: ratio(hostile[point], quiet[point]) for point in ("p50", "p99")},
        "bad": {
            "sent": clients.hostile_sent,
            "per_s": round(clients.hostile_sent / hostile_s),
            "refused_by_kernel": refused,
            "dropped": sum(served.dropped.values()),
        },
        "dropped": served.dropped,
        "inputs_refused": served.inputs_refused,
        "rewinds_clamped": served.rewinds_clamped,
        "players_lost": config.players - served.connected,
        "missed_ticks": served.missed_ticks,
        "grown_mb": served.grown_mb,
        "staleness_ms": clients.staleness_ms,
        "clients": {"load": clients.load, "missed_steps": clients.missed_steps},
    }
