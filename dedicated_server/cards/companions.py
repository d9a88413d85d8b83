"""The files beside a card: whether its rule set forms matches of its sizes, and its hooks take what they are
called with. Hooks are read, not run: their syntax tree says enough.
"""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path
from typing import Any, Final

from dedicated_server.cards.document import Unreadable, read_text
from dedicated_server.cards.mistakes import Mistake, meant

MAX_RULE_SET_BYTES: Final = 256 * 1024
MAX_HOOKS_BYTES: Final = 256 * 1024

# The functions that a mode may have, by how they are called.
HOOKS: Final = {
    "spawn": ("card", "teams", "radius_m", "generator"),
    "respawn": ("world", "player"),
    "step": ("world",),
    "on_death": ("world", "victim", "killer"),
    "over": ("world",),
    "placements": ("world",),
    "goal": ("view", "client"),
}


def rule_set_mistakes(path: Path, sizes: dict[str, Any]) -> list[Mistake]:
    """What is wrong with a rule set beside a card of these sizes.

    Read as far as teams and sizes go; the matchmaker's own reader knows the rest of the language.
    """
    file = path.name
    try:
        document = json.loads(read_text(path, MAX_RULE_SET_BYTES), parse_constant=_no_number)
    except Unreadable as unreadable:
        return unreadable.mistakes
    except json.JSONDecodeError as error:
        return [Mistake("", f"is not JSON: {error.msg}", error.lineno, file)]
    except (ValueError, RecursionError) as error:
        return [Mistake("", f"is not JSON: {error}", 1, file)]
    teams = document.get("teams") if isinstance(document, dict) else None
    if not isinstance(teams, list) or not teams:
        return [Mistake("teams", "must be a list of teams", 0, file)]
    mistakes: list[Mistake] = []
    shapes = [_shape(each, index, file, mistakes) for index, each in enumerate(teams)]
    if not mistakes:
        fewest = _fewest(document)
        mistakes = _disagreements([shape for shape in shapes if shape], fewest, sizes, file)
    return mistakes


def _no_number(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _shape(team: Any, index: int, file: str, mistakes: list[Mistake]) -> tuple[str, int, int, int] | None:
    """A team's name, fewest and most players, and copies; None and a mistake where it has none."""
    shape = team if isinstance(team, dict) else {}
    numbers = [
        shape.get(key, default) for key, default in (("minPlayers", -1), ("maxPlayers", -1), ("quantity", 1))
    ]
    for key, value in zip(("minPlayers", "maxPlayers", "quantity"), numbers, strict=True):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            mistakes.append(Mistake(f"teams/{index}/{key}", "must be a whole number", 0, file))
            return None
    return str(shape.get("name", "")), numbers[0], numbers[1], numbers[2]


def _fewest(document: dict[str, Any]) -> dict[str, int]:
    """The fewest players of teams after all expansions, by their names."""
    found: dict[str, int] = {}
    expansions = document.get("expansions", [])
    for expansion in expansions if isinstance(expansions, list) else []:
        target = expansion.get("target") if isinstance(expansion, dict) else None
        steps = expansion.get("steps") if isinstance(expansion, dict) else None
        if not isinstance(target, str) or not target.startswith("teams[") or not isinstance(steps, list):
            continue
        names, bracket, field = target.removeprefix("teams[").partition("].")
        values = [step["value"] for step in steps if isinstance(step, dict) and "value" in step]
        if not bracket or field != "minPlayers" or not values or not all(_is_number(each) for each in values):
            continue
        for name in names.split(","):
            found[name.strip()] = min(int(min(values)), found.get(name.strip(), 2**31))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _disagreements(
    shapes: list[tuple[str, int, int, int]], fewest: dict[str, int], sizes: dict[str, Any], file: str
) -> list[Mistake]:
    """Where the teams of a rule set are not the card's."""
    mistakes: list[Mistake] = []
    copies = sum(quantity for _, _, _, quantity in shapes)
    if sizes["each_alone"]:
        teams, largest, smallest = 1, sizes["players_full"], sizes["players_min"]
        card = "each is alone"
    else:
        teams, largest, smallest = sizes["teams"], sizes["team_size_max"], sizes["team_size_min"]
        card = f"{teams} teams of {smallest} to {largest}"
    if teams and copies != teams:
        reason = f"must be {teams} in all ({card}; here are {copies})"
        mistakes.append(Mistake("teams", reason, 0, file))
    for index, (name, low, high, _) in enumerate(shapes):
        least = min(low, fewest.get(name, fewest.get("*", low)))
        if largest is not None and high != largest:
            reason = f"must be {largest}, as the card says (it is {high})"
            mistakes.append(Mistake(f"teams/{index}/maxPlayers", reason, 0, file))
        if smallest is not None and least != smallest:
            reason = f"must become {smallest} in the end, as the card says (it becomes {least})"
            mistakes.append(Mistake(f"teams/{index}/minPlayers", reason, 0, file))
    return mistakes


def hook_mistakes(folder: Path, needs_goal: bool) -> list[Mistake]:
    """What is wrong with the hooks of a folder, as far as their syntax tree shows it."""
    file = "hooks.py"
    try:
        text = read_text(folder / file, MAX_HOOKS_BYTES)
        tree = ast.parse(text, file)
    except Unreadable as unreadable:
        return unreadable.mistakes
    except SyntaxError as error:
        return [Mistake("", f"is not Python: {error.msg}", error.lineno or 1, file)]
    except (ValueError, RecursionError, MemoryError) as error:
        return [Mistake("", f"is not Python: {error}", 1, file)]
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    mistakes = []
    for name, node in functions.items():
        wanted = HOOKS.get(name)
        if wanted is not None and not _takes(node.args, len(wanted)):
            reason = f"must take {len(wanted)} arguments: {name}({', '.join(wanted)})"
            mistakes.append(Mistake(name, reason, node.lineno, file))
    if needs_goal and "goal" not in functions:
        near = meant("goal", list(functions))
        reason = f"is missing, and the card says that bots go where it says: write goal(view, client){near}"
        mistakes.append(Mistake("goal", reason, 0, file))
    return mistakes


def _takes(arguments: ast.arguments, number: int) -> bool:
    """Whether a function can be called with so many arguments."""
    positional = len(arguments.posonlyargs) + len(arguments.args)
    optional = len(arguments.defaults)
    needs_names = any(default is None for default in arguments.kw_defaults)
    most = number if arguments.vararg else positional
    return positional - optional <= number <= most and not needs_names
