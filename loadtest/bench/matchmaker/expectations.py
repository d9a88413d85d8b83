"""What is expected of a case of the bench ``rules``, and whether an answer of the command meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Match = dict[str, Any]


class Answer(NamedTuple):
    """How the command ended: its exit code, and what it printed."""

    code: int
    stdout: str
    stderr: str


def mistakes_of(expected: dict[str, Any], answer: Answer, tickets: Path) -> list[str]:
    """What an answer lacks, a phrase each; see `EXPECTATIONS` for what can be expected.

    Besides: the exit code is 0 unless another is expected, a refusal says why and never in a traceback, no
    ticket plays twice.
    """
    mistakes = []
    if answer.code != expected.get("exit", 0):
        mistakes.append(f"exit code {answer.code}: {answer.stderr.strip()[:200]}")
    if "Traceback" in answer.stderr:
        mistakes.append("a traceback")
    if answer.code and not answer.stderr.strip():
        mistakes.append("no reason")
    if unknown := set(expected) - set(EXPECTATIONS) - {"exit", "no_traceback", "says"}:
        mistakes.append(f"the case expects what nobody checks: {', '.join(sorted(unknown))}")
    if "says" in expected and expected["says"] not in answer.stderr:
        mistakes.append(f"{expected['says']} is not among what it says: {answer.stderr.strip()[:200]}")
    if mistakes or answer.code or not (set(expected) & set(EXPECTATIONS)):
        return mistakes
    outcome = json.loads(answer.stdout)
    played = [ticket for match in outcome["matches"] for ticket in match["tickets"]]
    if len(set(played)) < len(played):
        mistakes.append("a ticket plays twice")
    for name, holds in EXPECTATIONS.items():
        if name in expected and not holds(outcome, expected[name], tickets):
            sizes = [
                {team: len(seats) for team, seats in each["teams"].items()} for each in outcome["matches"]
            ]
            mistakes.append(
                f"{name} is not {json.dumps(expected[name])}: {len(sizes)} matches, {json.dumps(sizes)[:200]}"
            )
    return mistakes


def _size(match: Match) -> int:
    return sum(map(len, match["teams"].values()))


def _matches(outcome: Any, count: int, _: Path) -> bool:
    return len(outcome["matches"]) == count


def _matches_at_least(outcome: Any, count: int, _: Path) -> bool:
    return len(outcome["matches"]) >= count


def _team_sets(outcome: Any, teams: list[str], _: Path) -> bool:
    return all(set(match["teams"]) == set(teams) for match in outcome["matches"])


def _sizes(outcome: Any, sizes: dict[str, int], _: Path) -> bool:
    return all(
        {team: len(match["teams"].get(team, ())) for team in sizes} == sizes for match in outcome["matches"]
    )


def _each_of_size(outcome: Any, size: int, _: Path) -> bool:
    return all(_size(match) == size for match in outcome["matches"])


def _spread(outcome: Any, spread: dict[str, Any], _: Path) -> bool:
    """Whether teams whose names begin alike have nearly one size."""
    for match in outcome["matches"]:
        sizes = [len(seats) for team, seats in match["teams"].items() if team.startswith(spread["prefix"])]
        if max(sizes) - min(sizes) > spread["most"]:
            return False
    return True


def _contains(outcome: Any, tickets: list[str], _: Path) -> bool:
    return any(set(tickets) <= set(match["tickets"]) for match in outcome["matches"])


def _together(outcome: Any, groups: list[list[str]], _: Path) -> bool:
    return sorted(sorted(match["tickets"]) for match in outcome["matches"]) == sorted(map(sorted, groups))


def _apart(outcome: Any, pairs: list[list[str]], _: Path) -> bool:
    return not any(set(pair) <= set(match["tickets"]) for pair in pairs for match in outcome["matches"])


def _left(outcome: Any, count: int, _: Path) -> bool:
    return len(outcome["left"]) == count


def _reason(outcome: Any, reasons: dict[str, str], _: Path) -> bool:
    said = {each["ticket"]: each["reason"] for each in outcome["left"]}
    return all(text in said.get(ticket, "") for ticket, text in reasons.items())


def _mean_latency_at_most(outcome: Any, most: float, tickets: Path) -> bool:
    latency = {
        player["PlayerId"]: player["LatencyInMs"]
        for ticket in json.loads(tickets.read_text())
        for player in ticket["Players"]
    }
    values = [
        latency[player][match["region"]]
        for match in outcome["matches"]
        for seats in match["teams"].values()
        for player in seats
    ]
    return bool(values) and sum(values) / len(values) <= most


# By the names that ``cases.json`` uses. matches, matches_at_least: how many. team_sets: each match's teams.
# sizes: players of some teams of each; size: of each match; spread: teams of one prefix differ by so many at
# most. contains: a match has these tickets; together: the matches' tickets, all of them; apart: never in one
# match. left: tickets without a match; reason: what some of them are told. mean_latency_at_most: ms, of all
# who play. Beside these: exit, no_traceback, and says, text on standard error.
EXPECTATIONS: dict[str, Callable[[Any, Any, Path], bool]] = {
    "matches": _matches,
    "matches_at_least": _matches_at_least,
    "team_sets": _team_sets,
    "sizes": _sizes,
    "size": _each_of_size,
    "spread": _spread,
    "contains": _contains,
    "together": _together,
    "apart": _apart,
    "left": _left,
    "reason": _reason,
    "mean_latency_at_most": _mean_latency_at_most,
}
