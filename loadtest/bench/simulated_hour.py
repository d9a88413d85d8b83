"""``simulated-hour``: an hour of a simulated day with five rule sets, and the rule set that ships by the fast
kernel and by its plan.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from importlib import resources
from typing import Any, Final

import numpy as np

from loadtest.scenario.reader import parse_scenario
from loadtest.simulate.plan import plan
from loadtest.simulate.simulator import Run, Setup, simulate
from loadtest.simulate.world import TicketState

DOCUMENTS: Final = resources.files("loadtest.bench.matchmaker.rule_sets") / "documents"
# Each mode's rule set, players of a full match, and what players bring beside their rating.
MODES: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "fives_open": (10, {}),
    "even_fives": (10, {}),
    "room_code": (4, {"code": {"one_of": {f"room {number}": 1.0 for number in range(8)}}}),
    "playlist_party": (8, {"playlist": {"one_of": {"mixed": 3.0, "ranked": 2.0, "casual": 1.0}}}),
    "ladder_fours": (8, {"ladder": {"one_of": {"bronze": 3.0, "silver": 2.0, "gold": 1.0}}}),
}
FIVES: Final = {"teams_of_five": {"players": 10, "duration_s": 300}}
LOW_POPULATION: Final = 4  # column of ``matching_cycle.RuleTable.numbers``
SETTLED_S: Final = 600.0  # in which the arrivals of the second part come


def run(players: int = 40_000, fives: int = 6_000, seed: int = 1) -> dict[str, Any]:
    """Simulate both.

    Args:
        players: in the hour, of all five modes.
        fives: of the rule set that ships.
        seed: of both scenarios.

    Returns:
        What is printed: a point a mode, how many queues are lost (modes that matched nobody, or whose oldest
            ticket was still waiting at the end), and the waits of the fives by kernel and by plan with their
            ratios: as many as said, and half as many (``sparse``).

    Where few players search, the kernel's limits widen sooner than a rule set's expansions say
    (``Rules.max_low_population_factor``); a plan keeps to the expansions. The ratios of ``sparse`` are
    therefore to the kernel's waits by the clock alone, with a factor of 1; its waits as it ships stand beside
    them. They are not judged: the latest twentieth are so few that with 3,000 fives the ratio of p95 is
    1.01 to 1.12 over four seeds.
    """
    begun = time.perf_counter()
    modes = {
        name: {
            "share": 1.0 / len(MODES),
            "players": size,
            "duration_s": 300,
            "rules": str(DOCUMENTS / f"{name}.json"),
            "attributes": attributes,
        }
        for name, (size, attributes) in MODES.items()
    }
    hour = simulate(plan(_scenario("hour", modes, players, 3_600.0, seed, curve="daily")))
    points = [_of_mode(hour, number, name) for number, name in enumerate(MODES)]
    took_s = time.perf_counter() - begun
    waits = _of_fives(fives, seed)
    sparse = _of_fives(fives // 2, seed)
    ratios = _ratios(waits, "kernel")
    sparse_ratios = _ratios(sparse, "kernel_by_the_clock")
    return {
        "bench": "simulated-hour",
        "points": points,
        "virtual_s": round(hour.virtual_s, 1),
        "wall_s": round(took_s, 1),
        "queues": len(points),
        "queues_lost": sum(point["lost"] for point in points),
        "fives_wait_s": waits,
        "plan_over_kernel": ratios,
        "sparse_wait_s": sparse,
        "sparse_plan_over_kernel_by_the_clock": sparse_ratios,
        "within_5_percent": all(abs(ratio - 1.0) <= 0.05 for ratio in ratios.values()),
    }


def _of_fives(players: int, seed: int) -> dict[str, dict[str, float]]:
    """Waits of the rule set that ships, by what forms its matches."""

    def setup(by_plan: tuple[str, ...] = ()) -> Setup:
        return plan(_scenario("fives", FIVES, players, SETTLED_S, seed), by_plan=by_plan)

    shipped = setup()
    numbers = shipped.rules.numbers.copy()
    numbers[:, LOW_POPULATION] = 1.0
    by_the_clock = replace(setup(), rules=shipped.rules._replace(numbers=numbers))
    runs = {"kernel": shipped, "kernel_by_the_clock": by_the_clock, "plan": setup(tuple(FIVES))}
    return {name: _waits(simulate(each)) for name, each in runs.items()}


def _ratios(waits: dict[str, dict[str, float]], kernel: str) -> dict[str, float]:
    return {name: round(waits["plan"][name] / waits[kernel][name], 3) for name in ("p50", "p95")}


def _scenario(
    name: str, modes: dict[str, Any], players: int, over_s: float, seed: int, curve: str = "constant"
) -> Any:
    arrivals: dict[str, Any] = {"curve": curve, "over_s": over_s}
    if curve == "daily":
        arrivals |= {"day_s": over_s, "peak_s": over_s / 2, "swing": 0.8}
    document = {
        "name": name,
        "seed": seed,
        "players": {
            "count": players,
            "locations": {"west-europe": 0.5, "east-us": 0.4, "southeast-asia": 0.1},
        },
        "arrivals": arrivals,
        "modes": modes,
        "fleet": {"regions": ["west-europe", "east-us", "southeast-asia"], "buffer": 200, "max": 6_000},
        "behaviours": {"patience_s": 300},
    }
    return parse_scenario(json.dumps(document), name)


def _of_mode(run: Run, mode: int, name: str) -> dict[str, Any]:
    tickets, records = run.world.tickets, run.world.records
    mine = (tickets.mode == mode) & (records.state != TicketState.NOT_ARRIVED)
    matched = mine & (records.state == TicketState.MATCHED)
    waits_s = (records.assigned_s - tickets.arrives_s)[matched]
    waiting = int((mine & (records.state == TicketState.WAITING)).sum())
    return {
        "mode": name,
        "players": int(tickets.size[mine].sum()),
        "matched": int(tickets.size[matched].sum()),
        "abandoned": int(tickets.size[mine & (records.state == TicketState.ABANDONED)].sum()),
        "wait_p50_s": round(float(np.percentile(waits_s, 50)), 3) if len(waits_s) else None,
        "wait_p95_s": round(float(np.percentile(waits_s, 95)), 3) if len(waits_s) else None,
        "cut": run.setup.planned[mode].cut if mode in run.setup.planned else 0,
        "lost": bool(not len(waits_s) or waiting > 0),
    }


def _waits(run: Run) -> dict[str, float]:
    records = run.world.records
    matched = records.state == TicketState.MATCHED
    waits_s = (records.assigned_s - run.world.tickets.arrives_s)[matched]
    return {f"p{share}": round(float(np.percentile(waits_s, share)), 3) for share in (50, 95)} | {
        "matched": int(matched.sum())
    }
