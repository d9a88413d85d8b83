"""The report of a match: one JSON-ready dictionary, about once a second.

What changes with every tick is copied between two ticks, which takes some 40 µs; the rest of the work, which
takes a millisecond, may be done by another thread while ticks are played.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dedicated_server.protocol.datagrams import (
    CONNECTED,
    EXPIRED_TOLD,
    PINGS,
    PINGS_REFUSED,
    RELIABLE_OVERFLOW,
)
from dedicated_server.protocol.fields import TICK_HZ
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
from dedicated_server.tick.load import StageTimer
from launchday.percentiles import percentiles

KILOBIT_BYTES: Final = 125.0
TICK_US: Final = round(1_000_000 / TICK_HZ)
TICK_EDGES_US: Final = (
    250, 500, 750, 1000, 1250, 1500, 2000, 2500, 3000, 4000, 6000, 8000, 12_000, TICK_US
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReportDraft:
    """What a report is made from, as of a moment between two ticks.

    Attributes:
        plain: what is reported as it is.
        timer: of the running engine; it may be read while it times.
        world_status: int32[STATUS_ROWS, N], of `simulation.world`.
        connected: of each slot: bool[N].
        joined, lost, kicked: of each slot: bool[N].
        departed: how many of those who had a slot before had joined, were lost, were kicked.
        kbit: what was sent to each who joined, in kbit/s.
    """

    plain: dict[str, Any]
    timer: StageTimer
    world_status: npt.NDArray[np.int32]
    connected: npt.NDArray[np.bool_]
    joined: npt.NDArray[np.bool_]
    lost: npt.NDArray[np.bool_]
    kicked: npt.NDArray[np.bool_]
    departed: tuple[int, int, int]
    kbit: npt.NDArray[np.float64]

    def finish(self) -> dict[str, Any]:
        """Return the report, as `build_report` describes it. Any thread may call this, one at a time."""
        times = self.timer.times()
        joined, lost, kicked = self.departed
        status = self.world_status
        return {
            **self.plain,
            "tick_us": times.tick_us(),
            "late_us": times.late_us(),
            "stages_us": times.stages_us(),
            "tick_histogram": {"edges_us": list(TICK_EDGES_US), "counts": times.histogram(TICK_EDGES_US)},
            "histograms": self.timer.histograms(),
            "players_connected": int(np.count_nonzero(self.connected)),
            "players_joined": int(np.count_nonzero(self.joined)) + joined,
            "players_alive": int(np.count_nonzero(status[ALIVE])),
            "players_lost": int(np.count_nonzero(self.lost)) + lost,
            "players_kicked": int(np.count_nonzero(self.kicked)) + kicked,
            "kills": int(status[KILLS].sum()),
            "deaths": int(status[DEATHS].sum()),
            "shots": int(status[SHOTS].sum()),
            "hits": int(status[HITS].sum()),
            "inputs_refused": int(status[REFUSED_INPUTS].sum()),
            "rewinds_clamped": int(status[CLAMPED_REWINDS].sum()),
            "kbit_per_client": percentiles(self.kbit, 50, 100, digits=1, empty=0.0),
        }


def draft_report(engine: Engine) -> ReportDraft:
    """Copy what a report is made from. Call it between two ticks, from the thread that ticks."""
    wire, slots = engine.wire, engine.slots
    played_s = max(engine.tick_number, 1) / engine.config.tick_hz
    joined = engine.joined.copy()
    return ReportDraft(
        plain=_plain(engine),
        timer=engine.stage_timer,
        world_status=engine.match.world.status.copy(),
        connected=wire.status == CONNECTED,
        joined=joined,
        lost=engine.lost.copy(),
        kicked=slots.kicked.copy(),
        departed=(slots.departed_joined, slots.departed_lost, slots.departed_kicked),
        kbit=engine.sent_bytes[joined] / KILOBIT_BYTES / played_s,
    )


def build_report(engine: Engine) -> dict[str, Any]:
    """Describe the engine's match so far. Times are microseconds of the last minute.

    Counts begin with the match.

    ``dropped`` counts datagrams that were not accepted, by the wire's reason, and those that found no room in
    a socket's buffer. ``players_backfilled`` counts the players who came into free slots of the running
    match. ``players_joined`` and ``players_lost`` still count the players who had those slots before them.
    ``players_kicked`` had to leave, and are not among the lost.
    ``tokens_expired`` counts how often clients were told that their connect token has expired.
    ``words``: what clients were told, by reason: ``refusals``, ``farewells`` and those of them that were
    ``answered``, and ``unsealed`` answers. ``pings``: places shown to a team, and ``pings_refused``.
    ``sides``: teams of the mode, 0 where everybody plays alone; ``scores``: of each score field, what each
    team has.
    ``snapshot_every``: 1 while each client gets a snapshot in each tick; 2 or 4 under overload.
    """
    return draft_report(engine).finish()


def _plain(engine: Engine) -> dict[str, Any]:
    """Return what is reported as it is."""
    world, wire, card = engine.match.world, engine.wire, engine.config.card
    traffic = engine.transport.traffic
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
        "load": round(engine.overload.load, 4),
        "snapshot_every": engine.overload.snapshot_every,
        "snapshot_rate_lowered": engine.overload.lowered,
        "players_expected": len(engine.match.roster),
        "players_backfilled": engine.slots.backfilled,
        "sides": card.teams,
        "scores": {field.name: world.scores[row].tolist() for row, field in enumerate(card.score)},
        "rx_datagrams": traffic.rx_datagrams,
        "tx_datagrams": traffic.tx_datagrams,
        "dropped": dropped,
        "tokens_expired": int(wire.state.counters[EXPIRED_TOLD]),
        "words": wire.words_by_reason(),
        "pings": int(wire.state.counters[PINGS]),
        "pings_refused": int(wire.state.counters[PINGS_REFUSED]),
        "reliable_overflow": int(wire.state.counters[RELIABLE_OVERFLOW]),
        "events_emitted": engine.events_emitted,
        "events_lost": int(world.counters[EVENTS_LOST]),
    }
