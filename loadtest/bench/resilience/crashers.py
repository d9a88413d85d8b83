"""``crashers``: a fifth of the clients is killed in the middle of a match, and presses Play again at once.

The same players are flooded a second time without crashes: who did not crash must not wait longer for those
who did.
"""

from __future__ import annotations

from typing import Any

from launchday.percentiles import percentiles
from loadtest.bench.options import Options
from loadtest.bench.resilience.flooding import flood_figures, play, shipped
from loadtest.bench.resilience.harness import Limit
from loadtest.flood.outcome import RunOutcome
from loadtest.scenario.behaviour_profiles import profiles
from loadtest.scenario.model import Scenario

CRASHING = "crashing"

LIMITS = (
    Limit("servers_over_matches", at_most=1.0),
    Limit("extra_wait_s", at_most=5.0),
    Limit("back_s", at_most=3.0),
    Limit("back_share", at_least=0.95),
    Limit("ledger_balanced", at_least=1),
)


def run(options: Options) -> dict[str, Any]:
    """Play both floods and compare them."""
    scenario = shipped("crashers", options)
    crashing, calm = play(scenario, without_crashes(scenario))
    return figures(crashing, calm)


def without_crashes(scenario: Scenario) -> Scenario:
    """The same players, of whom no client crashes."""
    own = {
        **scenario.behaviours.own,
        CRASHING: profiles()[CRASHING].model_copy(update={"crashes_after_s": 0.0}),
    }
    return scenario.model_copy(update={"behaviours": scenario.behaviours.model_copy(update={"own": own})})


def figures(crashing: RunOutcome, calm: RunOutcome) -> dict[str, Any]:
    """What the two floods show.

    ``back_s``: p95 of the time from a crash until the player is in the match again. ``extra_wait_s``: by how
    much longer those wait who never crashed, at the 95th percentile.
    """
    found = flood_figures(crashing)
    records = crashing.records
    crashes = int(records.crashes.sum())
    back = percentiles(records.back_s, 50, 95, 100, digits=4)
    with_s, without_s = _p95_of_the_others(crashing, crashing), _p95_of_the_others(calm, crashing)
    return {
        "servers_used": crashing.matches.servers_used,
        "matches_formed": crashing.matches.formed,
        "servers_over_matches": crashing.matches.servers_used / max(1, crashing.matches.formed),
        "extra_wait_s": None if with_s is None or without_s is None else round(with_s - without_s, 3),
        "back_s": back["p95"],
        "back_share": len(records.back_s) / max(1, crashes),
        "crashes": crashes,
        "back": back,
        "wait_p95_s": with_s,
        "wait_p95_calm_s": without_s,
        **{name: found[name] for name in found if name not in ("servers_used", "matches_formed")},
        "calm": flood_figures(calm),
    }


def _p95_of_the_others(outcome: RunOutcome, crashing: RunOutcome) -> float | None:
    """p95 of the waits of bots whose clients did not crash in the flood ``crashing``."""
    waits = [wait.seconds for wait in outcome.records.waits if not crashing.records.crashes[wait.bot]]
    return percentiles(waits, 95, digits=4)["p95"]
