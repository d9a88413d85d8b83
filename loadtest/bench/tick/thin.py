"""``thin``: what players behind lines that are too thin are shown, in emulated time.

The real engine and the compiled clients play over emulated links (`harness.emulated_match`), so a figure is
the same on every machine. A queue of seconds lies before each thin line, as in a home's router.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.tick.engine import Engine
from loadtest.bench.harness.emulated_match import EmulatedMatch
from loadtest.bench.harness.run_config import CLUSTER, RunConfig
from loadtest.scenario.link_profiles import BYTES_A_KBIT

SETTLE_S: Final = 20.0  # players join, and lines are found too thin
DELAY_S: Final = 0.025  # each way
MAX_BEHIND_MS: Final = 500.0
MAX_RECOVERY_S: Final = 30.0
RADIO: Final = {"loss": 0.3, "jitter_s": 0.2, "detour": 0.05, "detour_s": 0.1}


@dataclass(frozen=True, slots=True)
class ThinLine:
    """The bottleneck towards a client: how much passes, and how much waits before it."""

    kbit_s: float = 30.0
    buffer_s: float = 5.0

    def link_fields(self) -> dict[str, float]:
        """The fields of ``links.LINK_DTYPE`` that make it."""
        return {"bytes_s": self.kbit_s * BYTES_A_KBIT, "buffer_s": self.buffer_s}


def run(
    players: int = 20,
    seconds: float = 60.0,
    line: ThinLine | None = None,
    *,
    seed: int = 1,
    engine: type[Engine] = Engine,
) -> dict[str, Any]:
    """Play one match in which every other player's line is too thin, and one over radio that is not.

    Returns what is printed. ``behind_ms``: how old it is what a player behind a thin line is shown, in every
    tick after the first seconds. ``queue_ms``: what waits before the line. ``recovered_s``: from when lines
    carry everything until each such player gets a snapshot in every tick. ``radio``: the share of snapshots
    that players are sent whose line loses 30 % and jitters by 200 ms, and has room.
    """
    line = line or ThinLine()
    config = RunConfig(players, CLUSTER, seed=seed)
    figures = _thin(config, seconds, line, engine)
    radio = _radio(config, seconds, engine)
    missed = []
    if not figures["behind_ms"]["max"] <= MAX_BEHIND_MS:
        missed.append(f"behind_ms max {figures['behind_ms']['max']}, ≤ {MAX_BEHIND_MS:g}")
    if figures["recovered_s"] is None or figures["recovered_s"] > MAX_RECOVERY_S:
        missed.append(f"recovered_s {figures['recovered_s']}, ≤ {MAX_RECOVERY_S:g}")
    if radio < 1.0:
        missed.append(f"radio {radio:g}, 1: a line that only loses was limited")
    return {
        "bench": "thin",
        "players": players,
        "seconds": seconds,
        "line_kbit_s": line.kbit_s,
        "line_buffer_s": line.buffer_s,
        **figures,
        "radio": radio,
        "missed": missed,
        "passed": not missed,
    }


def _thin(config: RunConfig, seconds: float, line: ThinLine, engine: type[Engine]) -> dict[str, Any]:
    usual = {"delay_s": DELAY_S}
    match = EmulatedMatch(config, up=usual, down=usual, engine=engine)
    thin = np.arange(config.players) % 2 == 0
    links = match.clients.down.links
    for name, value in line.link_fields().items():
        links[name][thin] = value
    behind, queued, others = [], [], []

    def watch() -> None:
        age_ms = match.behind_ms()
        behind.append(age_ms[thin])
        others.append(age_ms[~thin])
        queued.append(match.queued_ms()[thin])

    match.play(SETTLE_S)
    before = match.sent_bytes.copy()
    match.play(seconds, watch)
    kbit_s = (match.sent_bytes - before) / BYTES_A_KBIT / seconds
    links["bytes_s"] = 0.0
    return {
        "behind_ms": _p50_and_max(behind),
        "queue_ms": _p50_and_max(queued),
        "kbit_s": round(float(kbit_s[thin].mean()), 1),
        "others_behind_ms": _p50_and_max(others),
        "others_kbit_s": round(float(kbit_s[~thin].mean()), 1),
        "recovered_s": _recovery_s(match, thin),
    }


def _recovery_s(match: EmulatedMatch, thin: Any) -> float | None:
    """How long it takes until each of them gets a snapshot in every tick; None: longer than it may."""
    for tick in range(round(MAX_RECOVERY_S * TICK_HZ)):
        if (match.engine.wire.snapshot_every[thin] == 1).all():
            return round(tick / TICK_HZ, 1)
        match.play(1 / TICK_HZ)
    return None


def _radio(config: RunConfig, seconds: float, engine: type[Engine]) -> float:
    radio = {"delay_s": DELAY_S, **RADIO}
    match = EmulatedMatch(config, up=radio, down=radio, engine=engine)
    shares = []
    match.play(SETTLE_S)
    match.play(seconds, lambda: shares.append((1.0 / match.engine.wire.snapshot_every).mean()))
    return round(float(np.mean(shares)), 4)


def _p50_and_max(rows: list[Any]) -> dict[str, float]:
    """Infinite where somebody was shown nothing."""
    values = np.nan_to_num(np.concatenate(rows), nan=np.inf)
    return {"p50": round(float(np.median(values)), 1), "max": round(float(values.max()), 1)}
