"""The names that others may use of the load test; a change of this list is a change of its public surface."""

from __future__ import annotations

import ast
from pathlib import Path

import loadtest

PUBLIC = {
    "command": {
        "BAD_SCENARIO",
        "ERROR",
        "FAILED",
        "INTERRUPTED",
        "MAX_PLAYERS",
        "MAX_POPULATION",
        "PASSED",
        "check_outputs",
        "end_part",
        "report_outcome",
        "run_scenario",
        "say_needs",
        "why_not_floodable",
    },
    "errors": {
        "BackendError",
        "BackendRefusedError",
        "BackendUnavailableError",
        "BenchError",
        "BotWorkerEndedError",
        "CaseUnavailableError",
        "ChaosError",
        "ClientCrashedError",
        "LeftOutError",
        "LoadTestError",
        "MetricsError",
        "Mistake",
        "NetemUnavailableError",
        "NoMatchError",
        "PartError",
        "PlatformError",
        "PlayerInMatchError",
        "PlayerLostError",
        "ScenarioError",
        "SessionBrokenError",
        "SwarmError",
        "TargetError",
        "ThresholdError",
        "TokenExpiredError",
        "UnknownRegionError",
    },
    "flood.options": {"FloodOptions", "TargetFactory"},
    "flood.run": {"flood"},
    "http_target": {"HttpTarget", "MAX_TOLD", "NOT_FOUND", "PASSING"},
    "players.journey": {"MAX_REQUEUES", "run_player"},
    "report.html": {
        "Card",
        "FOLDED_ROWS",
        "LONG_TEXT",
        "TEMPLATES",
        "Verdict",
        "WIDE_COLUMNS",
        "left_out_card",
        "mark",
        "own_words",
        "paragraph",
        "part",
        "plot_card",
        "render_page",
        "render_template",
        "scenario_yaml",
        "table",
        "text_card",
    },
    "report.run_json": {"SCHEMA", "VERSION", "run_as_json", "write_run_json"},
    "report.run_page": {"REPEAT_NOTE", "render_report", "write_report"},
    "scenario.reader": {
        "MAX_BYTES",
        "SHIPPED",
        "load_scenario",
        "parse_scenario",
        "scenario_path",
        "shipped_names",
    },
    "target_loading": {"ABILITIES", "EXAMPLE", "STEPS", "load_target", "why_no_target"},
    "target": {
        "ANSWER_S",
        "Ask",
        "Connection",
        "CountsTickets",
        "GathersParties",
        "KeepsTickets",
        "Match",
        "Party",
        "PlayEnd",
        "Player",
        "QueueRequest",
        "RenewsMatches",
        "Roams",
        "SavesProgress",
        "Session",
        "Shop",
        "Target",
        "Ticket",
        "target_name",
    },
}


def defined(module: str) -> set[str]:
    """The public names that a module itself defines."""
    tree = ast.parse((Path(loadtest.__path__[0]) / f"{module.replace('.', '/')}.py").read_text())
    names: set[str] = set()
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return {name for name in names if not name.startswith("_") and name != "T"}


def test_the_public_surface_is_the_one_that_is_written_down() -> None:
    assert {module: defined(module) for module in PUBLIC} == PUBLIC


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    from loadtest import errors

    drawn = errors.__doc__ or ""
    for name in PUBLIC["errors"] - {"Mistake"}:
        assert name in drawn
        assert issubclass(getattr(errors, name), errors.LoadTestError)
