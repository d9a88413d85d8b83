"""What is wrong with a mode's hooks, in one line: the file, the line, and what to do."""

from __future__ import annotations

import ast
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from dedicated_server.cards import ModeCard
from dedicated_server.errors import DedicatedServerError
from launchday.errors import LaunchdayError

# A place as the compiler names it: ``File "hooks.py", line 12`` or ``at /modes/relic/hooks.py (12)``.
PLACE: Final = re.compile(r'File "(.+?)", line (\d+)|at (\S+\.py) \((\d+)\)')
NAME: Final = re.compile(r"(?:name '|Untyped global name ')([^'.]+)'(?:| is not defined)")
MAX_REASON: Final = 300  # characters of what the compiler says
GUIDE: Final = "docs/writing-a-mode.md says what a hook may do"

# What the compiler says, and what its reader is to do about it.
ADVICE: Final = (
    (
        re.compile(r"NRT required|built-in function (?:zeros|empty|ones|array|full)>"),
        "it allocates memory (a list, an array, a text), which a tick cannot: write into rows of the world",
    ),
    (re.compile(r"name '([^']+)' is not defined"), "the name {0} is unknown"),
    (re.compile(r"Untyped global name '([^']+)'"), "{0} is unknown to the compiler: is it without @hook?"),
    (re.compile(r"Variable '([^']+)' is not defined"), "{0} is used before it has a value"),
    (re.compile(r"Unknown attribute '([^']+)' of type"), "there is no attribute {0}"),
    (
        re.compile(r"Cannot unify (.+?) and (.+?) for '([^'.]+)"),
        "{2} would be of two types, {0} and {1}: give it one",
    ),
    (
        re.compile(r"Cannot bind|missing a required argument|too many positional"),
        "a call has other arguments than the function takes",
    ),
    (
        re.compile(
            r"No implementation of function Function\(<(?:built-in function )?(\S+?)>\)[^>]*?>>> (.+)"
        ),
        "{1} cannot be compiled for values of these types",
    ),
)


class HooksError(DedicatedServerError, LaunchdayError):
    """Raised when a mode's hooks cannot be used: they do not import, or do not compile. Mend what it says.

    Attributes:
        file: where the mistake is.
        line: of the file, from 1; 0: of the whole file.
        exit_code: of a process that finds it out.
    """

    exit_code = 2

    def __init__(self, file: Path, line: int, reason: str) -> None:
        self.file = file
        self.line = line
        super().__init__(f"{file}:{line}: {reason}" if line else f"{file}: {reason}")


def error_at(card: ModeCard, function: Callable[..., Any], reason: str) -> HooksError:
    """A mistake that is the whole of a function."""
    code = getattr(getattr(function, "py_func", function), "__code__", None)
    return HooksError(card.hooks, 0 if code is None else code.co_firstlineno, reason)


def error_of_python(file: Path, folder: Path, error: BaseException) -> HooksError:
    """What Python raised while it imported or ran a file of the folder, at the last line of it that ran."""
    if isinstance(error, SyntaxError) and error.filename:
        return HooksError(Path(error.filename), error.lineno or 0, f"is not Python: {error.msg}")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).is_relative_to(folder):
            return HooksError(Path(frame.filename), frame.lineno or 0, _one_line(error))
    return HooksError(file, 0, _one_line(error))


def has_part_in(folder: Path, error: BaseException) -> bool:
    """Whether an error was raised in a file of the folder, or beneath a call from it."""
    return any(
        Path(frame.filename).is_relative_to(folder) for frame in traceback.extract_tb(error.__traceback__)
    )


def error_of_compiler(card: ModeCard, function: Callable[..., Any], error: Exception) -> HooksError:
    """What the compiler says of a hook, at the innermost place of the mode's folder that it names."""
    said = str(error)
    file, line = card.hooks, function.__code__.co_firstlineno
    for name, number, other_name, other_number in PLACE.findall(said):
        path = Path(name or other_name).resolve()
        if path.is_relative_to(card.folder.resolve()):
            file, line = path, int(number or other_number)
            break
    if (unknown := NAME.search(said)) is not None:  # of which the compiler says no place
        file, line = _place_of_name(card.folder, unknown[1]) or (file, line)
    return HooksError(file, line, f"does not compile: {_advice(said)} ({GUIDE})")


def _place_of_name(folder: Path, name: str) -> tuple[Path, int] | None:
    """Where a name is used first in the files of a folder."""
    for path in sorted(folder.rglob("*.py")):
        try:
            tree = ast.parse(path.read_text())
        except (OSError, SyntaxError, ValueError):
            continue
        used = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name]
        if used:
            return path, min(used)
    return None


def _advice(said: str) -> str:
    for pattern, advice in ADVICE:
        if (match := pattern.search(said)) is not None:
            return advice.format(*match.groups())
    return _reason(said)


def _reason(said: str) -> str:
    """The line of the compiler's text that says most."""
    lines = [line.strip() for line in said.splitlines()]
    told = [
        line for line in lines if line and not line.startswith(("Failed in", "File ", "During:", "<source"))
    ]
    return (told[0] if told else said.strip())[:MAX_REASON]


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())[:MAX_REASON]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
