"""Openings: a fleet that has turned matches away says when one of them may get a server.

A director whose match was turned away would else learn of a server that is Ready by asking again and again. A
region in which nobody was turned away says nothing, so a fleet with idle servers publishes no more than
before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from dedicated_server.fleet.pool.changes import Changes
from dedicated_server.fleet.pool.region import UNMET_TTL_S, Region
from dedicated_server.fleet.pool.start_window import StartWindow
from dedicated_server.fleet.pool.states import State

OPENING = "opening"  # the kind of these changes


class Openings:
    """The openings of one fleet, among its changes.

    Args:
        changes: where they are published.
        regions: the fleet's, by name.
        starts: the window of starts: while it is full, no server that is Ready is given to a match.
        wall: Unix seconds, of which the changes are dated.
    """

    def __init__(
        self,
        changes: Changes,
        regions: Mapping[str, Region],
        starts: StartWindow,
        wall: Callable[[], float],
    ) -> None:
        self._changes = changes
        self._regions = regions
        self._starts = starts
        self._wall = wall
        self._turned_away: dict[str, float] = {}  # region → monotonic seconds of the last time
        self._was_full = False

    def turned_away(self, region: str | None, now: float) -> None:
        """Note that a match was turned away at ``now`` (monotonic seconds); None: from any region."""
        for name in self._regions if region is None else (region,):
            if name in self._regions:
                self._turned_away[name] = now
        self._was_full = self._was_full or self._starts.full

    def server_ready(self, region: str, now: float) -> None:
        """Note that a server of a region is Ready."""
        if self._regions[region].cordoned or self._regions[region].draining:
            return
        if self._starts.full:
            self._was_full = True  # it is told once the window has room
        elif region in self._waited_for(now):
            self._publish(region)

    def look(self, now: float) -> None:
        """Publish what a window of starts that was full and has room again opens."""
        if not self._was_full or self._starts.full:
            return
        self._was_full = False
        for region in self._waited_for(now):
            if self._regions[region].in_state[State.READY]:
                self._publish(region)

    def _waited_for(self, now: float) -> Iterator[str]:
        """The regions in which a match was turned away a short time ago."""
        return (name for name, at in self._turned_away.items() if now - at < UNMET_TTL_S)

    def _publish(self, region: str) -> None:
        self._changes.publish(OPENING, self._wall(), region=region)
