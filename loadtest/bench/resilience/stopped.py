"""``stopped``: services stand still for 6 and for 30 s, at random moments of a flood, and go on.

A process that was stopped sees nothing of the time in between: what it then takes for silence of others was
its own. Nobody may lose a ticket or a match by that, nor get two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from loadtest.bench.options import Options
from loadtest.bench.resilience.flooding import flood_figures, play
from loadtest.bench.resilience.harness import Limit
from loadtest.flood.ledger import Ledger
from loadtest.flood.outcome import RunOutcome
from loadtest.players.player_records import PlayerRecords, PlayerState
from loadtest.scenario.faults import Pause
from loadtest.scenario.model import Scenario

PARTS = ("director", "matchmaker", "fleet", "meta_service", "write_behind")
STOPS_S = (6.0, 30.0)
FIRST_S = 15.0  # until the first matches play
GAPS_S = (4.0, 14.0)  # from the end of a stop to the next
PLAYERS_PER_S = 1.4
MATCH_PLAYERS = 10

LIMITS = (
    Limit("tickets_lost", at_most=0),
    Limit("doubled", at_most=0),
    Limit("matches_ended", at_most=0),
    Limit("ledger_balanced", at_least=1),
)


def run(options: Options) -> dict[str, Any]:
    """Flood a backend whose services are stopped in turn.

    ``options.only`` chooses from PARTS, ``options.seconds`` is the length of every stop, and
    ``options.rounds`` the most stops.
    """
    lengths_s = STOPS_S if options.seconds is None else (options.seconds,)
    stops = drawn_stops(options.chosen(PARTS), lengths_s, options.rounds, np.random.default_rng(options.seed))
    (outcome,) = play(scenario_with(stops, options))
    return figures(outcome)


def drawn_stops(
    parts: Sequence[str], lengths_s: Sequence[float], count: int | None, rng: np.random.Generator
) -> list[Pause]:
    """Draw the order and the moments of the stops: each part for each length, one after the other.

    Args:
        parts: of PARTS.
        lengths_s: seconds of the stops.
        count: the most stops; None: all.
        rng: of the order and the moments.
    """
    pairs = [(part, for_s) for part in parts for for_s in lengths_s]
    order = rng.permutation(len(pairs))[:count]
    stops, at_s = [], FIRST_S
    for index in order:
        part, for_s = pairs[int(index)]
        at_s += float(rng.uniform(*GAPS_S))
        stops.append(Pause.model_validate({"do": "pause", "at_s": at_s, "for_s": for_s, "part": part}))
        at_s += for_s
    return stops


def scenario_with(stops: Sequence[Pause], options: Options) -> Scenario:
    """Players who arrive as long as services are stopped, with patience for the longest stop."""
    last_s = max(stop.at_s + stop.for_s for stop in stops)
    players = round(PLAYERS_PER_S * last_s) if options.players is None else options.players
    scenario = Scenario.model_validate(
        {
            "name": "stopped",
            "seed": options.seed,
            "players": {"count": players, "locations": {"west-europe": 0.5, "east-us": 0.5}},
            "arrivals": {"curve": "constant", "over_s": last_s},
            "modes": {
                "battle_royale": {
                    "players": MATCH_PLAYERS,
                    "min_players": 2,
                    "fill_s": 10.0,
                    "duration_s": 25.0,
                }
            },
            "fleet": {"buffer": 3, "max": 32},
            "behaviours": {
                "patience_s": 240.0,
                "retries": {"tries": 40, "pause_s": 0.25, "growth": 1.5, "max_pause_s": 3.0},
            },
            "objectives": {"wait_p95_s": None, "players_lost": 0},
        }
    )
    return scenario.model_copy(update={"faults": list(stops)})


def figures(outcome: RunOutcome) -> dict[str, Any]:
    """What the flood shows."""
    records = outcome.records
    return {
        "tickets_lost": tickets_lost(records),
        "doubled": doubled(records, outcome.ledger),
        # Who queued again had lost a match that they were in.
        "matches_ended": max(outcome.matches.failed, int(records.requeues.max(initial=0))),
        "stops": len(outcome.fault_records),
        **flood_figures(outcome),
        "stopped": [
            {"part": record.fault.model_dump()["part"], "began_s": record.began_s, "ended_s": record.ended_s}
            for record in outcome.fault_records
        ],
    }


def tickets_lost(records: PlayerRecords) -> int:
    """Players who did not play their match to its end: each had a ticket, and more patience than any stop."""
    return len(records) - records.count(PlayerState.DONE)


def doubled(records: PlayerRecords, ledger: Ledger) -> int:
    """Slots of matches that two players were given, and check-outs beyond those of players' matches."""
    slots = Counter((wait.match_id, wait.entity) for wait in records.waits)
    twice = sum(times - 1 for times in slots.values())
    checked_out = {line.name: line.entries[0].count for line in ledger.lines}.get("check-outs", 0)
    return twice + max(0, checked_out - len(records.waits))
