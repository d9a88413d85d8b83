"""The offices of one director process: which queues it leads, and which nobody is known to serve yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from launchday.resilience.health import Part

NOT_BEGUN = "is not begun"


class Office(Protocol):
    """The director of one queue, as the offices see it."""

    @property
    def leads(self) -> bool:
        """Whether it holds the lease."""

    @property
    def awaits(self) -> str | None:
        """What its queue has waited for since the process began; None once the queue is served."""


class Offices:
    """The queues of this process.

    Args:
        modes: the queues that it is to serve.
    """

    def __init__(self, modes: Iterable[str]) -> None:
        self._modes = tuple(modes)
        self._offices: dict[str, Office] = {}

    def add(self, mode: str, office: Office) -> None:
        """Note who directs a queue."""
        self._offices[mode] = office

    def details(self) -> Mapping[str, Any]:
        """What ``/readyz`` tells besides: the queues that are led here."""
        return {"leads": [mode for mode, office in self._offices.items() if office.leads]}

    async def check(self) -> str | None:
        """Say which queues are not served yet, and why; None once all are, here or by another director."""
        waiting = [f"{mode} {why}" for mode in self._modes if (why := self._awaits(mode)) is not None]
        return ", ".join(waiting) or None

    def part(self) -> Part:
        """The part "offices": without it a ticket would only wait, so the process is not ready."""
        return Part("offices", self.check, needed=True)

    def _awaits(self, mode: str) -> str | None:
        office = self._offices.get(mode)
        return NOT_BEGUN if office is None else office.awaits
