"""Which functions one thing passes on its way through the system, found by following it.

Python's own profile hook notes every function that is entered. Compiled code cannot be watched, so each kernel that an
entered function names is entered on paper: its source names the next ones. That may count a branch that was not taken,
never one too few.
"""

from __future__ import annotations

import ast
import functools
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from numba.core.dispatcher import Dispatcher

ROOT = Path(__file__).parent.parent
PACKAGES = ("launchday", "matchmaker", "dedicated_server", "meta_service", "rewards", "loadtest")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A function: where it stands and what it is called."""

    path: str  # relative to the repository
    line: int
    name: str


@dataclass
class Walk:
    """What was entered, in order: each function once."""

    places: dict[Place, None] = field(default_factory=dict)

    def files(self, *, below: str = "", without: Walk | None = None) -> list[str]:
        """The files entered, in order of their first function.

        Args:
            below: only files below this folder.
            without: functions of this walk do not count: what goes on anyway.
        """
        others = without.places if without else {}
        found = {
            place.path: None
            for place in self.places
            if place not in others and place.path.startswith(below)
        }
        return list(found)


@contextmanager
def follow() -> Iterator[Walk]:
    """Note every function of the product that this thread, or one it starts, enters until the block ends."""
    walk = Walk()
    seen: set[CodeType] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code not in seen:
            seen.add(code)
            if (path := _product_path(code.co_filename)) is not None:
                if not code.co_name.startswith("<"):
                    walk.places[Place(path, code.co_firstlineno, code.co_qualname)] = None
                for kernel in _named_kernels(code, frame.f_globals):
                    _enter(kernel, walk, seen)

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield walk
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


def _enter(function: FunctionType, walk: Walk, seen: set[CodeType]) -> None:
    """Enter a kernel and, behind it, each kernel that it names."""
    code = function.__code__
    if code in seen:
        return
    seen.add(code)
    if (path := _product_path(code.co_filename)) is None:
        return
    walk.places[Place(path, code.co_firstlineno, code.co_qualname)] = None
    for kernel in _named_kernels(code, function.__globals__):
        _enter(kernel, walk, seen)


def _named_kernels(code: CodeType, names: dict[str, Any]) -> Iterator[FunctionType]:
    """The compiled functions that a function names, directly or as an attribute of a module."""
    for name in code.co_names:
        found = names.get(name)
        if isinstance(found, ModuleType):
            for attribute in code.co_names:
                yield from _compiled(getattr(found, attribute, None))
        else:
            yield from _compiled(found)


def _compiled(found: object) -> Iterator[FunctionType]:
    """The Python function behind a kernel or an intrinsic; nothing for anything else."""
    if isinstance(found, Dispatcher):
        yield found.py_func
    elif isinstance(definition := getattr(found, "_defn", None), FunctionType):
        yield definition


def _product_path(filename: str) -> str | None:
    """The path relative to the repository of one of the product's files, None for all others."""
    return _product_path_cached(filename)


@functools.cache
def _product_path_cached(filename: str) -> str | None:
    path = Path(filename)
    if not path.is_relative_to(ROOT):
        return None
    relative = path.relative_to(ROOT)
    return relative.as_posix() if relative.parts[0] in PACKAGES else None


@functools.cache
def summary(place: Place) -> str:
    """What a function says of itself: the first sentence of its docstring, or nothing."""
    tree = _tree(place.path)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == place.name.rsplit(".", 1)[-1]:
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if first == place.line:
                return " ".join(textwrap.dedent(ast.get_docstring(node) or "").split("\n\n", 1)[0].split())
    return ""


@functools.cache
def _tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text())
