"""``launchday match --why`` and ``--explain``: of a rule set and a file of tickets, for authors of rules."""

from __future__ import annotations

import json
import math
from pathlib import Path

from launchday.terminal import Terminal, show_error
from matchmaker.plans.compile import compile_plan
from matchmaker.plans.explain import explain
from matchmaker.plans.why.reasons import UnknownTicketError, why
from matchmaker.rules.flexmatch.trial import DONE, REFUSED, read_files


def run_why(
    rules: Path, tickets: Path, ticket_id: str, now: float | None, as_json: bool, live: bool = False
) -> int:
    """Print why a ticket has no match; returns the exit code. ``now`` None: when the last ticket started."""
    if now is not None and not math.isfinite(now):
        show_error("--now must be a finite number")
        return REFUSED
    files = read_files(rules, tickets)
    if files is None:
        return REFUSED
    rule_set, waiting = files
    if now is None:
        now = max((ticket.start_time for ticket in waiting), default=0.0)
    try:
        told = why(rule_set, waiting, ticket_id, now, live=live)
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
    for line in explained.lines():
        console.print(line)
    return DONE
