"""``tick``: the time of a tick in one match at its pace, beside the time of the system calls alone for the
same datagrams.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.transport import DEFAULT_KIND, TransportKind
from loadtest.bench.harness.broker import broker
from loadtest.bench.harness.instrumented_engine import BASELINE, DISTURBED
from loadtest.bench.harness.processor import processor
from loadtest.bench.harness.rig import Rig, server_core
from loadtest.bench.harness.run_config import (
    EVENT_BLOCK_TICKS,
    ClientFigures,
    Layout,
    RunConfig,
    ServerFigures,
)
from loadtest.bench.harness.statistics import percentiles, ratio

RESAMPLES: Final = 200
TICK_US: Final = round(1e6 / TICK_HZ)  # a tick that takes longer is missed by the next
MAX_SKIPPED_SHARE: Final = 0.05  # clients that skip more of their steps are slower than the server


def run(
    players: int,
    layout: Layout,
    seconds: float,
    *,
    seed: int = 1,
    transport: TransportKind = DEFAULT_KIND,
    snapshot_every: int = 1,
    floor: bool = True,
) -> dict[str, Any]:
    """Measure one match for ``seconds`` and return what is printed. Raises BenchError.

    ``snapshot_every``: ticks to a snapshot of each client. ``floor``: whether the floor takes its turns; with
    a thousand players its datagrams are the clients' bottleneck.
    """
    config = RunConfig(players, layout, seconds, seed, transport, floor=floor, snapshot_every=snapshot_every)
    with Rig(players) as rig:
        rig.warm_up()
        served, clients = rig.play(config)
    return describe(config, served, clients)


def run_with_events(
    players: int, layout: Layout, seconds: float, events_per_s: int, *, seed: int = 1
) -> dict[str, Any]:
    """Measure one match in which blocks with a burst of events, sent to a real broker, take turns with blocks
    without.

    Raises BenchError.
    """
    with broker() as (bootstrap, name), Rig(players) as rig:
        rig.warm_up()
        config = RunConfig(players, layout, seconds, seed, events_per_s=events_per_s, bootstrap=bootstrap)
        served, clients = rig.play(config)
    return describe(config, served, clients) | describe_cost(served) | {"broker": name}


def describe_cost(served: ServerFigures) -> dict[str, Any]:
    """Return what events cost the tick.

    ``tick_us`` is that of baseline blocks here. ``event_cost``: by which ``share`` a tick with events is
    longer, see ``cost_of``; ``floor``: by which share the floor was longer meanwhile, which events should not
    influence.
    """
    tick_us, floor_us, kind = (
        np.array(column) for column in (served.tick_us, served.floor_us, served.block_kind)
    )
    unit = np.ones(len(floor_us))
    return {
        "tick_us": percentiles(tick_us[kind == BASELINE], 50, 99, 100),
        "tick_with_events_us": percentiles(tick_us[kind == DISTURBED], 50, 99, 100),
        "event_cost": cost_of(tick_us, floor_us, kind) | {"floor": cost_of(floor_us, unit, kind)["share"]},
        "events": served.events,
    }


def cost_of(
    tick_us: npt.NDArray[np.float64], floor_us: npt.NDArray[np.float64], kind: npt.NDArray[np.int_]
) -> dict[str, float]:
    """Return by which ``share`` ticks of disturbed blocks are longer than those of baseline blocks.

    Each tick is divided by the floor half a tick later, which carries the same datagrams. What players do and
    how busy the machine is changes both, so the error is a third of what it would be without. The geometric
    mean of a disturbed block is compared with that of the baseline block before it. Of all these pairs the
    tenth that differs most is left out at either end. ``error`` is twice the standard error, bootstrapped
    over the pairs, since the machine's load varies more slowly than ticks (Efron 1979).

    Args:
        tick_us, floor_us: float64[T], the time of each tick and of the floor's turn after it.
        kind: int[T], BASELINE, DISTURBED or TRANSITION.
    """
    whole = min(len(tick_us), len(floor_us)) // (2 * EVENT_BLOCK_TICKS)
    ticks = whole * 2 * EVENT_BLOCK_TICKS
    if not whole:
        return {"share": 0.0, "error": 0.0, "blocks": 0}
    relative = np.log(tick_us[:ticks] / floor_us[:ticks]).reshape(whole, -1)
    kinds = kind[:ticks].reshape(whole, -1)
    apart = np.array(
        [
            row[which == DISTURBED].mean() - row[which == BASELINE].mean()
            for row, which in zip(relative, kinds, strict=True)
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
    """Return the mean without the lowest and the highest tenth."""
    cut = len(values) // 10
    return float(np.sort(values)[cut : len(values) - cut].mean())


def describe(config: RunConfig, served: ServerFigures, clients: ClientFigures) -> dict[str, Any]:
    """Return what is printed.

    ``ratio``: median tick to median floor. ``staleness_ms``: the age of what clients know of every entity
    within the interest radius, measured 60 times a second. ``kbit_per_client``: on the link, IP and UDP
    headers counted; ``peak``: in any one second. ``snapshot_hz``: snapshots that a client gets a second, less
    than ``hz`` where the server was overloaded and lowered their rate. ``floor_datagrams``: of the floor in
    and out, as a share of the engine's: 1.0 where the floor carried the same. ``in_time``: as of the
    function. ``joined_s``: from the first request until all clients were connected; ``skipped_share``: of the
    steps that the clients had to take. ``goal``: the largest ``ratio`` that is good on this ``processor``,
    whose cores have ``l2_kib`` of second-level cache; null for a match that has none. ``good``: whether it
    was reached.
    """
    core = processor(server_core())
    goal = core.goal(config.layout.name, config.players)
    tick, floor = percentiles(served.tick_us, 50, 99, 100), percentiles(served.floor_us, 50, 99)
    share = ratio(tick["p50"], floor["p50"])
    return {
        "bench": "tick",
        "players": config.players,
        "layout": config.layout.name,
        "hz": TICK_HZ,
        "seconds": config.seconds,
        "transport": config.transport,
        "processor": core.name,
        "l2_kib": core.l2_kib,
        "tick_us": tick,
        "floor_us": floor | {"receive_p50": percentiles(served.floor_receive_us, 50)["p50"]},
        "ratio": share,
        "goal": goal,
        "good": None if goal is None else 0.0 < share <= goal,
        "late_us": percentiles(served.late_us, 50, 99),
        "kbit_per_client": percentiles(clients.kbit, 50, 100) | {"peak": clients.kbit_peak},
        "staleness_ms": clients.staleness_ms,
        "stages_us": served.stages_us,
        "missed_ticks": served.missed_ticks,
        "snapshot_hz": snapshot_hz(config.players, served),
        **wire_figures(served),
        "connected": clients.connected,
        "shots": served.shots,
        "hits": served.hits,
        "kills": served.kills,
        "floor_datagrams": {
            "in": ratio(served.floor_datagrams[0], served.datagrams[0]),
            "out": ratio(served.floor_datagrams[1], served.datagrams[1]),
        },
        "dropped": served.dropped | {f"client {name}": count for name, count in clients.dropped.items()},
        "in_time": in_time(tick["p99"], clients.skipped_share),
        "clients": {
            "joined_s": clients.joined_s,
            "load": clients.load,
            "missed_steps": clients.missed_steps,
            "skipped_share": clients.skipped_share,
            "late_us": clients.late_us,
        },
    }


def in_time(p99_us: float, skipped_share: float) -> bool | None:
    """Return whether 99 of 100 ticks fit their period; None where the clients could not keep up, since who
    reads late is sent other snapshots than who reads in time.
    """
    return None if skipped_share > MAX_SKIPPED_SHARE else p99_us <= TICK_US


def snapshot_hz(players: int, served: ServerFigures) -> float:
    """Return snapshots for each client and second: TICK_HZ unless the server lowered their rate or skipped
    ticks.
    """
    return ratio(
        served.counters["snapshots"] * TICK_HZ, players * (len(served.tick_us) + served.missed_ticks), 1
    )


def wire_figures(served: ServerFigures) -> dict[str, Any]:
    """Return the figures of the wire's counters."""
    counters = served.counters
    return {
        "bits_per_changed_entity": ratio(counters["changed_bits"], counters["changed_records"], 2),
        "records_per_snapshot": ratio(counters["records"], counters["snapshots"], 1),
        "bytes_per_snapshot": served.snapshot_bytes,
    }
