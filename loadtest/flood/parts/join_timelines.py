"""One timeline out of those of the parts: players are added up, what the backend told is taken once."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence

from loadtest.flood.watching.timeline import Timeline
from loadtest.players.player_records import PlayerState

SAME_MARK_S = 1.5  # two parts see the same match begin in samples that are this far apart at most


def join_timelines(given: Sequence[tuple[Timeline, float]]) -> Timeline:
    """Join timelines, each with the seconds by which its clock began later than the merged run's.

    The samples are those of the first one and, after its end, of those that went on. All parts look at the
    same backend: its queues and servers are taken from the part whose sample it is.
    """
    moved = [_Moved(timeline, shift_s) for timeline, shift_s in given if timeline.at_s]
    joined = Timeline()
    if not moved:
        return joined
    rows: list[tuple[float, _Moved, int]] = []
    for one in sorted(moved, key=lambda each: each.at_s[0]):
        last_s = rows[-1][0] if rows else float("-inf")
        rows += [(at_s, one, index) for index, at_s in enumerate(one.at_s) if at_s > last_s]
    states = list(dict.fromkeys(state for one in moved for state in one.timeline.fleet))
    joined.fleet = {state: [] for state in states}
    for at_s, one, index in rows:
        joined.at_s.append(round(at_s, 2))
        for state, counts in joined.players.items():
            counts.append(sum(each.players_in(state, at_s) for each in moved))
        timeline = one.timeline
        for name in joined.queue:
            joined.queue[name].append(_at(timeline.queue.get(name, ()), index))
            when_s = _at(timeline.queue_at_s.get(name, ()), index)
            joined.queue_at_s[name].append(None if when_s is None else when_s + one.shift_s)
        for name in states:
            joined.fleet[name].append(int(_at(timeline.fleet.get(name, ()), index) or 0))
        when_s = _at(timeline.fleet_at_s, index)
        joined.fleet_at_s.append(None if when_s is None else when_s + one.shift_s)
    for one in moved:
        _join_servers(joined, one)
    joined.marks = _once((one.shift_s, one.timeline.marks) for one in moved)
    joined.faults = _once((one.shift_s, one.timeline.faults) for one in moved)
    joined.unanswered = sorted(
        (at_s + one.shift_s, service) for one in moved for at_s, service in one.timeline.unanswered
    )
    return joined


class _Moved:
    """A timeline on the merged run's clock."""

    def __init__(self, timeline: Timeline, shift_s: float) -> None:
        self.timeline, self.shift_s = timeline, shift_s
        self.at_s = [at_s + shift_s for at_s in timeline.at_s]
        self._players = sum(counts[0] for counts in timeline.players.values())

    def players_in(self, state: PlayerState, at_s: float) -> int:
        """Its players in a state at a time: by the sample before; before the first, all are away."""
        place = bisect.bisect_right(self.at_s, at_s) - 1
        if place < 0:
            return self._players if state is PlayerState.AWAY else 0
        return self.timeline.players.get(state, [0] * len(self.at_s))[place]


def _join_servers(joined: Timeline, one: _Moved) -> None:
    """Take the curves of game servers that are longer than those that another part has of the same."""
    for name, curves in one.timeline.servers.items():
        known = joined.servers.get(name)
        if known is None or len(known["at_s"]) < len(curves["at_s"]):
            joined.servers[name] = curves | {"at_s": [at_s + one.shift_s for at_s in curves["at_s"]]}


def _once(given: Iterable[tuple[float, list[tuple[float, str]]]]) -> list[tuple[float, str]]:
    """Marks of all parts; what several parts have seen at about the same time is there once."""
    found: list[tuple[float, str]] = []
    for shift_s, marks in given:
        unmatched = list(found)
        for at_s, text in ((at_s + shift_s, text) for at_s, text in marks):
            same = next(
                (mark for mark in unmatched if mark[1] == text and abs(mark[0] - at_s) <= SAME_MARK_S), None
            )
            if same is None:
                found.append((at_s, text))
            else:
                unmatched.remove(same)
    return sorted(found)


def _at(values: Sequence[float | None], index: int) -> float | None:
    return values[index] if index < len(values) else None
