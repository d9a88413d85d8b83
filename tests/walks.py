"""Which functions one thing passes on its way through the system, found by following it.

Python's own profile hook notes every function that is entered. Compiled code cannot be watched, so each
kernel that an entered function names is entered on paper: its source names the next ones. That may count a
branch that was not taken, never one too few.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping
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
    """What was entered, in order: each function once; and the product's records that came as arguments."""

    places: dict[Place, None] = field(default_factory=dict)
    records: dict[type, tuple[str, ...]] = field(default_factory=dict)  # with the names of their fields

    def first_places(self, *, without: Walk | None = None, below: tuple[str, ...] = ("",)) -> list[Place]:
        """Of each file the first function that was entered, in order.

        Args:
            without: functions of this walk do not count: what goes on anyway,
            below: in files below these folders.
        """
        found: dict[str, Place] = {}
        for place in self.places:
            if without is None or place not in without.places or not place.path.startswith(below):
                found.setdefault(place.path, place)
        return list(found.values())

    def enter(self, kernel: Any) -> None:
        """Enter a compiled function on paper, and those that it names."""
        for function in _compiled(kernel):
            _enter(function, self, set())


@contextmanager
def follow(inside: Mapping[str, str] | None = None) -> Iterator[Walk]:
    """Note every function of the product that this thread, or one it starts, enters until the block ends.

    Args:
        inside: folders whose functions count only while a function of a certain file is running: where
            several services share this process, what they do besides is not the way of the thing that is
            followed.
    """
    inside = inside or {}
    walk = Walk()
    seen: set[CodeType] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code not in seen:
            path = _product_path(code.co_filename)
            if path is not None and not _counts(path, frame, inside):
                return
            if path is not None:
                _note_records(frame, walk)
            seen.add(code)
            if path is not None:
                named = not code.co_name.startswith("<")
                if named and code.co_flags & inspect.CO_OPTIMIZED:  # not a class's body
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


def _note_records(frame: FrameType, walk: Walk) -> None:
    """Note the records among a function's arguments, and the first ones of lists and tuples."""
    code = frame.f_code
    for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        argument = frame.f_locals.get(name)
        kind = type(argument)
        if kind in (list, tuple) and argument:
            kind = type(argument[0])
        if kind not in walk.records and kind.__module__.split(".")[0] in PACKAGES:
            walk.records[kind] = _fields(kind)


def _fields(kind: type) -> tuple[str, ...]:
    """The fields of a dataclass, a named tuple or a message; () for other classes."""
    if dataclasses.is_dataclass(kind):
        return tuple(each.name for each in dataclasses.fields(kind))
    found = getattr(kind, "_fields", ()) or getattr(kind, "__struct_fields__", ())
    return tuple(found)


def _counts(path: str, frame: FrameType, inside: Mapping[str, str]) -> bool:
    """Whether a function counts where it is called from."""
    needed = next((file for folder, file in inside.items() if path.startswith(folder)), None)
    caller: FrameType | None = frame
    while needed is not None and caller is not None:
        if caller.f_code.co_filename.endswith(needed):
            return True
        caller = caller.f_back
    return needed is None


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
                yield from _compiled(vars(found).get(attribute))
        else:
            yield from _compiled(found)


def _compiled(found: object) -> Iterator[FunctionType]:
    """The Python function behind a kernel or an intrinsic; nothing for anything else."""
    if isinstance(found, Dispatcher):
        yield found.py_func
    elif isinstance(definition := getattr(found, "_defn", None), FunctionType):
        yield definition


@functools.cache
def _product_path(filename: str) -> str | None:
    """The path relative to the repository of one of the product's files, None for all others."""
    path = Path(filename)
    if not path.is_relative_to(ROOT) or path.suffix != ".py":  # templates are compiled too
        return None
    relative = path.relative_to(ROOT)
    return relative.as_posix() if relative.parts[0] in PACKAGES else None


@functools.cache
def summary(place: Place) -> str:
    """What a function says of itself: the first sentence of its docstring, or nothing."""
    for node in ast.walk(tree(place.path)):
        if (
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and node.name == place.name.rsplit(".", 1)[-1]
        ):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if first == place.line:
                return " ".join(textwrap.dedent(ast.get_docstring(node) or "").split("\n\n", 1)[0].split())
    return ""


@functools.cache
def tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text())
