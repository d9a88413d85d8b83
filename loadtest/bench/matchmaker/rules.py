"""``rules``: rule sets and tickets whose matches are known, run by the real command; each is right or wrong.

The cases stand in ``rule_cases``: the forms of every rule set that the FlexMatch guide publishes, under names
of their own, what authors reported in public, and text that must be refused in one line. ``cases.json`` says
what is right of each; `expectations` lists what can be said.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from loadtest.bench.matchmaker.expectations import Answer, mistakes_of
from loadtest.errors import BenchError
from matchmaker.plans.matching import match
from matchmaker.plans.warm_up import warm_up
from matchmaker.rules.flexmatch import trial

LONGEST_S: Final = 120.0  # of a case that is run as a process
QUICK: Final = 45  # tickets of a case that takes no time
FOLDER: Final = Path(str(resources.files("loadtest.bench.matchmaker").joinpath("rule_cases")))


@dataclass(frozen=True, slots=True)
class Case:
    """A rule set, tickets, and what is right.

    Attributes:
        name: of the case; its files are ``NAME.rules.json`` and ``NAME.tickets.json``, unless ``rules`` or
            ``tickets`` names another case's.
        now: seconds, on the clock of the tickets.
        expected: what `expectations` checks.
    """

    name: str
    rules: Path
    tickets: Path
    now: float
    expected: dict[str, Any]

    @property
    def as_process(self) -> bool:
        """Whether it is about how the command ends, which only a process of its own can show."""
        return "exit" in self.expected or "no_traceback" in self.expected


def cases() -> list[Case]:
    """All cases, in the order in which they are written."""
    found = []
    for each in json.loads((FOLDER / "cases.json").read_text()):
        name = each["name"]
        found.append(
            Case(
                name,
                FOLDER / f"{each.get('rules', name)}.rules.json",
                FOLDER / f"{each.get('tickets', name)}.tickets.json",
                float(each["now"]),
                {
                    key: value
                    for key, value in each.items()
                    if key not in ("name", "now", "why", "source", "rules", "tickets")
                },
            )
        )
    return found


def is_quick(case: Case) -> bool:
    """Whether it takes no time: few tickets, and a search that tries everything."""
    small = case.tickets.read_text().count('"TicketId"') <= QUICK
    return small and "reason" not in case.expected


def run(only: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """Run the cases named, or all; yields each that is wrong, and last how many there were and were right.

    Raises BenchError for a name that no case has.
    """
    all_cases = cases()
    if unknown := set(only) - {case.name for case in all_cases}:
        raise BenchError(f"there is no case {', '.join(sorted(unknown))}")
    chosen = [case for case in all_cases if not only or case.name in only]
    warm_up()
    wrong = 0
    for case in chosen:
        mistakes = check(case)
        if mistakes:
            wrong += 1
            yield {"name": case.name, "wrong": mistakes}
    yield {"bench": "rules", "cases": len(chosen), "right": len(chosen) - wrong}


def check(case: Case, *, processes: bool = True) -> list[str]:
    """Run one case; what is wrong with the answer, a phrase each. ``processes``: where it is about how the
    command ends, as a process of its own.
    """
    try:
        answer = _as_process(case) if processes and case.as_process else _in_process(case)
    except subprocess.TimeoutExpired:
        return [f"no answer within {LONGEST_S:g} s"]
    return mistakes_of(case.expected, answer, case.tickets)


def _in_process(case: Case) -> Answer:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = trial.run(case.rules, case.tickets, case.now, 0, True, match_tickets=match)
    return Answer(code, out.getvalue(), err.getvalue())


def _as_process(case: Case) -> Answer:
    """Run it as it is typed, and where matches are expected also with ``--json``, which shows no names."""
    runs = [_ended(case)] + ([_ended(case, "--json")] if "matches" in case.expected else [])
    return Answer(max(run.returncode for run in runs), runs[-1].stdout, "".join(run.stderr for run in runs))


def _ended(case: Case, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "launchday.cli",
            "match",
            case.rules,
            case.tickets,
            "--now",
            str(case.now),
            *options,
        ],
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )
