"""Modes of any rule set in virtual time: by the plan that a director would match by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from loadtest.scenario.reader import load_scenario
from loadtest.simulate.plan import RuleSetError, plan
from loadtest.simulate.simulator import Run, Setup, simulate
from loadtest.simulate.world import SimulatedWorld, TicketState

ROOMS = {
    "ruleLanguageVersion": "1.0",
    "playerAttributes": [
        {"name": "code", "type": "string"},
        {"name": "level", "type": "number", "default": 5},
    ],
    "teams": [
        {"name": "left", "minPlayers": 2, "maxPlayers": 2},
        {"name": "right", "minPlayers": 2, "maxPlayers": 2},
    ],
    "rules": [
        {"name": "Same", "type": "batchDistance", "batchAttribute": "code"},
        {"name": "Alike", "type": "batchDistance", "batchAttribute": "level", "maxDistance": 10},
    ],
}
CODES = {"code": {"one_of": {"a": 2.0, "b": 1.0}}, "level": {"mean": 20.0, "spread": 4.0, "digits": 0}}


def setup_of(folder: Path, modes: dict[str, Any], players: int = 400, by_plan: tuple[str, ...] = ()) -> Setup:
    (folder / "rooms.json").write_text(json.dumps(ROOMS))
    document = {
        "name": "planned",
        "players": {"count": players, "locations": {"west-europe": 0.5, "east-us": 0.5}},
        "arrivals": {"curve": "constant", "over_s": 120},
        "modes": modes,
        "fleet": {"regions": ["west-europe", "east-us"], "buffer": 40, "max": 300},
        "behaviours": {"matches": 1.5, "patience_s": 60},
    }
    (folder / "planned.yaml").write_text(yaml.safe_dump(document))
    return plan(load_scenario(folder / "planned.yaml"), by_plan=by_plan)


def waits_of(run: Run) -> NDArray[np.float64]:
    world = run.world
    matched = world.records.state == TicketState.MATCHED
    waits: NDArray[np.float64] = (world.records.assigned_s - world.tickets.arrives_s)[matched]
    return waits


def members(world: SimulatedWorld, mode: int) -> list[list[int]]:
    """The tickets of each match of a mode."""
    of = world.records.match
    return [
        np.flatnonzero(of == match).tolist()
        for match in np.unique(of[(of >= 0) & (world.tickets.mode == mode)]).tolist()
    ]


def test_every_match_holds_the_rules_and_nobody_is_forgotten(tmp_path: Path) -> None:
    modes = {"rooms": {"players": 4, "duration_s": 20, "rules": "rooms.json", "attributes": CODES}}
    setup = setup_of(tmp_path, modes)
    run = simulate(setup)
    book = setup.planned[0]
    found = members(run.world, 0)
    assert len(found) > 50
    for tickets in found:
        brought = [
            player.attributes for ticket in tickets for player in book._ticket_of(run.world, ticket).players
        ]
        levels = [each["level"] for each in brought]
        assert len(brought) == 4
        assert len({each["code"] for each in brought}) == 1
        assert max(levels) - min(levels) <= 10  # type: ignore[type-var, operator]
    ended = run.world.records.state[: int(run.world.tickets.drawn_count[0])]
    assert not (ended == TicketState.WAITING).any()


def test_a_seed_gives_the_same_run_with_a_plan_too(tmp_path: Path) -> None:
    modes = {"rooms": {"players": 4, "duration_s": 20, "rules": "rooms.json", "attributes": CODES}}
    first, second = (simulate(setup_of(tmp_path, modes)).world.records for _ in range(2))
    np.testing.assert_array_equal(first.assigned_s, second.assigned_s)
    np.testing.assert_array_equal(first.match, second.match)


def test_the_shipped_rule_set_gives_like_waits_by_the_kernel_and_by_its_plan(tmp_path: Path) -> None:
    modes = {"teams_of_five": {"players": 10, "duration_s": 60}}
    waits = [waits_of(simulate(setup_of(tmp_path, modes, 2_000, by))) for by in ((), ("teams_of_five",))]
    assert len(waits[1]) == pytest.approx(len(waits[0]), rel=0.02)
    for share in (50, 95):
        by_kernel, by_plan = (float(np.percentile(each, share)) for each in waits)
        assert by_plan == pytest.approx(by_kernel, rel=0.1)


def test_modes_of_both_kinds_share_a_fleet(tmp_path: Path) -> None:
    modes = {
        "teams_of_five": {"share": 0.5, "players": 10, "duration_s": 20},
        "rooms": {"share": 0.5, "players": 4, "duration_s": 20, "rules": "rooms.json", "attributes": CODES},
    }
    world = simulate(setup_of(tmp_path, modes, 600)).world
    assert len(members(world, 0)) > 5
    assert len(members(world, 1)) > 20


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({}, "code is missing"),
        ({"code": {"mean": 4.0}}, "code is a string, and number is drawn"),
        (CODES | {"rank": {"mean": 1.0}}, "rank is not among"),
    ],
)
def test_attributes_that_do_not_suit_the_rule_set_are_named(
    tmp_path: Path, attributes: dict[str, Any], told: str
) -> None:
    modes = {"rooms": {"players": 4, "duration_s": 20, "rules": "rooms.json", "attributes": attributes}}
    with pytest.raises(RuleSetError, match=told):
        setup_of(tmp_path, modes)
