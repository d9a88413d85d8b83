"""The ledger: counts kept by services that do not ask each other, side by side. Any difference fails the run.

What was queued must have been matched, cancelled or expired; what was started must have ended; what was checked out must have
been committed; a kill must be known alike to the server that saw it, to the topic that carried it and to the service that
rewarded it. And parties that queued together must have been put into one match.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from loadtest.flood.counters import BackendCounters, ServiceCounters


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One count and who keeps it; ``detail`` shows the terms of a sum."""

    label: str
    count: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """Counts that must be equal.

    Attributes:
        name: what is counted.
        entries: the same thing, as different parts of the backend counted it.
    """

    name: str
    entries: tuple[LedgerEntry, ...]

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

    lines: tuple[LedgerLine, ...]

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


@dataclass(frozen=True, slots=True)
class ExpectedLosses:
    """What a run expects of game servers that it killed itself.

    Attributes:
        servers: how many: so many matches may fail.
        kills_reported: kills in the last reports of the matches that failed, which are up to a second old.
        kill_events: of those matches, in Kafka.
    """

    servers: int = 0
    kills_reported: int = 0
    kill_events: int = 0


def balance(
    books: BackendCounters,
    *,
    tickets_opened: int,
    kill_events: int,
    killed: ExpectedLosses = ExpectedLosses(),
    parties: tuple[int, int] = (0, 0),
) -> Ledger:
    """Set the books of a run against each other.

    Args:
        books: what every service counted during the run.
        tickets_opened: tickets that the bots were given.
        kill_events: Kill events that our own consumer saw in Kafka.
        parties: how many were matched, and how many of them whole.
        killed: what the run has killed on purpose. What a server counts after its last report nobody can know, so the kills of matches
            that died with it are left out of the first comparison, and stay in the second.
    """
    queue, fleet, meta, rewards = books.matchmaker, books.fleet, books.meta, books.rewards
    ends = {name: int(queue[name]) for name in ("matched", "cancelled", "expired", "failed")}
    requeued, resumed, unclaimed = (int(queue.get(name, 0)) for name in ("requeued", "resumed", "unclaimed"))
    if requeued > resumed:  # made because a match was lost, for players who had gone home
        ends["waiting for players of lost matches"] = requeued - resumed - unclaimed
    return Ledger(
        (
            LedgerLine(
                "players",
                (
                    _held(tickets_opened, requeued - resumed),
                    LedgerEntry("queued", int(queue["queued"])),
                    LedgerEntry(" + ".join(ends), sum(ends.values()), " + ".join(map(str, ends.values()))),
                ),
            ),
            LedgerLine(
                "matches",
                (
                    LedgerEntry("formed", int(queue["matches"])),
                    LedgerEntry("started", int(fleet["matches_started"])),
                    *_ended(fleet, killed),
                ),
            ),
            LedgerLine(
                "check-outs",
                (
                    LedgerEntry("players checked out", int(meta["checkouts"])),
                    *_returned(meta, killed),
                ),
            ),
            LedgerLine(
                "kills",
                (
                    LedgerEntry("counted in the servers", int(fleet["kills"])),
                    LedgerEntry("kill events in Kafka", kill_events),
                    LedgerEntry("applied by rewards", int(rewards["kills_applied"])),
                )
                if not killed.servers
                else (
                    LedgerEntry("kill events in Kafka", kill_events),
                    LedgerEntry("applied by rewards", int(rewards["kills_applied"])),
                ),
            ),
            *_kills_of_survivors(fleet, kill_events, killed),
            *_parties(*parties),
        )
    )


def _held(tickets_opened: int, unclaimed: int) -> LedgerEntry:
    if not unclaimed:
        return LedgerEntry("tickets the bots hold", tickets_opened)
    label = "tickets the bots hold + those that players of lost matches did not come back for"
    return LedgerEntry(label, tickets_opened + unclaimed, f"{tickets_opened} + {unclaimed}")


def _parties(placed: int, whole: int) -> tuple[LedgerLine, ...]:
    if not placed:
        return ()
    return (
        LedgerLine(
            "parties", (LedgerEntry("matched", placed), LedgerEntry("all of them in one match", whole))
        ),
    )


def _ended(fleet: ServiceCounters, killed: ExpectedLosses) -> tuple[LedgerEntry, ...]:
    ended, failed = int(fleet["matches_ended"]), min(int(fleet["matches_failed"]), killed.servers)
    if not killed.servers:
        return (LedgerEntry("ended", ended),)
    return (LedgerEntry("ended + killed", ended + failed, f"{ended} + {failed}"),)


def _returned(meta: ServiceCounters, killed: ExpectedLosses) -> tuple[LedgerEntry, ...]:
    commits = int(meta["commits"])
    if not killed.servers:
        return (LedgerEntry("committed", commits),)
    expired, leased = int(meta.get("expired", 0)), int(meta.get("open", 0))
    label = "committed + given up with the killed servers + still leased to them"
    return (LedgerEntry(label, commits + expired + leased, f"{commits} + {expired} + {leased}"),)


def _kills_of_survivors(
    fleet: ServiceCounters, kill_events: int, killed: ExpectedLosses
) -> tuple[LedgerLine, ...]:
    if not killed.servers:
        return ()
    return (
        LedgerLine(
            "kills of matches that ended",
            (
                LedgerEntry("counted in the servers", int(fleet["kills"]) - killed.kills_reported),
                LedgerEntry("kill events in Kafka", kill_events - killed.kill_events),
            ),
        ),
    )
