"""The report of a match: one JSON-ready dictionary, made between ticks, about once a second."""

from __future__ import annotations

from typing import Any

import numpy as np

from dedicated_server.protocol.datagrams import CONNECTED, REFUSALS
from dedicated_server.simulation.world import (
    ALIVE,
    CLAMPED_REWINDS,
    DEATHS,
    EVENTS_LOST,
    HITS,
    KILLS,
    REFUSED_INPUTS,
    SHOTS,
)
from dedicated_server.tick.engine import Engine

KILOBIT_BYTES = 125.0


def build_report(engine: Engine) -> dict[str, Any]:
    """Describe the engine's match so far. Times are microseconds of the last minute.

    Counts begin with the match.

    ``dropped`` counts datagrams that were not accepted, by the wire's reason, and those that found no room in
    a socket's buffer. ``players_backfilled`` counts the players who came into free slots of the running
    match. ``players_joined`` and ``players_lost`` still count the players who had those slots before them.
    ``players_kicked`` had to leave, and are not among the lost.
    ``tokens_expired`` counts how often clients were told that their connect token has expired.
    ``sides``: teams of the mode, 0 where everybody plays alone; ``scores``: of each score field, what each
    team has.
    ``snapshot_every``: 1 while each client gets a snapshot in each tick; 2 or 4 under overload.
    """
    world, wire, watch, card = engine.match.world, engine.wire, engine.stage_timer, engine.config.card
    traffic = engine.transport.traffic
    played_s = max(engine.tick_number, 1) / engine.config.tick_hz
    kbit = engine.sent_bytes[engine.joined] / KILOBIT_BYTES / played_s
    dropped = {reason: count for reason, count in wire.drops_by_reason().items() if count}
    dropped |= {
        reason: count
        for reason, count in (("inbox_full", traffic.rx_dropped), ("send_refused", traffic.tx_dropped))
        if count
    }
    return {
        "match_id": str(engine.config.match_id),
        "mode": engine.config.mode,
        "phase": engine.phase.name.lower(),
        "tick": engine.tick_number,
        "missed_ticks": engine.missed_ticks,
        "tick_us": watch.tick_us(),
        "late_us": watch.late_us(),
        "stages_us": watch.stages_us(),
        "histograms": watch.histograms(),
        "load": round(engine.overload.load, 4),
        "snapshot_every": engine.overload.snapshot_every,
        "snapshot_rate_lowered": engine.overload.lowered,
        "players_expected": len(engine.match.roster),
        "players_connected": int(np.count_nonzero(wire.status == CONNECTED)),
        "players_joined": int(np.count_nonzero(engine.joined)) + engine.slots.departed_joined,
        "players_alive": int(np.count_nonzero(world.status[ALIVE])),
        "players_lost": int(np.count_nonzero(engine.lost)) + engine.slots.departed_lost,
        "players_kicked": int(np.count_nonzero(engine.slots.kicked)) + engine.slots.departed_kicked,
        "players_backfilled": engine.slots.backfilled,
        "sides": card.teams,
        "scores": {field.name: world.scores[row].tolist() for row, field in enumerate(card.score)},
        "kills": int(world.status[KILLS].sum()),
        "deaths": int(world.status[DEATHS].sum()),
        "shots": int(world.status[SHOTS].sum()),
        "hits": int(world.status[HITS].sum()),
        "inputs_refused": int(world.status[REFUSED_INPUTS].sum()),
        "rewinds_clamped": int(world.status[CLAMPED_REWINDS].sum()),
        "kbit_per_client": {
            "p50": round(float(np.median(kbit)), 1) if len(kbit) else 0.0,
            "max": round(float(kbit.max()), 1) if len(kbit) else 0.0,
        },
        "rx_datagrams": traffic.rx_datagrams,
        "tx_datagrams": traffic.tx_datagrams,
        "dropped": dropped,
        "tokens_expired": int(wire.state.counters[REFUSALS]),
        "events_emitted": engine.events_emitted,
        "events_lost": int(world.counters[EVENTS_LOST]),
    }
