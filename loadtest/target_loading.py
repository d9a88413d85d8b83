"""Finds the target that ``--target module:Class`` names."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from loadtest.errors import TargetError
from loadtest.target import Target, target_name

# Methods, and with how many arguments each is called.
STEPS = {"log_in": 1, "queue": 2, "wait": 2, "connect": 2, "play": 2, "leave": 3}
ABILITIES = {"counters": 0, "shop": 3, "requeued": 2, "renew": 2, "saved": 3}
EXAMPLE = "mymodule:MyTarget or my/target.py:MyTarget"


def load_target(text: str, folder: Path | None = None) -> Callable[[], Target]:
    """The class that a text such as ``mymodule:MyTarget`` names.

    A module is looked for in the current folder first, then among what is installed. It is imported here: it
    is the user's own code.

    Args:
        text: a module, or the path of a Python file, and after a colon the name of the class.
        folder: the current one where it is None.

    Raises:
        TargetError: there is none, or it cannot be used. The text is one line.
    """
    where, colon, name = text.rpartition(":")
    if not colon or not where or not name:
        raise TargetError(f"--target {text}: give a module and a class, such as {EXAMPLE}")
    module = _module(where, (folder or Path.cwd()).absolute())
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, _classes(module), n=1)
            hint = (
                f"; did you mean {near[0]}?"
                if near
                else f"; it has {', '.join(_classes(module)) or 'no class'}"
            )
            raise TargetError(f"--target {text}: {where} has no {part}{hint}")
        found = getattr(found, part)
    if not callable(found):
        raise TargetError(f"--target {text}: {name} is a {type(found).__name__}, not a class")
    if mistakes := why_no_target(found):
        raise TargetError(f"--target {text}: {name} is no target: {'; '.join(mistakes)}")
    make: Callable[[], Target] = found
    return make


def why_no_target(made_by: Callable[[], Any]) -> list[str]:
    """What a class lacks to be a target, a phrase each; empty where it lacks nothing that can be seen.

    Of a function that makes targets nothing can be seen.
    """
    if not inspect.isclass(made_by):
        return []
    missing = [name for name in STEPS if not hasattr(made_by, name)]
    found = [f"it has no {', '.join(missing)}"] if missing else []
    for name, count in {**STEPS, **ABILITIES}.items():
        if (method := inspect.getattr_static(made_by, name, None)) is not None:
            found += _method_mistakes(name, method, count)
    try:
        inspect.signature(made_by).bind()
    except TypeError as error:
        found.append(f"{target_name(made_by)}() is called without arguments: {error}")
    except ValueError:
        pass  # a class without a signature, such as one written in C
    return found


def _method_mistakes(name: str, method: Any, count: int) -> list[str]:
    own = 1
    if isinstance(method, staticmethod | classmethod):
        own = int(isinstance(method, classmethod))
        method = method.__func__
    if not callable(method):
        return [f"{name} is a {type(method).__name__}, not a method"]
    if inspect.isfunction(method) and not inspect.iscoroutinefunction(inspect.unwrap(method)):
        return [f"{name} is no coroutine: write async def {name}"]
    try:
        signature = inspect.signature(method)
    except ValueError:  # written in C
        return []
    try:
        signature.bind(*[None] * (own + count))
    except TypeError as error:
        return [f"{name}{signature} cannot be called with {count} arguments: {error}"]
    return []


def _classes(module: ModuleType) -> list[str]:
    """The classes that a module itself defines."""
    return [
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_")
    ]


def _module(where: str, folder: Path) -> ModuleType:
    if where.endswith(".py") or "/" in where:
        path = folder / where
        if not path.is_file():
            raise TargetError(f"--target {where}: there is no file {where}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        return _imported(where, path.stem, spec, path.parent)
    if not all(part.isidentifier() for part in where.split(".")):
        raise TargetError(f"--target {where}: is neither a module nor a Python file; give {EXAMPLE}")
    first = where.partition(".")[0]
    here = PathFinder.find_spec(first, [str(folder)])
    if here is not None and "." not in where and here.loader is not None:
        return _imported(where, first, here, folder)
    return _imported(where, where, None, folder)


def _imported(where: str, name: str, spec: ModuleSpec | None, folder: Path) -> ModuleType:
    """Import a module; its own folder is looked in last for what it imports itself."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        if spec is None or spec.loader is None:
            return importlib.import_module(name)
        if (known := sys.modules.get(name)) is not None and getattr(known, "__file__", None) == spec.origin:
            return known
        module = importlib.util.module_from_spec(spec)
        kept = sys.modules.get(name)
        sys.modules[name] = module  # dataclasses and pickling look a class's module up
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        finally:
            if kept is not None:
                sys.modules[name] = kept  # a file of the user's that is called as another module
        return module
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            raise TargetError(
                f"--target {where}: there is no module {error.name}, neither in this folder nor installed"
            ) from error
        raise TargetError(f"--target {where}: cannot be imported: {_where(error)}") from error
    except (Exception, SystemExit) as error:
        raise TargetError(f"--target {where}: cannot be imported: {_where(error)}") from error


def _where(error: BaseException) -> str:
    """An error in one line, with the file and line that raised it."""
    text = " ".join(str(error).split())[:200]
    told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not frames or "importlib" in frames[-1].filename:
        return told
    return f"{told} ({Path(frames[-1].filename).name}:{frames[-1].lineno})"
