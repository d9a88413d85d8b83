"""``siege``: what a tick costs while an open port is fired at, beside the quiet ticks of the same run.

Quiet and hostile blocks of a second take turns, so that the machine's moods fall on both alike.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from loadtest.bench.errors import BenchError
from loadtest.bench.harness.hostile_traffic import CHEATING_CLIENTS, HIJACKED_CLIENTS
from loadtest.bench.harness.instrumented_engine import BASELINE, DISTURBED
from loadtest.bench.harness.layout import CLUSTER
from loadtest.bench.harness.rig import Rig
from loadtest.bench.harness.run_config import ClientFigures, RunConfig, ServerFigures
from loadtest.bench.harness.statistics import percentiles
from loadtest.bench.tick.tick import TICK_HZ, ratio

HOSTILE_PER_S: Final = 50_000
SECONDS: Final = 44.0  # a million in the hostile half of it


def run(
    players: int = 100, hostile_per_s: int = HOSTILE_PER_S, seconds: float = SECONDS, *, seed: int = 1
) -> dict[str, Any]:
    """Besiege one match, all of whose players are in sight of all. Raises BenchError."""
    if players <= HIJACKED_CLIENTS + CHEATING_CLIENTS:
        raise BenchError(
            f"{HIJACKED_CLIENTS + CHEATING_CLIENTS} clients turn hostile: there must be more than that"
        )
    plan = RunConfig(players, CLUSTER, seconds, seed, floor=False, hostile_per_s=hostile_per_s)
    with Rig(players) as rig:
        rig.warm_up()
        served, crowd = rig.play(plan)
    return describe(plan, served, crowd)


def describe(plan: RunConfig, served: ServerFigures, crowd: ClientFigures) -> dict[str, Any]:
    """What is printed.

    ``ratio``: hostile over quiet. ``bad``: datagrams sent, what the server took in, a second, while it was rough, and what the kernel had no
    room for. ``players_lost``: without a slot at the end. ``grown_mb``: by how much the server's memory grew.
    """
    tick_us, kind = np.array(served.tick_us), np.array(served.block_kind)
    quiet, hostile = (percentiles(tick_us[kind == one], 50, 99, 100) for one in (BASELINE, DISTURBED))
    rough_s = len(served.tick_us) / TICK_HZ / 2.0
    refused = served.dropped.get("inbox_full", 0)
    return {
        "bench": "siege",
        "players": plan.players,
        "layout": plan.layout.name,
        "seconds": plan.seconds,
        "quiet_us": quiet,
        "hostile_us": hostile,
        "ratio": {point: ratio(hostile[point], quiet[point]) for point in ("p50", "p99")},
        "bad": {
            "sent": crowd.hostile_sent,
            "per_s": round(crowd.hostile_sent / rough_s),
            "refused_by_kernel": refused,
            "dropped": sum(served.dropped.values()),
        },
        "dropped": served.dropped,
        "inputs_refused": served.inputs_refused,
        "rewinds_clamped": served.rewinds_clamped,
        "players_lost": plan.players - served.connected,
        "missed_ticks": served.missed_ticks,
        "grown_mb": served.grown_mb,
        "staleness_ms": crowd.staleness_ms,
        "crowd": {"load": crowd.load, "missed_steps": crowd.missed_steps},
    }
