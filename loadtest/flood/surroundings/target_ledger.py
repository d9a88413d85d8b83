"""The ledger of a target: what its counters say beside what the players saw.

There are as many lines as it has counters for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from loadtest.flood.ledger import Ledger, LedgerEntry, LedgerLine
from loadtest.players.parties import BotParties
from loadtest.players.player_records import PlayerRecords, WaitEnd

ENDS = ("matched", "cancelled", "expired", "failed")


@dataclass(frozen=True, slots=True)
class BotCounts:
    """What the players of a run saw.

    Attributes:
        tickets: that they were given.
        matched: of them, those that got a match.
        gave_up: players whose tickets were taken back because their patience was over.
        matches: ids of the matches that they were put into.
        parties, whole_parties: those that were matched, and those of them that are in one match.
    """

    tickets: int
    matched: int
    gave_up: int
    matches: frozenset[str]
    parties: int = 0
    whole_parties: int = 0

    @classmethod
    def of(cls, records: PlayerRecords, parties: BotParties) -> BotCounts:
        """The counts of a run until now."""
        return cls(
            tickets=records.tickets,
            matched=len(records.waits),
            gave_up=sum(wait.end is WaitEnd.GAVE_UP for wait in records.vain_waits),
            matches=frozenset(wait.match_id for wait in records.waits),
            parties=parties.matched_count,
            whole_parties=parties.whole_count,
        )


def balance_target(counters: Mapping[str, int], bots: BotCounts) -> Ledger:
    """Compare a target's counters with each other and with what the players saw.

    Args:
        counters: by how much each has grown in the run; see :class:`loadtest.target.CountsTickets`.
        bots: what the players saw.
    """
    lines = []
    if "queued" in counters:
        lines.append(_line("tickets", ("of the bots", bots.tickets), ("queued", counters["queued"])))
    ends = {name: counters[name] for name in ENDS if name in counters}
    if "queued" in counters and {"matched", "cancelled"} <= ends.keys():
        total = LedgerEntry(" + ".join(ends), sum(ends.values()), " + ".join(map(str, ends.values())))
        lines.append(LedgerLine("ends of tickets", (LedgerEntry("queued", counters["queued"]), total)))
    if "matched" in counters:
        lines.append(_line("matched", ("told the bots", bots.matched), ("matched", counters["matched"])))
    if "matches_formed" in counters:
        formed = counters["matches_formed"]
        lines.append(_line("matches", ("seen by the bots", len(bots.matches)), ("formed", formed)))
        if "matches_ended" in counters:
            lines.append(_line("ends of matches", ("formed", formed), ("ended", counters["matches_ended"])))
    if bots.parties:
        complete = ("complete in one match", bots.whole_parties)
        lines.append(_line("parties", ("matched", bots.parties), complete))
    return Ledger(tuple(lines))


def _line(name: str, *entries: tuple[str, int]) -> LedgerLine:
    return LedgerLine(name, tuple(LedgerEntry(label, count) for label, count in entries))
