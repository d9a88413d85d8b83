"""``launchday match``: a rule set tried on a file of tickets, for authors of rules."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from launchday import kernel_cache
from launchday.terminal import Terminal, table
from matchmaker.rules.flexmatch.cycle import CycleResult, match
from matchmaker.rules.flexmatch.document import DocumentError, Mistake
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.rule_set import RuleSet
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, read_tickets

DONE, REFUSED = 0, 2
PARTS = ("flexmatch", "plans")  # of the kernels, that a match may need


class MatchTickets(Protocol):
    """Forms matches of all tickets at ``now``; see `cycle.match`."""

    def __call__(
        self, rules: RuleSet, tickets: Sequence[FlexMatchTicket], now: float, seed: int, *, live: bool
    ) -> CycleResult:
        """Return the matches, and why each other ticket has none."""
        ...


def run(
    rules: Path,
    tickets: Path,
    now: float | None,
    seed: int,
    as_json: bool,
    live: bool = False,
    match_tickets: MatchTickets = match,
    prepare: Callable[[], object] | None = None,
) -> int:
    """Print the matches and the tickets left; returns the exit code.

    Args:
        rules, tickets: files.
        now: seconds, on the clock of the tickets; None: when the last ticket started.
        seed: decides where the rule set says random.
        as_json: print one JSON object.
        live: every match has a region, as in a queue.
        match_tickets: forms the matches.
        prepare: called once both files have been read, so that a mistake is told before kernels are compiled.
    """
    if seed < 0 or (now is not None and not math.isfinite(now)):
        Terminal(stderr=True).print("--now must be a finite number, and --seed at least 0")
        return REFUSED
    files = read_files(rules, tickets)
    if files is None:
        return REFUSED
    rule_set, waiting = files
    if prepare is not None:
        prepare()
    if now is None:
        now = max((ticket.start_time for ticket in waiting), default=0.0)
    if all(kernel_cache.is_compiled(part) for part in PARTS):
        outcome = match_tickets(rule_set, waiting, now, seed, live=live)
    else:
        with Terminal(stderr=True).status("compiling what matches (a minute or two)"):
            outcome = match_tickets(rule_set, waiting, now, seed, live=live)
    if as_json:
        print(json.dumps(as_document(outcome)))
    else:
        _show(outcome, Terminal())
    return DONE


def read_files(rules: Path, tickets: Path | None) -> tuple[RuleSet, list[FlexMatchTicket]] | None:
    """Read a rule set and its tickets (None: no file, no tickets); None where a file has mistakes, each of
    which is a line on standard error.
    """
    try:
        rule_set = read_rule_set(_text(rules, "rule set"))
        return rule_set, [] if tickets is None else read_tickets(_text(tickets, "tickets"), rule_set)
    except DocumentError as refused:
        path = rules if refused.what == "rule set" else tickets
        for mistake in refused.mistakes:
            Terminal(stderr=True).print(f"{path}#{mistake.pointer}: {mistake.reason}")
        return None


def as_document(outcome: CycleResult) -> dict[str, Any]:
    """What ``--json`` prints."""
    return {
        "matches": [
            {"region": each.region, "teams": each.teams, "tickets": each.tickets} for each in outcome.matches
        ],
        "left": [{"ticket": each.ticket, "reason": each.reason} for each in outcome.unmatched],
    }


def _text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DocumentError(what, [Mistake("", f"cannot be read: {error.strerror or error}")]) from error
    except ValueError as error:  # no UTF-8, or a path that can be none
        raise DocumentError(what, [Mistake("", f"cannot be read: {error}")]) from error


def _show(outcome: CycleResult, console: Terminal) -> None:
    for number, each in enumerate(outcome.matches, start=1):
        console.print(f"match {number}, region {each.region or 'any'}")
        teams = table("team", "players")
        for team, players in each.teams.items():
            teams.add_row(team, ", ".join(players))
        console.print(teams)
        console.print(f"built around {each.tickets[0]}, the oldest of {len(each.tickets)} tickets")
    console.print(f"{len(outcome.matches)} matches, {len(outcome.unmatched)} tickets left")
    for left in outcome.unmatched:
        console.print(f"  {left.ticket}: {left.reason}")
