"""Incidents: the first time that each kind of thing went wrong in a run, in the order of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from loadtest.flood.metrics.findings import find_in_metrics
from loadtest.flood.outcome import TICK_US, RunOutcome
from loadtest.players.player_records import PlayerState


class Incident(NamedTuple):
    """The first time that one kind of thing went wrong.

    Attributes:
        at_s: seconds after the start.
        what: in words.
        planned: whether it is a fault that the scenario injected.
    """

    at_s: float
    what: str
    planned: bool = False


def find_incidents(outcome: RunOutcome) -> list[Incident]:
    """The first incident of each kind, in the order of time."""
    told = (Incident(at_s, what) for at_s, what in find_in_metrics(outcome.metrics))
    return sorted(
        [
            *_planned(outcome),
            *_servers(outcome),
            *_matches(outcome),
            *_waits(outcome),
            *_players(outcome),
            *told,
        ],
        key=lambda each: (each.at_s, not each.planned, each.what),  # a cause stands before its effects
    )


def describe_first(outcome: RunOutcome) -> str:
    """What broke first, as one sentence, and which processes of the backend died."""
    return " ".join([_first(outcome), *(f"Died: {death}." for death in outcome.deaths)])


def _first(outcome: RunOutcome) -> str:
    found = find_incidents(outcome)
    unplanned = [each for each in found if not each.planned]
    if not found and outcome.deaths:
        return "Players noticed nothing."
    if not found:
        return "Nothing broke."
    if not unplanned:
        return "Nothing broke except what the scenario injected."
    earliest = unplanned[0]
    before = [each.what for each in found if each.planned and each.at_s <= earliest.at_s]
    after = f", after this fault: {before[-1]}" if before else ""
    return f"Broke first, at {earliest.at_s:.0f} s: {earliest.what}{after}."


def _planned(outcome: RunOutcome) -> Iterator[Incident]:
    for record in outcome.fault_records:
        if record.began_s is not None:
            yield Incident(record.began_s, record.what, planned=True)


def _servers(outcome: RunOutcome) -> Iterator[Incident]:
    late = [
        (at_s, name, p99)
        for name, curve in outcome.timeline.servers.items()
        for at_s, p99 in zip(curve["at_s"], curve["p99"], strict=True)
        if p99 > TICK_US
    ]
    if late:
        at_s, name, p99 = min(late)
        yield Incident(
            at_s, f"the tick of {name} took {p99 / 1e3:.1f} ms (p99), more than its {TICK_US / 1e3:.1f} ms"
        )
    planned = {name for record in outcome.fault_records for name in (*record.killed, *record.stopped)}
    ended = [(lost.how, lost.at_s) for lost in outcome.lost_servers if lost.server not in planned]
    yield from _first_by_reason("a game server ended by itself", ended)
    by_service: dict[str, list[float]] = {}
    for at_s, service in outcome.timeline.unanswered:
        by_service.setdefault(service, []).append(at_s)
    for service, times_s in by_service.items():
        count = len(times_s)
        yield Incident(
            min(times_s), f"{service} did not answer when its counters were read; {count:,} in all"
        )


def _matches(outcome: RunOutcome) -> Iterator[Incident]:
    killed = {name for record in outcome.fault_records for name in record.killed}
    failed = [(match.reason, match.at_s) for match in outcome.failed_matches if match.server not in killed]
    yield from _first_by_reason("a match failed", failed)


def _first_by_reason(what: str, found: Iterable[tuple[str, float]]) -> Iterator[Incident]:
    by_reason: dict[str, list[float]] = {}
    for reason, at_s in found:
        by_reason.setdefault(reason, []).append(at_s)
    for reason, times_s in by_reason.items():
        yield Incident(min(times_s), f"{what}: {reason}; {len(times_s):,} in all")


def _waits(outcome: RunOutcome) -> Iterator[Incident]:
    limit_s = outcome.scenario.objectives.wait_p95_s
    records = outcome.records
    if limit_s is not None:
        waits = (*records.waits, *records.vain_waits)
        over = [wait.since_s + limit_s for wait in waits if wait.seconds > limit_s]
        if over:
            yield Incident(
                min(over), f"a player waited more than {limit_s:g} s for a match; {len(over):,} in all"
            )
    if outcome.requests.failed_at_s:
        count = len(outcome.requests.failed_at_s)
        at_s = min(outcome.requests.failed_at_s)
        yield Incident(at_s, f"a request failed and was repeated; {count:,} in all")


def _players(outcome: RunOutcome) -> Iterator[Incident]:
    records = outcome.records
    if (expired := records.tokens_expired > 0).any():
        at_s = float(np.nanmin(np.append(records.assigned_s[expired], np.inf)))
        count = int(records.tokens_expired.sum())
        yield Incident(
            at_s if np.isfinite(at_s) else 0.0,
            f"a game server took a connect token for expired: look at its machine's clock; {count:,} in all",
        )
    for state, words in (
        (PlayerState.LOST, "a player was lost"),
        (PlayerState.UNMATCHED, "a ticket ended without a match"),
        (PlayerState.CANCELLED, "a player gave up waiting"),
    ):
        gone = records.state == state
        if gone.any():
            at_s = records.ended_s[gone]
            earliest = int(np.flatnonzero(gone)[np.nanargmin(at_s)]) if np.isfinite(at_s).any() else -1
            reason = f" ({records.reason[earliest]})" if earliest >= 0 and records.reason[earliest] else ""
            when_s = float(np.nanmin(at_s)) if np.isfinite(at_s).any() else 0.0
            yield Incident(when_s, f"{words}{reason}; {int(gone.sum()):,} in all")
