"""``wire``: how many bits the format takes, on the map."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from loadtest.bench.harness.layout import MAP
from loadtest.bench.harness.rig import Rig
from loadtest.bench.harness.run_config import ClientFigures, RunConfig, ServerFigures
from loadtest.bench.harness.statistics import percentiles
from loadtest.bench.tick.tick import ratio, wire_figures

# An entity's state as a program holds it: index, position and yaw as float32, health and flags a byte each.
UNCOMPRESSED: Final = np.dtype(
    [("entity", "u2"), ("x_m", "f4"), ("y_m", "f4"), ("yaw_radians", "f4"), ("health", "u1"), ("flags", "u1")]
)
IP_UDP_BYTES: Final = 28


def run(players: int = 100, seconds: float = 10.0, *, seed: int = 1) -> dict[str, Any]:
    """Measure one match. Raises BenchError."""
    plan = RunConfig(players, MAP, seconds, seed, floor=False)
    with Rig(players) as rig:
        rig.warm_up()
        served, crowd = rig.play(plan)
    return describe(plan, served, crowd)


def describe(plan: RunConfig, served: ServerFigures, crowd: ClientFigures) -> dict[str, Any]:
    """What is printed.

    ``bits_per_changed_entity``: mean of all records that say that something changed, with index and age of the baseline.
    ``reduction``: of the bytes in datagrams, sealing included on both sides, against sending UNCOMPRESSED of every player to every player
    in every tick. ``reduction_of_state``: the same of what is sealed; ``reduction_on_line``: with IP and UDP headers.
    """
    counters = served.counters
    snapshots = counters["snapshots"]
    state = ratio(counters["snapshot_bits"] / 8, snapshots, 2)
    datagram = ratio(counters["sent_bytes"], counters["sent"], 2)
    sealing = datagram - state
    full = plan.players * UNCOMPRESSED.itemsize
    return {
        "bench": "wire",
        "players": plan.players,
        "layout": plan.layout.name,
        "seconds": plan.seconds,
        **wire_figures(served),
        "mean_bytes": {"state": state, "datagram": datagram},
        "full_state_bytes": full,
        "kbit_per_client": percentiles(crowd.kbit, 50, 100) | {"peak": crowd.kbit_peak},
        "reduction": ratio(full + sealing, datagram, 1),
        "reduction_of_state": ratio(full, state, 1),
        "reduction_on_line": ratio(full + sealing + IP_UDP_BYTES, datagram + IP_UDP_BYTES, 1),
        "shares": {
            "records": ratio(counters["record_bits"], counters["snapshot_bits"]),
            "full_records": ratio(counters["full_records"], counters["records"]),
            "changed_records": ratio(counters["changed_records"], counters["records"]),
        },
        "over_budget": counters["over_budget"],
        "staleness_ms": crowd.staleness_ms,
    }
