"""``brownout``: a machine that is busy, or that stands still here and there, from second 20 to 60 of a flood.

Nothing dies, everything is late. A backend that takes late for dead starts another server for each match, and
so makes itself later still: 14 matches formed and 635 started is what this bench was written for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loadtest.bench.harness.statistics import ratio
from loadtest.bench.options import Options
from loadtest.bench.resilience.flooding import flood_figures, play, shipped
from loadtest.bench.resilience.harness import Limit
from loadtest.flood.outcome import RunOutcome
from loadtest.players.player_records import PlayerRecords
from loadtest.scenario.faults import Busy, Fault, Pause

FROM_S, FOR_S = 20.0, 40.0
RESTS_S = 15.0  # from the end of the fault until what is then asked for has to go as before
RUNS = ("busy_8", "busy_40", "stopped")

LIMITS = (
    Limit("started_over_formed", at_most=1.1),
    Limit("ledger_balanced", at_least=1),
    Limit("p95_after_over_before", at_most=1.5),
)


def run(options: Options) -> dict[str, Any]:
    """Play the three runs; return sums of the matches, and of the rest the worst.

    ``options.only`` chooses from RUNS, ``options.seconds`` is how long the fault lasts.
    """
    for_s = FOR_S if options.seconds is None else options.seconds
    names, scenario = options.chosen(RUNS), shipped("brownout", options)
    outcomes = play(*(scenario.model_copy(update={"faults": faults_of(name, for_s)}) for name in names))
    return summed_up({name: figures(outcome, for_s) for name, outcome in zip(names, outcomes, strict=True)})


def faults_of(name: str, for_s: float) -> list[Fault]:
    """The faults of one of RUNS."""
    match name:
        case "busy_8":
            return [Busy(do="busy", at_s=FROM_S, processes=8, for_s=for_s)]
        case "busy_40":
            return [Busy(do="busy", at_s=FROM_S, processes=40, for_s=for_s)]
        case _:
            return [Pause(do="pause", at_s=FROM_S, part="game_servers", every=3, for_s=4.0, window_s=for_s)]


def summed_up(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of all runs as those of one: matches are added, of ratios and ledgers the worst counts."""
    ratios = [found["p95_after_over_before"] for found in runs.values()]
    return {
        "matches_formed": sum(found["matches_formed"] for found in runs.values()),
        "matches_started": sum(found["matches_started"] for found in runs.values()),
        "started_over_formed": max(found["started_over_formed"] for found in runs.values()),
        "ledger_balanced": all(found["ledger_balanced"] for found in runs.values()),
        "p95_after_over_before": None if None in ratios else max(ratios),
        "runs": dict(runs),
    }


def figures(outcome: RunOutcome, for_s: float) -> dict[str, Any]:
    """What one run shows."""
    found = flood_figures(outcome)
    before_s, after_s = waits_around(outcome.records, FROM_S, FROM_S + for_s + RESTS_S)
    p95_before_s, p95_after_s = percentile_s(before_s, 95), percentile_s(after_s, 95)
    compared = p95_before_s is not None and p95_after_s is not None
    return found | {
        "started_over_formed": ratio(found["matches_started"], found["matches_formed"]),
        "servers_stopped": sum(len(record.stopped) for record in outcome.fault_records),
        "tickets_before": len(before_s),
        "tickets_after": len(after_s),
        "p95_before_s": p95_before_s,
        "p95_after_s": p95_after_s,
        "p95_after_over_before": ratio(p95_after_s or 0.0, p95_before_s or 0.0) if compared else None,
    }


Observed = tuple[float, bool]
"""Seconds of a wait, and whether it ended then (False: it lasted at least as long)."""


def waits_around(
    records: PlayerRecords, begins_s: float, rested_s: float
) -> tuple[list[Observed], list[Observed]]:
    """Return the waits of tickets made before a fault began, and of those made once all should be well again.

    One made before that has not ended when the fault begins is known to last until then; what came after says
    nothing about the time before. So is one that ended without a match, as long as its player had patience.
    """
    waits = [(wait, True) for wait in records.waits] + [(wait, False) for wait in records.vain_waits]
    before = [
        (min(wait.until_s, begins_s) - wait.since_s, matched and wait.until_s <= begins_s)
        for wait, matched in waits
        if wait.since_s < begins_s
    ]
    after = [(wait.seconds, matched) for wait, matched in waits if wait.since_s >= rested_s]
    return before, after


def percentile_s(observed: Sequence[Observed], point: float) -> float | None:
    """Return a percentile of waits of which some are known only to be longer (Kaplan and Meier, 1958).

    Where too few have ended to reach it, it is the longest that is known; None of nothing.
    """
    if not observed:
        return None
    waits = sorted(observed, key=lambda wait: (wait[0], not wait[1]))
    lasting = 1.0
    for index, (seconds, ended) in enumerate(waits):
        lasting *= 1.0 - ended / (len(waits) - index)
        if lasting <= 1.0 - point / 100.0 + np.finfo(float).eps * len(waits):
            return round(seconds, 3)
    return round(waits[-1][0], 3)
