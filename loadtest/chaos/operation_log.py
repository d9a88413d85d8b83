"""What clients did and what they were told, a JSON object a line: written by the load, read by the checker.

Each line has ``at`` (nanoseconds of the machine's monotonic clock), ``op``, ``phase`` and what the operation is about. ``phase`` is
``ask`` before a request is sent, ``ack`` once its answer is here, ``refused`` when it was a refusal.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Operation = dict[str, Any]


class OperationLog:
    """A file that lines are appended to; one is in the file before the request that it announces is sent."""

    def __init__(self, path: Path, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)  # flushed at each line's end
        self._clock = clock

    def sent(self, op: str, **about: Any) -> None:
        """A request is about to be sent, perhaps not for the first time."""
        self._write("ask", op, about)

    def acknowledged(self, op: str, **about: Any) -> None:
        """An answer has come."""
        self._write("ack", op, about)

    def refused(self, op: str, **about: Any) -> None:
        """A refusal has come: nothing was done."""
        self._write("refused", op, about)

    def _write(self, phase: str, op: str, about: Operation) -> None:
        self._file.write(json.dumps({"at": self._clock(), "op": op, "phase": phase, **about}) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._file.close()


def read_operations(path: Path) -> list[Operation]:
    """All lines in the order of time; a last one that was cut off by a kill is left out."""
    with path.open(encoding="utf-8") as file:
        lines = [json.loads(text) for text in file if text.endswith("\n")]
    return sorted(lines, key=lambda line: int(line["at"]))


def select_operations(lines: Iterable[Operation], op: str, phase: str) -> Iterator[Operation]:
    """The lines of one operation and phase."""
    return (line for line in lines if line["op"] == op and line["phase"] == phase)
