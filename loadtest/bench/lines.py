"""``lines``: what players are shown, and what they learn, over bad lines: real sockets in real time, 100 ms there and back."""

from __future__ import annotations

from typing import Any, Final

from loadtest.bench.layout import CLUSTER
from loadtest.bench.plan import FarFigures, Line, Plan, ServerFigures
from loadtest.bench.rig import Rig
from loadtest.bench.tick import TICK_HZ

LAST_WORDS_S: Final = 2.0  # at the end may be under way still
Told = list[tuple[int, int]]


def run(
    players: int = 100, seconds: float = 20.0, line: Line | None = None, *, seed: int = 1
) -> dict[str, Any]:
    """Play one match over lines that are all like ``line``. Raises BenchError."""
    plan = Plan(players, CLUSTER, seconds, seed, floor=False, line=line or Line())
    with Rig(players) as rig:
        rig.warm_up_far()
        served, far = rig.play_far(plan)
    return describe(plan, served, far)


def describe(plan: Plan, served: ServerFigures, far: FarFigures) -> dict[str, Any]:
    """What is printed.

    ``shown_error_m``: of others alive and in view, in every frame of every client, how far from where they truly were in the tick that is
    shown. ``hits``: what the server told shooters up to LAST_WORDS_S before the end, and what became of it.
    """
    assert plan.line is not None
    return {
        "bench": "lines",
        "players": plan.players,
        "layout": plan.layout.name,
        "seconds": plan.seconds,
        "line": plan.line.as_json(),
        "rtt_ms": far.rtt_ms,
        "loss": far.loss,
        "shown_error_m": far.shown_error_m,
        "shown": far.shown,
        "shown_ms_ago": far.shown_ms_ago,
        "starved": far.starved,
        "corrections": far.corrections,
        "hits": compare(served.told, far.heard, served.last_tick - round(LAST_WORDS_S * TICK_HZ)),
        "connected": far.connected,
        "time_outs": served.counters["time_outs"],
        "reconnects": served.counters["reconnects"],
        "reliable_overflow": served.counters["reliable_overflow"],
        "missed_ticks": served.missed_ticks,
        "crowd": {"missed_steps": far.missed_steps},
    }


def compare(told: list[list[tuple[int, int, int]]], heard: list[Told], until_tick: int) -> dict[str, int]:
    """Hold what each client heard, (a, b) in order, against what it was told, (tick, a, b) in order.

    ``missing``: told by ``until_tick`` and not heard. ``wrong``: heard twice, in another order, or never told.
    """
    counts = {"told": 0, "heard": 0, "missing": 0, "wrong": 0}
    for said, got in zip(told, heard, strict=True):
        due = sum(tick <= until_tick for tick, _, _ in said)
        right = sum(ours == (a, b) for ours, (_, a, b) in zip(got, said, strict=False))
        counts["told"] += len(said)
        counts["heard"] += len(got)
        counts["missing"] += max(due - len(got), 0)
        counts["wrong"] += len(got) - right
    return counts
