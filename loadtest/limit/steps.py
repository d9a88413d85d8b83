"""One step of the search: the scenario's players at a steady rate, for long enough that a queue shows."""

from __future__ import annotations

from launchday.percentiles import percentiles
from loadtest.errors import BackendError
from loadtest.flood.outcome import RunOutcome
from loadtest.limit.search import Trial
from loadtest.report import incidents
from loadtest.scenario.arrivals import Constant
from loadtest.scenario.model import Scenario

STEPS_A_MEAN_RATE = 8  # the first step has so small a part of the scenario's own rate
MIN_STEP_S, MAX_STEP_S = 20.0, 300.0
# A queue that gets 5 % more than it serves grows by a second in twenty: so long an objective must be watched.
OBJECTIVE_TIMES = 20.0
MATCHES = 2.0  # servers are only all in use after a match's length


def first_rate(scenario: Scenario) -> float:
    """Players a second of the first step: an eighth of the scenario's mean rate."""
    return scenario.players.count / max(scenario.arrivals_s, 1.0) / STEPS_A_MEAN_RATE


def step_seconds(scenario: Scenario) -> float:
    """For how many seconds players arrive in each step."""
    objectives = scenario.objectives
    waits = [
        limit_s
        for limit_s in (objectives.wait_p95_s, objectives.login_p95_s, objectives.purchase_p95_s)
        if limit_s is not None
    ]
    wanted_s = max(OBJECTIVE_TIMES * min(waits, default=0.0), MATCHES * scenario.max_match_s)
    return min(max(wanted_s, MIN_STEP_S), MAX_STEP_S)


def step_scenario(scenario: Scenario, rate: float, step_s: float, number: int) -> Scenario:
    """The scenario of one step.

    Args:
        scenario: whose players, modes, fleet and objectives are meant. Its faults and its end are left out,
            for they would be the limit.
        rate: players a second.
        step_s: seconds in which they arrive.
        number: of the step; each has other players.
    """
    players = scenario.players.model_copy(update={"count": max(1, round(rate * step_s))})
    return scenario.model_copy(
        update={
            "players": players,
            "arrivals": Constant(over_s=step_s),
            "faults": [],
            "duration_s": None,
            "seed": (scenario.seed + number) % 2**63,
        }
    )


def trial_of(outcome: RunOutcome, rate: float) -> Trial:
    """What a flood says about its rate.

    Where the generator did not keep up, that is said and nothing else: the figures are its own. Raises
    BackendError where the flood was interrupted.
    """
    if outcome.interrupted:
        raise BackendError(f"the flood at {rate:.4g} players/s was interrupted: {outcome.interrupted}")
    late = [] if outcome.rate.reached else [outcome.rate.sentence]
    own = [*outcome.generator.saturation_reasons, *late]
    missed = [
        f"{each.name} {each.figure} (limit {each.limit:g} {each.unit}".rstrip() + ")"
        for each in outcome.objectives
        if not each.met
    ]
    return Trial(
        rate=rate,
        whose="generator" if own else "backend" if missed else "",
        reasons=tuple(own or missed),
        first=incidents.describe_first(outcome) if incidents.find_incidents(outcome) else "",
        wait_p95_s=percentiles(outcome.records.wait_times_s(), 95, digits=4)["p95"],
        players=len(outcome.records),
        note=outcome.busy_sentence,
    )
