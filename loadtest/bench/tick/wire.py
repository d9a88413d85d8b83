"""``wire``: the size of snapshots in bits, for players spread over the map."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from loadtest.bench.harness.clients import IP_UDP_BYTES
from loadtest.bench.harness.rig import Rig
from loadtest.bench.harness.run_config import MAP, ClientFigures, RunConfig, ServerFigures
from loadtest.bench.harness.statistics import percentiles, ratio
from loadtest.bench.tick.tick import wire_figures

# An entity's state without compression: index, position and yaw as float32, health and flags a byte each.
UNCOMPRESSED: Final = np.dtype(
    [("entity", "u2"), ("x_m", "f4"), ("y_m", "f4"), ("yaw_radians", "f4"), ("health", "u1"), ("flags", "u1")]
)


def run(players: int = 100, seconds: float = 10.0, *, seed: int = 1) -> dict[str, Any]:
    """Measure one match for ``seconds`` and return what is printed. Raises BenchError."""
    config = RunConfig(players, MAP, seconds, seed, floor=False)
    with Rig(players) as rig:
        rig.warm_up()
        served, clients = rig.play(config)
    return describe(config, served, clients)


def describe(config: RunConfig, served: ServerFigures, clients: ClientFigures) -> dict[str, Any]:
    """Return what is printed.

    ``bits_per_changed_entity``: mean of all records of a change, with index and age of the baseline.
    ``reduction``: how many times fewer bytes the datagrams have than sending UNCOMPRESSED of every player to
    every player in every tick, sealing included on both sides. ``reduction_of_state``: the same without
    sealing; ``reduction_on_line``: the same with IP and UDP headers.
    """
    counters = served.counters
    snapshots = counters["snapshots"]
    state = ratio(counters["snapshot_bits"] / 8, snapshots, 2)
    datagram = ratio(counters["sent_bytes"], counters["sent"], 2)
    sealing = datagram - state
    full = config.players * UNCOMPRESSED.itemsize
    return {
        "bench": "wire",
        "players": config.players,
        "layout": config.layout.name,
        "seconds": config.seconds,
        **wire_figures(served),
        "mean_bytes": {"state": state, "datagram": datagram},
        "full_state_bytes": full,
        "kbit_per_client": percentiles(clients.kbit, 50, 100) | {"peak": clients.kbit_peak},
        "reduction": ratio(full + sealing, datagram, 1),
        "reduction_of_state": ratio(full, state, 1),
        "reduction_on_line": ratio(full + sealing + IP_UDP_BYTES, datagram + IP_UDP_BYTES, 1),
        "shares": {
            "records": ratio(counters["record_bits"], counters["snapshot_bits"]),
            "full_records": ratio(counters["full_records"], counters["records"]),
            "changed_records": ratio(counters["changed_records"], counters["records"]),
        },
        "over_budget": counters["over_budget"],
        "staleness_ms": clients.staleness_ms,
    }
