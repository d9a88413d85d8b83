"""The ledger: counts kept by services that do not ask each other, side by side. Any difference fails the run.

What was queued must have been matched, cancelled or expired; what was started must have ended; what was checked out must have
been committed; a kill must be known alike to the server that saw it, to the topic that carried it and to the service that
rewarded it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from loadtest.books import Books


@dataclass(frozen=True, slots=True)
class Entry:
    """One count and who keeps it; ``detail`` shows the terms of a sum."""

    label: str
    count: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """Counts that must be equal.

    Attributes:
        name: what is counted.
        entries: the same thing, as different parts of the backend counted it.
    """

    name: str
    entries: tuple[Entry, ...]

    @property
    def balanced(self) -> bool:
        """Whether all entries are equal."""
        return len({entry.count for entry in self.entries}) == 1

    @property
    def difference(self) -> int:
        """Between the largest and the smallest entry."""
        counts = [entry.count for entry in self.entries]
        return max(counts) - min(counts)


@dataclass(frozen=True, slots=True)
class Ledger:
    """All lines of a run."""

    lines: tuple[Line, ...]

    @property
    def balanced(self) -> bool:
        """Whether every line is."""
        return all(line.balanced for line in self.lines)

    def as_json(self) -> dict[str, Any]:
        """For the JSON of the run."""
        return {
            "balanced": self.balanced,
            "lines": [
                {
                    "name": line.name,
                    "balanced": line.balanced,
                    "difference": line.difference,
                    "entries": {entry.label: entry.count for entry in line.entries},
                }
                for line in self.lines
            ],
        }


def balance(books: Books, *, tickets_opened: int, kill_events: int) -> Ledger:
    """Set the books of a run against each other.

    Args:
        books: what every service counted during the run.
        tickets_opened: tickets that the bots were given.
        kill_events: Kill events that our own consumer saw in Kafka.
    """
    queue, fleet, meta, rewards = books.matchmaker, books.fleet, books.meta, books.rewards
    ends = {name: int(queue[name]) for name in ("matched", "cancelled", "expired", "failed")}
    return Ledger(
        (
            Line(
                "players",
                (
                    Entry("tickets the bots hold", tickets_opened),
                    Entry("queued", int(queue["queued"])),
                    Entry(" + ".join(ends), sum(ends.values()), " + ".join(map(str, ends.values()))),
                ),
            ),
            Line(
                "matches",
                (
                    Entry("formed", int(queue["matches"])),
                    Entry("started", int(fleet["matches_started"])),
                    Entry("ended", int(fleet["matches_ended"])),
                ),
            ),
            Line(
                "check-outs",
                (
                    Entry("players checked out", int(meta["checkouts"])),
                    Entry("committed", int(meta["commits"])),
                ),
            ),
            Line(
                "kills",
                (
                    Entry("counted in the servers", int(fleet["kills"])),
                    Entry("kill events in Kafka", kill_events),
                    Entry("applied by rewards", int(rewards["kills_applied"])),
                ),
            ),
        )
    )
