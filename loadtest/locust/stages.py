"""The stages of a player's journey as requests of a load generator: what each took, and which one failed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loadtest.players.player_records import PlayerRecords, PlayerState

LOGIN, WAIT, CONNECT, ROUND_TRIP, MATCH = (
    "log in and queue",
    "wait for a match",
    "connect",
    "round trip",
    "match",
)
IN_VAIN = (PlayerState.LOST, PlayerState.UNMATCHED, PlayerState.CANCELLED)  # without the match, or out of it
LOST_SERVER = "the game server was lost"
BETWEEN_MATCHES = (PlayerState.THINKING, PlayerState.QUEUED)

Report = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class _Said:
    """What of a journey has been reported.

    Attributes:
        assigned_s, connected_s: the latest that was seen, in seconds of the run; NaN: none yet.
        playing_since_s: when the match began that the player is in; NaN: in none.
        requeues: because a game server was lost.
    """

    logged_in: bool = False
    assigned_s: float = math.nan
    connected_s: float = math.nan
    playing_since_s: float = math.nan
    requeues: int = 0
    over: bool = False


class JourneyStages:
    """Reports the stages of journeys as their ends are noted in the players' records.

    A session may have several matches: each is a wait, a connect and a match of its own.

    Args:
        records: of the players, by seat.
        clock: seconds of the run.
        report: takes ``{"player", "name", "ms", "error"}``.
    """

    def __init__(self, records: PlayerRecords, clock: Callable[[], float], report: Report) -> None:
        self._records, self._clock, self._report = records, clock, report
        self._said: dict[int, _Said] = {}

    def begin(self, seat: int) -> None:
        """A journey begins in this seat, whose record is empty."""
        self._said[seat] = _Said(requeues=int(self._records.requeues[seat]))

    def end(self, player: int, seat: int) -> None:
        """A journey has ended: report what is left of it."""
        self.look(player, seat)
        del self._said[seat]

    def look(self, player: int, seat: int) -> None:
        """Report every stage that has ended since the last look."""
        records, said = self._records, self._said[seat]
        queued_s, assigned_s = float(records.queued_s[seat]), float(records.assigned_s[seat])
        connected_s, ended_s = float(records.connected_s[seat]), float(records.ended_s[seat])
        if not said.logged_in and not math.isnan(queued_s):
            said.logged_in = True
            self._tell(player, LOGIN, queued_s - float(records.arrived_s[seat]))
        # A match is over when the session is, or when its player is on the way to the next one.
        requeues = int(records.requeues[seat])
        lost = requeues > said.requeues
        in_match = not math.isnan(said.playing_since_s)
        if in_match and records.state[seat] in BETWEEN_MATCHES and math.isnan(ended_s):
            over_s = queued_s if queued_s > said.playing_since_s else self._clock()
            self._tell(player, MATCH, over_s - said.playing_since_s, LOST_SERVER if lost else "")
            said.playing_since_s, said.requeues, in_match = math.nan, requeues, False
        elif lost and not in_match and queued_s > said.assigned_s:
            self._tell(player, CONNECT, queued_s - said.assigned_s, LOST_SERVER)
            said.requeues = requeues
        if _is_later(assigned_s, said.assigned_s):
            said.assigned_s, said.playing_since_s, in_match = assigned_s, math.nan, False
            self._tell(player, WAIT, assigned_s - queued_s)
        if _is_later(connected_s, said.connected_s):
            said.connected_s = connected_s
            if not in_match:  # else it came back into its match, which is no stage
                said.playing_since_s = connected_s
                self._tell(player, CONNECT, connected_s - said.assigned_s)
        if not math.isnan(ended_s) and not said.over:
            said.over = True
            self._tell_end(player, seat, said, ended_s)

    def _tell_end(self, player: int, seat: int, said: _Said, ended_s: float) -> None:
        """Report the last stage; where the player was lost or gave up, as one that failed."""
        records, state = self._records, self._records.state[seat]
        if state == PlayerState.STOPPED:
            return
        error = (records.reason[seat] or "the player was lost") if state in IN_VAIN else ""
        arrived_s, queued_s = float(records.arrived_s[seat]), float(records.queued_s[seat])
        if not math.isnan(said.playing_since_s):
            self._tell(player, MATCH, ended_s - said.playing_since_s, error)
        elif not error:
            return
        elif not said.logged_in:
            self._tell(player, LOGIN, ended_s - arrived_s, error)
        elif queued_s < said.assigned_s:
            self._tell(player, CONNECT, ended_s - said.assigned_s, error)
        else:  # never assigned, or queued again since
            self._tell(player, WAIT, ended_s - queued_s, error)

    def _tell(self, player: int, name: str, took_s: float, error: str = "") -> None:
        self._report({"player": player, "name": name, "ms": took_s * 1e3, "error": error})


def _is_later(now_s: float, seen_s: float) -> bool:
    """Whether a time was noted that has not been seen; NaN is none."""
    return not math.isnan(now_s) and now_s != seen_s
