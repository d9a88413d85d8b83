"""Makes a mode of a card and the hooks beside it, compiled, or says in one line what is wrong with the hooks.

Hooks of a mode that ships are a module of this package. Those of a studio's folder are imported under a name
of their own, which tells two folders and two states of one folder apart; ``hooks.py`` may import modules
beside it by ``from .name import …``. Their kernels are kept where `launchday.kernel_folders` can key them.
All of it happens before a server says that it is ready, because a tick waits for no compiler.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import types

from dedicated_server.cards import ModeCard
from dedicated_server.modes import defaults, entries
from dedicated_server.modes.hooks_error import HooksError, error_at, error_of_compiler, error_of_python
from dedicated_server.native import plain
from dedicated_server.simulation.mode import Mode
from launchday import kernel_cache, kernel_folders

# (address of a stored ModeView, clients int32[k], out float64[k, 2]): writes where each of the clients goes.
Goals = Callable[[int, npt.NDArray[np.int32], npt.NDArray[np.float64]], None]

SHIPPED: Final = Path(__file__).parent
PREFIX: Final = "launchday_mode_"  # of the modules of a studio's modes
GOALS_TYPES: Final = (types.int64, types.int32[::1], types.float64[:, ::1])

_modules: dict[str, ModuleType] = {}


def load_mode(card: ModeCard) -> Mode:
    """Return the mode of a card with its hooks compiled. Raises HooksError."""
    module, hooks = _hooks_of(card)
    _compile(card, hooks, entries.WORLD_HOOKS)
    respawn = None
    if "respawn" in hooks:
        respawn = _entry(card, module, entries.RESPAWN, entries.respawn_text(), (types.int64,))
    play = _entry(card, module, entries.PLAY, entries.play_text(hooks), (types.int64,))
    return Mode(
        card,
        spawn=hooks.get("spawn", defaults.spawn),
        play=play,
        placements=hooks.get("placements", defaults.placements),
        respawn=respawn,
    )


def load_goals(card: ModeCard) -> Goals | None:
    """Return what says where bots go, compiled; None where the card has no such hook. Raises HooksError."""
    if card.bots.goal != "hook":
        return None
    module, hooks = _hooks_of(card)
    _compile(card, hooks, {"goal": entries.GOAL_HOOK})
    return _entry(card, module, entries.GOALS, entries.goals_text(), GOALS_TYPES)


def hook_names(card: ModeCard) -> list[str]:
    """The hooks that a mode has, in the order of the table of hooks. Raises HooksError."""
    return list(_hooks_of(card)[1])


def _hooks_of(card: ModeCard) -> tuple[ModuleType, dict[str, Callable[..., Any]]]:
    """The module of a mode's hooks, imported, and the hooks in it."""
    if card.folder.parent == SHIPPED:
        module = importlib.import_module(f"{__package__}.{card.name}.hooks")
    else:
        module = _import(card)
    found = {}
    for name in (*entries.PLAIN_HOOKS, *entries.COMPILED_HOOKS):
        function = vars(module).get(name)
        if not callable(function) or not str(function.__module__).startswith(module.__name__):
            continue  # none, or a function of ours of that name which the hooks use
        if name in entries.PLAIN_HOOKS and entries.is_hook(function):
            reason = f"{name} is asked once a match, in plain Python: take the @hook above it away"
            raise error_at(card, function, reason)
        if name in entries.COMPILED_HOOKS and not entries.is_hook(function):
            raise error_at(card, function, f"{name} is called in each tick, compiled: write @hook above it")
        found[name] = function
    return module, found


def _import(card: ModeCard) -> ModuleType:
    """Import the hooks of a folder outside of the package, once for each state of it."""
    try:
        state, key = kernel_folders.content_hash(card.folder), kernel_cache.mode_key(card.folder)
    except OSError as error:
        raise HooksError(
            card.hooks, 0, f"cannot be read: {error.strerror}; make its files readable"
        ) from error
    name = f"{PREFIX}{card.name}_{state}"
    if name in _modules:
        return _modules[name]
    kernel_folders.register(card.folder, key)
    if not any(isinstance(finder, _FolderFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _FolderFinder())
    spec = _spec(name, card.hooks, card.folder)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # numba looks the module of a kept kernel up there
    try:
        spec.loader.exec_module(module)  # type: ignore[union-attr]  # `_spec` gives it one
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise error_of_python(card.hooks, card.folder, error) from error
    if kernel_folders.content_hash(card.folder) != state:
        raise HooksError(card.hooks, 0, "was written while it was read: start again")
    _modules[name] = module
    return module


def _spec(name: str, file: Path, folder: Path | None = None) -> importlib.machinery.ModuleSpec:
    places = None if folder is None else [str(folder)]
    spec = importlib.util.spec_from_file_location(
        name, file, loader=_SourceLoader(name, str(file)), submodule_search_locations=places
    )
    assert spec is not None
    return spec


class _SourceLoader(importlib.machinery.SourceFileLoader):
    """Reads the source alone: Python's own cache of it tells two states within one second apart by luck."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source as it lies there now; nothing is left beside it."""
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class _FolderFinder:
    """Finds the modules beside the hooks of a studio's mode."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a module of a mode's folder, or None for any other."""
        package, _, module = name.rpartition(".")
        if not package.startswith(PREFIX) or path is None:
            return None
        file = Path(path[0], f"{module}.py")
        return _spec(name, file) if file.is_file() else None


def _compile(card: ModeCard, hooks: Mapping[str, Any], wanted: Mapping[str, entries.CompiledHook]) -> None:
    """Compile hooks one by one, so that a mistake is told with its place in the one that has it."""
    if plain.PLAIN:
        return
    for name, hook in wanted.items():
        if (dispatcher := hooks.get(name)) is None:
            continue
        try:
            dispatcher.compile(hook.arguments)
        except Exception as error:
            raise error_of_compiler(card, dispatcher.py_func, error) from error
        returned = dispatcher.overloads[hook.arguments].signature.return_type
        if not hook.may_return(returned):
            reason = f"{hook.call} must return {hook.returns}, and returns {returned}"
            raise error_at(card, dispatcher.py_func, reason)


def _entry(
    card: ModeCard, module: ModuleType, name: str, text: str, arguments: tuple[types.Type, ...]
) -> Callable[..., Any]:
    """The entry of a module, made once, and compiled."""
    entry: Any = vars(module).get(name) or entries.define(module, text, name)
    if not plain.PLAIN:
        try:
            entry.compile(arguments)
        except Exception as error:
            raise error_of_compiler(card, entry.py_func, error) from error
    made: Callable[..., Any] = entry
    return made
