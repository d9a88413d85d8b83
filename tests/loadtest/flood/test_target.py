"""Floods of a target in memory: the ledger by its counters, what is left out, and what ends a run."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from launchday.settings import Settings
from launchday.terminal import Terminal
from loadtest.command import BAD_SCENARIO, ERROR, FAILED, PASSED, run_scenario
from loadtest.errors import BackendUnavailableError, LeftOutError
from loadtest.flood.options import FloodOptions
from loadtest.flood.outcome import RunOutcome
from loadtest.flood.surroundings import foreign_target
from loadtest.flood.surroundings.target_ledger import BotCounts, balance_target
from loadtest.flood.surroundings.unmeasured import not_on_target, refuse_target
from loadtest.players.player_records import PlayerState
from loadtest.report.run_json import run_as_json
from loadtest.scenario.model import Scenario
from loadtest.scenario.reader import SHIPPED, load_scenario, shipped_names
from tests.loadtest.players.fake_target import CountingTarget, FakeTarget


def scenario_of(players: int = 8, **sections: Any) -> Scenario:
    return Scenario.model_validate(
        {
            "name": "theirs",
            "players": {"count": players, "locations": {"west-europe": 1.0}},
            "arrivals": {"curve": "constant", "over_s": 0},
            "modes": {"their_mode": {"players": 2, "duration_s": 5}},
            **sections,
        }
    )


async def flooded(
    make: Any, scenario: Scenario, options: FloodOptions | None = None
) -> tuple[int, str, list[RunOutcome]]:
    outcomes: list[RunOutcome] = []
    output = io.StringIO()
    code = await run_scenario(
        scenario,
        Settings(),
        options or FloodOptions(target=make),
        console=Terminal(file=output, width=200),
        on_outcome=outcomes.append,
    )
    return code, output.getvalue(), outcomes


async def test_a_target_is_flooded_without_anything_of_ours() -> None:
    faults = [{"do": "kill_server", "at_s": 1}, {"do": "reconnect_all", "at_s": 0}]
    scenario = scenario_of(faults=faults, fleet={"buffer": 3}, objectives={"tick_p99_ms": 10})
    code, said, [outcome] = await flooded(CountingTarget, scenario)
    assert code in (PASSED, FAILED)  # by the machine's own pace
    assert outcome.records.count(PlayerState.DONE) == 8
    assert outcome.target == "CountingTarget"
    assert outcome.ledger.balanced
    assert [line.name for line in outcome.ledger.lines] == [
        "tickets",
        "ends of tickets",
        "matched",
        "matches",
        "ends of matches",
    ]
    assert outcome.left_out == [
        "faults kill_server: the parts of a target are out of reach",
        "fleet.buffer: a target has a matchmaker and game servers of its own",
        "objectives.tick_p99_ms: only our own game servers tell it",
    ]
    names = [objective.name for objective in outcome.objectives]
    assert "tick p99" not in names
    assert outcome.faults_missed == 0
    assert "left out:" in said
    told = run_as_json(outcome)
    assert told["left_out"] == outcome.left_out
    assert told["ledger"]["balanced"] is True


async def test_a_target_that_counts_nothing_has_no_ledger_to_fail() -> None:
    _, said, [outcome] = await flooded(FakeTarget, scenario_of())
    assert outcome.ledger.lines == ()
    assert "unbalanced ledger lines" not in [objective.name for objective in outcome.objectives]
    assert "ledger balances" not in outcome.verdict
    assert "and the ledger" not in said


async def test_a_target_that_forgets_a_ticket_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_target, "SETTLE_TIMEOUT_S", 0.01)

    class Forgetful(CountingTarget):
        async def counters(self) -> Mapping[str, int]:
            counts = dict(await super().counters())
            return {**counts, "queued": 5 + max(0, counts["queued"] - 1)}

    code, _, [outcome] = await flooded(Forgetful, scenario_of())
    assert code == FAILED
    off = {line.name: line.difference for line in outcome.ledger.lines if not line.balanced}
    assert off == {"tickets": 1, "ends of tickets": 1}


async def test_counters_that_fail_at_the_end_interrupt_and_at_the_start_prevent_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(foreign_target, "SETTLE_TIMEOUT_S", 0.01)

    class Dying(CountingTarget):
        async def counters(self) -> Mapping[str, int]:
            if self.requests:
                raise BackendUnavailableError("gone")
            return await super().counters()

    class Dead(CountingTarget):
        async def counters(self) -> Mapping[str, int]:
            raise OSError("no route")

    code, said, [outcome] = await flooded(Dying, scenario_of())
    assert (code, outcome.interrupted) == (ERROR, "Dying: gone")
    code, said, outcomes = await flooded(Dead, scenario_of())
    assert (code, outcomes) == (ERROR, [])
    assert said.splitlines()[-1] == "Dead: counters: OSError: no route"


async def test_a_target_that_cannot_be_made_or_entered_is_one_line() -> None:
    class Unmade(FakeTarget):
        def __init__(self) -> None:
            raise KeyError("MY_URL")

    class Closed(FakeTarget):
        async def __aenter__(self) -> None:
            raise ConnectionRefusedError("nobody there")

        async def __aexit__(self, *_: object) -> None: ...

    code, said, _ = await flooded(Unmade, scenario_of())
    assert (code, said.splitlines()[-1].endswith("Unmade cannot be made: KeyError: 'MY_URL'")) == (
        BAD_SCENARIO,
        True,
    )
    code, said, _ = await flooded(Closed, scenario_of())
    assert code == ERROR
    assert said.splitlines()[-1].endswith("Closed cannot be entered: ConnectionRefusedError: nobody there")


async def test_a_target_is_entered_before_and_left_after_its_players() -> None:
    seen: list[str] = []

    class Entered(FakeTarget):
        async def __aenter__(self) -> FakeTarget:
            seen.append("entered")
            return self

        async def __aexit__(self, *_: object) -> None:
            seen.extend((*self.asked[:1], "left"))

    await flooded(Entered, scenario_of(2))
    assert seen == ["entered", "log_in", "left"]


async def test_a_target_that_cannot_be_left_costs_no_figure() -> None:
    class Stuck(FakeTarget):
        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: object) -> None:
            raise RuntimeError("still in use")

    _, said, [outcome] = await flooded(Stuck, scenario_of(2))
    assert outcome.records.count(PlayerState.DONE) == 2
    assert "Stuck could not be left: RuntimeError: still in use" in said


async def test_what_is_asked_for_in_vain_is_named_and_with_strict_a_mistake() -> None:
    full = scenario_of(
        links={"shares": {"satellite": 1.0}},
        behaviours={"shares": {"shopper": 0.5, "camper": 0.5}, "rest_s": 1.0},
        objectives={"purchase_p95_s": 1},
    )
    phrases = not_on_target(full, FakeTarget)
    assert any(
        phrase.startswith("behaviours.rest_s, behaviours shopper, behaviours camper: ") for phrase in phrases
    )
    assert any(phrase.startswith("links satellite: ") for phrase in phrases)
    assert "behaviours that shop, objectives.purchase_p95_s: the target has no shop" in phrases
    with pytest.raises(LeftOutError, match="satellite"):
        refuse_target(full, FakeTarget)
    assert not_on_target(scenario_of(), FakeTarget) == []
    for name in shipped_names():
        assert all(
            ": " in phrase for phrase in not_on_target(load_scenario(SHIPPED / f"{name}.yaml"), FakeTarget)
        )


async def test_stopping_a_run_lets_everybody_leave_and_counts_them(tmp_path: Path) -> None:
    stop, target = asyncio.Event(), FakeTarget()

    async def until_stopped() -> None:
        stop.set()
        await asyncio.Event().wait()

    target.does["wait"] = [until_stopped, until_stopped]
    outcomes: list[RunOutcome] = []
    code = await run_scenario(
        scenario_of(2),
        Settings(),
        FloodOptions(target=lambda: target, json=tmp_path / "figures.json"),
        console=Terminal(file=io.StringIO()),
        stop_event=stop,
        on_outcome=outcomes.append,
    )
    assert code == 130
    assert target.asked.count("cancel") == outcomes[0].records.count(PlayerState.STOPPED) == 2
    assert (tmp_path / "figures.json").exists()


def test_lines_are_made_of_the_counters_that_are_there() -> None:
    bots = BotCounts(tickets=3, matched=2, gave_up=1, matches=frozenset({"m"}))
    assert balance_target({}, bots).lines == ()
    assert [line.name for line in balance_target({"queued": 3, "matched": 2}, bots).lines] == [
        "tickets",
        "matched",
    ]
    whole = balance_target({"queued": 3, "matched": 2, "cancelled": 1, "odd": 9}, bots)
    assert whole.balanced
    assert whole.lines[1].entries[1].detail == "2 + 1"
    assert not balance_target({"matches_formed": 1, "matches_ended": 0}, bots).balanced
