"""``lines``: what players are shown, and what they learn, over bad lines: real sockets in real time, 100 ms there and back."""

from __future__ import annotations

from typing import Any, Final

from loadtest.bench.harness.layout import CLUSTER
from loadtest.bench.harness.rig import Rig
from loadtest.bench.harness.run_config import LinkConfig, LossyClientFigures, RunConfig, ServerFigures
from loadtest.bench.tick.tick import TICK_HZ

IN_FLIGHT_S: Final = 2.0  # at the end may be under way still
Hits = list[tuple[int, int]]


def run(
    players: int = 100, seconds: float = 20.0, link: LinkConfig | None = None, *, seed: int = 1
) -> dict[str, Any]:
    """Play one match over lines that are all like ``line``. Raises BenchError."""
    plan = RunConfig(players, CLUSTER, seconds, seed, floor=False, link=link or LinkConfig())
    with Rig(players) as rig:
        rig.warm_up_lossy()
        served, far = rig.play_lossy(plan)
    return describe(plan, served, far)


def describe(plan: RunConfig, served: ServerFigures, clients: LossyClientFigures) -> dict[str, Any]:
    """What is printed.

    ``shown_error_m``: of others alive and in view, in every frame of every client, how far from where they truly were in the tick that is
    shown. ``hits``: what the server told shooters up to LAST_WORDS_S before the end, and what became of it.
    """
    assert plan.link is not None
    return {
        "bench": "lines",
        "players": plan.players,
        "layout": plan.layout.name,
        "seconds": plan.seconds,
        "line": plan.link.as_json(),
        "rtt_ms": clients.rtt_ms,
        "loss": clients.loss,
        "shown_error_m": clients.shown_error_m,
        "shown": clients.shown,
        "shown_ms_ago": clients.shown_ms_ago,
        "starved": clients.starved,
        "corrections": clients.corrections,
        "hits": compare(
            served.sent_hits, clients.received_hits, served.last_tick - round(IN_FLIGHT_S * TICK_HZ)
        ),
        "connected": clients.connected,
        "time_outs": served.counters["time_outs"],
        "reconnects": served.counters["reconnects"],
        "reliable_overflow": served.counters["reliable_overflow"],
        "missed_ticks": served.missed_ticks,
        "crowd": {"missed_steps": clients.missed_steps},
    }


def compare(sent: list[list[tuple[int, int, int]]], received: list[Hits], until_tick: int) -> dict[str, int]:
    """Hold what each client heard, (a, b) in order, against what it was told, (tick, a, b) in order.

    ``missing``: told by ``until_tick`` and not heard. ``wrong``: heard twice, in another order, or never told.
    """
    counts = {"told": 0, "heard": 0, "missing": 0, "wrong": 0}
    for said, got in zip(sent, received, strict=True):
        due = sum(tick <= until_tick for tick, _, _ in said)
        right = sum(ours == (a, b) for ours, (_, a, b) in zip(got, said, strict=False))
        counts["told"] += len(said)
        counts["heard"] += len(got)
        counts["missing"] += max(due - len(got), 0)
        counts["wrong"] += len(got) - right
    return counts
