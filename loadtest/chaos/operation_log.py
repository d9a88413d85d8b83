"""The log of operations: what clients sent and what they were answered, one JSON object per line.

The load writes it, the checker reads it. Each line has ``at`` (nanoseconds of the machine's monotonic clock),
``op``, ``phase`` and the operation's own fields. ``phase`` is ``ask`` before a request is sent, ``ack`` once
it is answered, and ``refused`` where the answer was a refusal.
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
    """Appends lines to a file. The line of a request is in the file before the request is sent."""

    def __init__(self, path: Path, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)  # flushed at each line's end
        self._clock = clock

    def sent(self, op: str, **about: Any) -> None:
        """Note that a request is about to be sent, perhaps not for the first time."""
        self._write("ask", op, about)

    def acknowledged(self, op: str, **about: Any) -> None:
        """Note an answer."""
        self._write("ack", op, about)

    def refused(self, op: str, **about: Any) -> None:
        """Note a refusal: nothing was done."""
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
    """All operations in the order of time, without a last line that a kill has cut off."""
    with path.open(encoding="utf-8") as file:
        lines = [json.loads(text) for text in file if text.endswith("\n")]
    return sorted(lines, key=lambda line: int(line["at"]))


def select_operations(lines: Iterable[Operation], op: str, phase: str) -> Iterator[Operation]:
    """The lines of one kind of operation and one phase."""
    return (line for line in lines if line["op"] == op and line["phase"] == phase)
