"""``roaming``: how soon players are back in the match whose address changes, over real sockets.

The real engine and real clients on the loopback. Every few seconds each player moves to another port with the
session that they have, or restarts with the token that they have. What a network between them adds is its
round trip; namespaces with address translators are `bench paths`.
"""

from __future__ import annotations

from typing import Any, Final

from loadtest.bench.harness.rig import Rig
from loadtest.bench.harness.run_config import CLUSTER, RoamingClientFigures, RunConfig, ServerFigures
from loadtest.bench.harness.statistics import percentiles

BACK_P95_S: Final = 1.0
FIRST_SNAPSHOTS: Final = (50, 95, 100)


def run(players: int = 20, seconds: float = 30.0, *, seed: int = 1, fault: str = "") -> dict[str, Any]:
    """Play one match and return what is printed; ``fault`` is planted. Raises BenchError."""
    config = RunConfig(players, CLUSTER, seconds, seed, floor=False, fault=fault)
    with Rig(players) as rig:
        rig.warm_up_roaming()
        served, clients = rig.play_roaming(config)
    return describe(config, served, clients)


def describe(config: RunConfig, served: ServerFigures, clients: RoamingClientFigures) -> dict[str, Any]:
    """Return what is printed.

    ``back_s``: from the first datagram of a new port to the first snapshot there. ``lost``: changes after
    which none came within the time-out. ``moves``, ``held_back``, ``reconnects``: the server's counters.
    """
    every = [back for kind in clients.back_s.values() for back in kind]
    lost = sum(clients.lost.values())
    back_s = percentiles(every, *FIRST_SNAPSHOTS, digits=4)
    missed = []
    if not every or not back_s["p95"] <= BACK_P95_S:
        missed.append(f"back_s.p95 {back_s['p95']}, ≤ {BACK_P95_S:g}")
    if lost:
        missed.append(f"lost {lost}, ≤ 0")
    return {
        "bench": "roaming",
        "players": config.players,
        "seconds": config.seconds,
        "changes": len(every) + lost,
        "back_s": back_s,
        "lost": lost,
        "by_kind": {
            kind: {
                "changes": len(back) + clients.lost[kind],
                "back_s": percentiles(back, *FIRST_SNAPSHOTS, digits=4),
                "lost": clients.lost[kind],
            }
            for kind, back in clients.back_s.items()
        },
        **{name: served.counters[name] for name in ("moves", "held_back", "reconnects", "time_outs")},
        "dropped": served.dropped,
        "connected": clients.connected,
        "clients": {"missed_steps": clients.missed_steps, "dropped": clients.dropped},
        "limits": {"back_s.p95": f"≤ {BACK_P95_S:g}", "lost": "≤ 0"},
        "missed": missed,
        "passed": not missed,
    }
