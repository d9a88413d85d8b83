"""``launchday match --why`` and ``--explain``: of a rule set and a file of tickets, for authors of rules."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from launchday.terminal import Terminal, show_error, table
from matchmaker.plans.compile import compile_plan
from matchmaker.plans.explain import explain
from matchmaker.plans.matching import match
from matchmaker.plans.why.reasons import UnknownTicketError, why
from matchmaker.rules.flexmatch.cycle import CycleResult
from matchmaker.rules.flexmatch.rule_set import RuleSet
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket
from matchmaker.rules.flexmatch.trial import DONE, REFUSED, MatchTickets, read_files


def run_why(
    rules: Path,
    tickets: Path,
    ticket_id: str,
    now: float | None,
    as_json: bool,
    live: bool = False,
    match_tickets: MatchTickets = match,
) -> int:
    """Print why a ticket has no match; returns the exit code. The arguments are those of the trial itself, so
    that what would have matched is tried by what matches there.
    """
    if now is not None and not math.isfinite(now):
        show_error("--now must be a finite number")
        return REFUSED
    files = read_files(rules, tickets)
    if files is None:
        return REFUSED
    rule_set, waiting = files
    if now is None:
        now = max((ticket.start_time for ticket in waiting), default=0.0)

    def cycle(made: RuleSet, these: Sequence[FlexMatchTicket], then: float) -> CycleResult:
        return match_tickets(made, these, then, 0, live=live)

    try:
        told = why(rule_set, waiting, ticket_id, now, live=live, cycle=cycle)
    except UnknownTicketError as unknown:
        show_error(f"{tickets}: {unknown}")
        return REFUSED
    if as_json:
        print(json.dumps(told.as_document()))
        return DONE
    console = Terminal()
    for line in told.lines():
        console.print(line)
    return DONE


def run_explain(rules: Path, as_json: bool) -> int:
    """Print how a rule set is matched; returns the exit code."""
    files = read_files(rules, None)
    if files is None:
        return REFUSED
    explained = explain(compile_plan(files[0]))
    if as_json:
        print(json.dumps(explained.as_document()))
        return DONE
    console = Terminal()
    rows = table("rule", "type", "became", "tested", "numbers")
    for rule in explained.rule_rows():
        rows.add_row(*rule)
    lists = table("seats of", "who bring", "sorted by", "walked", "ends")
    for each in explained.list_rows():
        lists.add_row(*each)
    for shown in (rows, lists):
        if shown.row_count:
            console.print(shown)
    for line in explained.lines():
        console.print(line)
    return DONE
