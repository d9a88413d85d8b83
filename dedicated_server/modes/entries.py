"""Hooks as they are compiled: the decorator, the table of hooks, and the entries that the game calls.

A game server calls a mode by the address of its world, once a tick: unpacking a world's arrays for each call
would cost more than the hooks. So a mode has compiled entries that load the world and call its hooks. They
are made from text, in the namespace of the hooks and under the name of their file, because numba then keeps
them as it keeps the hooks: a closure over a hook has another identity in each process, and is never found
again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any, Final, NamedTuple, TypeVar

import numba
import numpy as np
from numba import types
from numba.core.dispatcher import Dispatcher

from dedicated_server.modes import defaults
from dedicated_server.native import plain
from dedicated_server.native.compilation import STAGE
from dedicated_server.native.memory import load_state
from dedicated_server.protocol.client.knowledge import VIEW_TYPE
from dedicated_server.simulation.damage import respawn_is_due, spawn
from dedicated_server.simulation.world import DEATH_COUNT, DEATH_KILLER, DEATH_VICTIM, WORLD_TYPE

Function = TypeVar("Function", bound=Callable[..., Any])
HOOK_MARK: Final = "is_hook"


def hook(function: Function) -> Function:
    """Decorate a hook, or a function that hooks call: it is compiled, and cannot allocate memory."""
    setattr(function, HOOK_MARK, True)
    compiled: Function = numba.njit(cache=True, nogil=True, **STAGE)(function)
    return compiled


def is_hook(function: Any) -> bool:
    """Whether a function was decorated with `hook`."""
    return isinstance(function, Dispatcher) or getattr(function, HOOK_MARK, False)


class CompiledHook(NamedTuple):
    """What a compiled hook takes and returns.

    Attributes:
        arguments: numba types.
        call: as its author writes it.
        returns: what it returns, for people.
        may_return: whether it may return a numba type.
    """

    arguments: tuple[types.Type, ...]
    call: str
    returns: str
    may_return: Callable[[types.Type], bool]


def _is_nothing(kind: types.Type) -> bool:
    return isinstance(kind, types.NoneType)


def _is_truth(kind: types.Type) -> bool:
    return isinstance(kind, types.Boolean)


def _is_place(kind: types.Type) -> bool:
    return (
        isinstance(kind, types.BaseTuple) and [isinstance(each, types.Number) for each in kind] == [True] * 2
    )


WORLD_HOOKS: Final = {
    "respawn": CompiledHook((WORLD_TYPE, types.int64), "respawn(world, player)", "nothing", _is_nothing),
    "on_death": CompiledHook(
        (WORLD_TYPE, types.int64, types.int64), "on_death(world, victim, killer)", "nothing", _is_nothing
    ),
    "step": CompiledHook((WORLD_TYPE,), "step(world)", "nothing", _is_nothing),
    "over": CompiledHook((WORLD_TYPE,), "over(world)", "True or False", _is_truth),
}
GOAL_HOOK: Final = CompiledHook(
    (VIEW_TYPE, types.int64), "goal(view, client)", "two numbers, x_m and y_m", _is_place
)
COMPILED_HOOKS: Final = {**WORLD_HOOKS, "goal": GOAL_HOOK}
PLAIN_HOOKS: Final = {"spawn": "spawn(card, teams, radius_m, generator)", "placements": "placements(world)"}

PLAY: Final = "launchday_play"
RESPAWN: Final = "launchday_respawn"
GOALS: Final = "launchday_goals"

_DECORATOR: Final = "@_launchday_njit(cache=True, nogil=True, **_launchday_stage)\n"
_NAMES: Final = {
    "_launchday_njit": numba.njit,
    "_launchday_stage": STAGE,
    "_launchday_int": np.int64,
    "_launchday_load": load_state,
    "_launchday_world": WORLD_TYPE,
    "_launchday_view": VIEW_TYPE,
    "_launchday_deaths": DEATH_COUNT,
    "_launchday_victim": DEATH_VICTIM,
    "_launchday_killer": DEATH_KILLER,
    "_launchday_over": defaults.over,
    "_launchday_is_due": respawn_is_due,
    "_launchday_spawn": spawn,
}


def play_text(hooks: Collection[str]) -> str:
    """The source of the entry ``(address of a world) -> whether the match is over``: one tick of the mode.

    ``hooks``: the names of those that there are.
    """
    lines = ["    world = _launchday_load(address, _launchday_world)"]
    deaths = []
    if "on_death" in hooks:  # a hook may end lives itself: those come to the end of the list
        lines.append("    death = 0")
        deaths = [
            "    while death < world.counters[_launchday_deaths]:",
            "        victim = _launchday_int(world.deaths[_launchday_victim, death])",
            "        killer = _launchday_int(world.deaths[_launchday_killer, death])",
            "        on_death(world, victim, killer)",
            "        death += 1",
        ]
    lines += deaths
    if "step" in hooks:
        lines += ["    step(world)", *deaths]
    lines.append(f"    return {'over' if 'over' in hooks else '_launchday_over'}(world)")
    return _entry(PLAY, "address", lines)


def respawn_text() -> str:
    """The source of the entry ``(address of a world)`` that begins the lives that are due."""
    return _entry(
        RESPAWN,
        "address",
        [
            "    world = _launchday_load(address, _launchday_world)",
            "    for player in range(world.body.shape[1]):",
            "        if _launchday_is_due(world, player):",
            "            respawn(world, _launchday_int(player))",
            "            _launchday_spawn(world, player)",
        ],
    )


def goals_text() -> str:
    """The source of the entry ``(address of a ModeView, clients, out)``, see `loading.Goals`."""
    return _entry(
        GOALS,
        "address, clients, out",
        [
            "    view = _launchday_load(address, _launchday_view)",
            "    for place in range(len(clients)):",
            "        x_m, y_m = goal(view, _launchday_int(clients[place]))",
            "        out[place, 0] = x_m",
            "        out[place, 1] = y_m",
        ],
    )


def _entry(name: str, arguments: str, lines: list[str]) -> str:
    return "\n".join([f"{_DECORATOR}def {name}({arguments}):", *lines, ""])


def define(module: ModuleType, text: str, name: str) -> Callable[..., Any]:
    """Make an entry in the namespace of a module of hooks, and return it.

    Under the name of the module's file, where numba looks for what it has kept; in plain Python under a name
    that no traceback takes for the author's lines.
    """
    file = f"<entry {name}>" if plain.PLAIN else str(module.__file__)
    vars(module).update(_NAMES)
    exec(compile(text, file, "exec", dont_inherit=True), vars(module))
    entry: Callable[..., Any] = vars(module)[name]
    return entry
