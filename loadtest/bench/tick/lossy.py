"""``lossy``: what clients show and learn over lossy links, with real sockets in real time and a round trip of
100 ms.
"""

from __future__ import annotations

from typing import Any, Final

from dedicated_server.protocol.fields import TICK_HZ
from loadtest.bench.harness.rig import Rig
from loadtest.bench.harness.run_config import (
    CLUSTER,
    Hit,
    LinkConfig,
    LossyClientFigures,
    RunConfig,
    ServerFigures,
)

IN_FLIGHT_S: Final = 2.0  # hits of the last seconds may still be in flight


def run(
    players: int = 100, seconds: float = 20.0, link: LinkConfig | None = None, *, seed: int = 1
) -> dict[str, Any]:
    """Play one match over lines that are all like ``line``. Raises BenchError."""
    config = RunConfig(players, CLUSTER, seconds, seed, floor=False, link=link or LinkConfig())
    with Rig(players) as rig:
        rig.warm_up_lossy()
        served, clients = rig.play_lossy(config)
    return describe(config, served, clients)


def describe(config: RunConfig, served: ServerFigures, clients: LossyClientFigures) -> dict[str, Any]:
    """Return what is printed.

    ``shown_error_m``: in every frame of every client, how far each other entity, alive and in view, is shown
    from its true position in the shown tick. ``hits``: the hits that the server sent to shooters, and whether
    they arrived.
    """
    assert config.link is not None
    return {
        "bench": "lossy",
        "players": config.players,
        "layout": config.layout.name,
        "seconds": config.seconds,
        "link": config.link.as_json(),
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
        "clients": {"missed_steps": clients.missed_steps},
    }


def compare(sent: list[list[tuple[int, Hit]]], received: list[list[Hit]], until_tick: int) -> dict[str, int]:
    """Compare the hits that each client received with those that were sent to it.

    Args:
        sent: for each client (tick, hit) in order.
        received: for each client its hits in order.
        until_tick: hits of later ticks may still be in flight.

    Returns:
        ``missing``: sent by ``until_tick`` and not received. ``wrong``: received twice, in another order, or
            never sent.
    """
    counts = {"sent": 0, "received": 0, "missing": 0, "wrong": 0}
    for expected, got in zip(sent, received, strict=True):
        due = sum(tick <= until_tick for tick, _ in expected)
        right = sum(ours == hit for ours, (_, hit) in zip(got, expected, strict=False))
        counts["sent"] += len(expected)
        counts["received"] += len(got)
        counts["missing"] += max(due - len(got), 0)
        counts["wrong"] += len(got) - right
    return counts
