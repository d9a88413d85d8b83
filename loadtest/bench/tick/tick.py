"""``tick``: one match at its pace, the tick beside what the kernel alone takes for the same datagrams."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dedicated_server.transport import DEFAULT_KIND, TransportKind
from loadtest.bench.harness.broker import broker
from loadtest.bench.harness.instrumented_engine import BASELINE, DISTURBED
from loadtest.bench.harness.layout import Layout
from loadtest.bench.harness.rig import Rig
from loadtest.bench.harness.run_config import EVENT_BLOCK_TICKS, ClientFigures, RunConfig, ServerFigures
from loadtest.bench.harness.statistics import percentiles

TICK_HZ: Final = 60
RESAMPLES: Final = 200


def run(
    players: int, layout: Layout, seconds: float, *, seed: int = 1, transport: TransportKind = DEFAULT_KIND
) -> dict[str, Any]:
    """Measure one match. Raises BenchError."""
    plan = RunConfig(players, layout, seconds, seed, transport)
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
    with broker() as (bootstrap, name), Rig(players) as rig:
        rig.warm_up()
        plan = RunConfig(players, layout, seconds, seed, events_per_s=events_per_s, bootstrap=bootstrap)
        served, crowd = rig.play(plan)
    return describe(plan, served, crowd) | describe_cost(served) | {"broker": name}


def describe_cost(served: ServerFigures) -> dict[str, Any]:
    """What events cost the tick.

    ``tick_us`` is that of calm blocks here. ``event_cost``: by what ``share`` of it a tick with events is longer, see ``cost_of``;
    ``floor``: by how much the floor was longer meanwhile, which events should not touch.
    """
    tick_us, floor_us, kind = (
        np.array(column) for column in (served.tick_us, served.floor_us, served.block_kind)
    )
    calm = np.ones(len(floor_us))
    return {
        "tick_us": percentiles(tick_us[kind == BASELINE], 50, 99, 100),
        "tick_with_events_us": percentiles(tick_us[kind == DISTURBED], 50, 99, 100),
        "event_cost": cost_of(tick_us, floor_us, kind) | {"floor": cost_of(floor_us, calm, kind)["share"]},
        "events": served.events,
    }


def cost_of(
    tick_us: npt.NDArray[np.float64], floor_us: npt.NDArray[np.float64], kind: npt.NDArray[np.int_]
) -> dict[str, float]:
    """By what ``share`` ticks of rough blocks are longer than those of calm ones.

    Each tick is taken beside the floor half a tick later, which carries the same datagrams: what players do and how the machine feels
    changes both, and the error is a third of what it is without. The geometric mean of a rough block is compared with that of the calm
    one before it; of all these pairs the tenths that differ most, at either end, are left out. ``error``: twice the standard error, bootstrapped over
    the pairs, as the machine's moods last longer than a tick (Efron 1979).
    """
    whole = min(len(tick_us), len(floor_us)) // (2 * EVENT_BLOCK_TICKS)
    ticks = whole * 2 * EVENT_BLOCK_TICKS
    if not whole:
        return {"share": 0.0, "error": 0.0, "blocks": 0}
    beside = np.log(tick_us[:ticks] / floor_us[:ticks]).reshape(whole, -1)
    kinds = kind[:ticks].reshape(whole, -1)
    apart = np.array(
        [
            row[which == DISTURBED].mean() - row[which == BASELINE].mean()
            for row, which in zip(beside, kinds, strict=True)
        ]
    )
    generator = np.random.default_rng(1)
    again = [_middle(generator.choice(apart, whole)) for _ in range(RESAMPLES)]
    return {
        "share": round(float(np.expm1(_middle(apart))), 4),
        "error": round(2.0 * float(np.std(again)), 4),
        "blocks": 2 * whole,
    }


def _middle(values: npt.NDArray[np.float64]) -> float:
    """The mean without the lowest and the highest tenth."""
    cut = len(values) // 10
    return float(np.sort(values)[cut : len(values) - cut].mean())


def describe(plan: RunConfig, served: ServerFigures, crowd: ClientFigures) -> dict[str, Any]:
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
