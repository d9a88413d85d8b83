"""What became of each player, written down as it happens: a structure of arrays, one row a bot."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt


class PlayerState(IntEnum):
    """Where a player is on the way through the game."""

    AWAY = 0  # has not arrived yet
    LOGGING_IN = 1
    QUEUED = 2
    CONNECTING = 3
    PLAYING = 4
    WATCHING = 5  # dead, and still connected
    DONE = 6  # saw the match to its end, or died and left
    CANCELLED = 7  # ran out of patience, or the run was stopped
    UNMATCHED = 8  # the ticket expired or failed
    LOST = 9  # an error: refused, never connected, or the session broke
    SHOPPING = 10
    THINKING = 11  # between two matches of a session


FINAL_STATES = (PlayerState.DONE, PlayerState.CANCELLED, PlayerState.UNMATCHED, PlayerState.LOST)


class PlayerRecords:
    """The fate of every player of a run; all times are seconds since its start, NaN where it never came to that.

    Attributes:
        state: uint8[n], a State.
        arrived_s, queued_s, assigned_s, connected_s, died_s, ended_s: float64[n].
        intended_s: float64[n], when the player meant to arrive.
        region: list of n, the region of the match, or "".
        match: list of n, the match's id, or "".
        reason: list of n, why a player was lost or not matched.
        rtt_ms, received_kbit_s, sent_kbit_s: float64[n], over the time connected.
        player_id: int64[n], 0 before the login.
        tickets_opened, requeues, salvaged, quits, drops, returns: int64[n]: tickets held; matches queued for anew because a game server
            died; how many of those with the age that the player had; matches left without a good-bye; connections lost, and taken up again, on purpose.
    """

    def __init__(self, intended_s: npt.NDArray[np.float64]) -> None:
        count = len(intended_s)
        self.intended_s = intended_s
        self.state = np.zeros(count, np.uint8)
        self.arrived_s = np.full(count, np.nan)
        self.queued_s = np.full(count, np.nan)
        self.assigned_s = np.full(count, np.nan)
        self.connected_s = np.full(count, np.nan)
        self.died_s = np.full(count, np.nan)
        self.ended_s = np.full(count, np.nan)
        self.region = [""] * count
        self.match_id = [""] * count
        self.reason = [""] * count
        self.rtt_ms = np.full(count, np.nan)
        self.received_kbit_s = np.full(count, np.nan)
        self.sent_kbit_s = np.full(count, np.nan)
        self.player_id = np.zeros(count, np.int64)
        self.tickets_opened = np.zeros(count, np.int64)
        self.requeues = np.zeros(count, np.int64)
        self.requeues_with_age = np.zeros(count, np.int64)
        self.quits = np.zeros(count, np.int64)
        self.disconnects = np.zeros(count, np.int64)
        self.reconnects = np.zeros(count, np.int64)
        self._waits: list[tuple[int, float, str]] = []

    def __len__(self) -> int:
        return len(self.state)

    def count_by_state(self) -> npt.NDArray[np.int64]:
        """Players in each State."""
        return np.bincount(self.state, minlength=len(PlayerState))

    def count(self, *states: PlayerState) -> int:
        """Players in any of these states."""
        return int(np.isin(self.state, states).sum())

    @property
    def tickets(self) -> int:
        """Tickets that players were given."""
        return int(self.tickets_opened.sum())

    def record_wait(self, bot: int, wait_s: float, region: str) -> None:
        """A player got a match in ``region``.

        The wait is measured from when the player meant to come, not from when the generator got round to it: a late generator or a
        slow login must not make it look shorter.
        """
        self._waits.append((bot, wait_s, region))

    @property
    def waits(self) -> list[tuple[int, float, str]]:
        """Each wait for a match that came: the player, seconds, the region of the match."""
        return self._waits

    def wait_times_s(self) -> npt.NDArray[np.float64]:
        """Each wait for a match that came."""
        return np.array([wait_s for _, wait_s, _ in self._waits])

    def match_ids(self) -> list[str]:
        """Ids of the matches that players were assigned to, in order of the first assignment."""
        order = np.argsort(self.assigned_s, kind="stable")
        return list(dict.fromkeys(self.match_id[index] for index in order if self.match_id[index]))

    def count_reasons(self) -> dict[str, int]:
        """How many players were lost or not matched for each reason, the most frequent first."""
        tally: dict[str, int] = {}
        for reason in self.reason:
            if reason:
                tally[reason] = tally.get(reason, 0) + 1
        return dict(sorted(tally.items(), key=lambda item: -item[1]))
