"""``tick``: one match at its pace, the tick beside what the kernel alone takes for the same datagrams."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dedicated_server.transport import DEFAULT_KIND, TransportKind
from loadtest.bench.broker import broker
from loadtest.bench.figures import percentiles
from loadtest.bench.layout import Layout
from loadtest.bench.measured import CALM, ROUGH
from loadtest.bench.plan import BLOCK_TICKS, CrowdFigures, Plan, ServerFigures
from loadtest.bench.rig import Rig

TICK_HZ: Final = 60
RESAMPLES: Final = 200


def run(
    players: int, layout: Layout, seconds: float, *, seed: int = 1, transport: TransportKind = DEFAULT_KIND
) -> dict[str, Any]:
    """Measure one match. Raises BenchError."""
    plan = Plan(players, layout, seconds, seed, transport)
    with Rig(players) as rig:
        rig.warm_up()
        served, crowd = rig.play(plan)
    return describe(plan, served, crowd)


def run_with_events(
    players: int, layout: Layout, seconds: float, events_per_s: int, *, seed: int = 1
) -> dict[str, Any]:
    """Measure one match in which blocks with a storm of events, told to a real broker, take turns with blocks without.

    Raises BenchError.
    """
    with broker() as bootstrap, Rig(players) as rig:
        rig.warm_up()
        plan = Plan(players, layout, seconds, seed, events_per_s=events_per_s, bootstrap=bootstrap)
        served, crowd = rig.play(plan)
    return describe(plan, served, crowd) | describe_cost(served)


def describe_cost(served: ServerFigures) -> dict[str, Any]:
    """What events cost the tick.

    ``tick_us`` is that of calm blocks here. ``event_cost``: by how much of it the median tick with events is longer; ``error``: twice the
    standard error of that.
    """
    tick_us, kind = np.array(served.tick_us), np.array(served.rough)
    return {
        "tick_us": percentiles(tick_us[kind == CALM], 50, 99, 100),
        "tick_with_events_us": percentiles(tick_us[kind == ROUGH], 50, 99, 100),
        "event_cost": cost_of(tick_us, kind),
        "events": served.events,
    }


def cost_of(tick_us: npt.NDArray[np.float64], kind: npt.NDArray[np.int_]) -> dict[str, float]:
    """By what share the median tick of rough blocks is longer than that of calm ones.

    The error is bootstrapped over pairs of neighbouring blocks, as the machine's moods last longer than a tick (Efron 1979).
    """
    whole = len(tick_us) // (2 * BLOCK_TICKS) * 2 * BLOCK_TICKS
    pairs = tick_us[:whole].reshape(-1, 2 * BLOCK_TICKS)
    kinds = kind[:whole].reshape(-1, 2 * BLOCK_TICKS)

    def cost(chosen: npt.NDArray[np.int_]) -> float:
        ticks, which = pairs[chosen], kinds[chosen]
        return float(np.median(ticks[which == ROUGH]) / np.median(ticks[which == CALM]) - 1.0)

    every = np.arange(len(pairs))
    if not len(every):
        return {"p50": 0.0, "error": 0.0, "blocks": 0}
    generator = np.random.default_rng(1)
    again = [cost(generator.choice(every, len(every))) for _ in range(RESAMPLES)]
    return {
        "p50": round(cost(every), 4),
        "error": round(2.0 * float(np.std(again)), 4),
        "blocks": 2 * len(every),
    }


def describe(plan: Plan, served: ServerFigures, crowd: CrowdFigures) -> dict[str, Any]:
    """What is printed.

    ``ratio``: median tick to median floor. ``staleness_ms``: at the clients, 60 times a second, the age of what they know of every entity
    within the interest radius. ``kbit_per_client``: over the line, IP and UDP headers counted; ``peak``: in any one second.
    ``snapshot_hz``: snapshots a client gets per second, less than ``hz`` when the server was overloaded and lowered their rate.
    ``floor_datagrams``: in and out as a share of the engine's: 1.0 says that the floor carried the same.
    """
    tick, floor = percentiles(served.tick_us, 50, 99, 100), percentiles(served.floor_us, 50, 99)
    return {
        "bench": "tick",
        "players": plan.players,
        "layout": plan.layout.name,
        "hz": TICK_HZ,
        "seconds": plan.seconds,
        "transport": plan.transport,
        "tick_us": tick,
        "floor_us": floor | {"receive_p50": percentiles(served.floor_receive_us, 50)["p50"]},
        "ratio": ratio(tick["p50"], floor["p50"]),
        "late_us": percentiles(served.late_us, 50, 99),
        "kbit_per_client": percentiles(crowd.kbit, 50, 100) | {"peak": crowd.kbit_peak},
        "staleness_ms": crowd.staleness_ms,
        "stages_us": served.stages_us,
        "missed_ticks": served.missed_ticks,
        "snapshot_hz": snapshot_hz(plan.players, served),
        **wire_figures(served),
        "connected": crowd.connected,
        "shots": served.shots,
        "hits": served.hits,
        "kills": served.kills,
        "floor_datagrams": {
            "in": ratio(served.floor_datagrams[0], served.datagrams[0]),
            "out": ratio(served.floor_datagrams[1], served.datagrams[1]),
        },
        "dropped": served.dropped | {f"client {name}": count for name, count in crowd.dropped.items()},
        "crowd": {"load": crowd.load, "missed_steps": crowd.missed_steps, "late_us": crowd.late_us},
    }


def snapshot_hz(players: int, served: ServerFigures) -> float:
    """Snapshots per client and second: TICK_HZ unless the server lowered their rate, or left ticks out."""
    return ratio(
        served.counters["snapshots"] * TICK_HZ, players * (len(served.tick_us) + served.missed_ticks), 1
    )


def wire_figures(served: ServerFigures) -> dict[str, Any]:
    """What the counters of the wire come to."""
    counters = served.counters
    return {
        "bits_per_changed_entity": ratio(counters["changed_bits"], counters["changed_records"], 2),
        "records_per_snapshot": ratio(counters["records"], counters["snapshots"], 1),
        "bytes_per_snapshot": served.snapshot_bytes,
    }


def ratio(part: float, whole: float, digits: int = 3) -> float:
    """``part`` ÷ ``whole``, 0 where there is no whole."""
    return round(part / whole, digits) if whole else 0.0
