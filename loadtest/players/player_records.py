"""What happened to each player, recorded as it happens: a structure of arrays with one row per bot."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedicated_server.protocol import reasons

TOLD = "told_"  # and a reason's name: a column of the records


class PlayerState(IntEnum):
    """Where a player is in the journey."""

    AWAY = 0  # has not arrived yet
    LOGGING_IN = 1
    QUEUED = 2
    CONNECTING = 3
    PLAYING = 4
    WATCHING = 5  # dead, and still connected
    DONE = 6  # saw the match to its end, or died and left
    CANCELLED = 7  # ran out of patience: gave up waiting
    UNMATCHED = 8  # the ticket expired or failed
    LOST = 9  # an error: refused, never connected, or the session broke
    SHOPPING = 10
    THINKING = 11  # between two matches of a session
    STOPPED = 12  # was still there when the run ended: it was stopped, or its time was over

    @property
    def label(self) -> str:
        """How the state is called in output, such as "not arrived"."""
        return LABELS.get(self, self.name.lower().replace("_", " "))


# Where the plain words are not the member's name.
LABELS = {
    PlayerState.AWAY: "not arrived",
    PlayerState.WATCHING: "dead and watching",
    PlayerState.THINKING: "between matches",
    PlayerState.DONE: "finished",
    PlayerState.CANCELLED: "gave up",
    PlayerState.UNMATCHED: "not matched",
    PlayerState.STOPPED: "cut off by the end",
}
FINAL_STATES = (
    PlayerState.DONE,
    PlayerState.CANCELLED,
    PlayerState.UNMATCHED,
    PlayerState.LOST,
    PlayerState.STOPPED,
)


class WaitEnd(StrEnum):
    """How a wait for a match ended; all but the first ended without one, after the time waited at least."""

    MATCHED = "matched"
    GAVE_UP = "gave up"  # the player's patience was over
    NO_MATCH = "ticket ended"  # it expired, or failed
    LOST = "lost"  # the player was, such as by a service that was away
    CUT_OFF = "cut off"  # the run ended first: nobody knows what would have come of it


class Wait(NamedTuple):
    """A wait for a match.

    Attributes:
        bot: who waited.
        since_s, until_s: from when the player meant to queue to its end, in seconds of the run.
        region: of the match; "" where it ended without one, or nobody knows, as in the next two.
        match_id, entity: the match, and the player's slot in it.
        end: how it ended.
    """

    bot: int
    since_s: float
    until_s: float
    region: str = ""
    match_id: str = ""
    entity: int = -1
    end: WaitEnd = WaitEnd.MATCHED

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.until_s - self.since_s


class PlayerRecords:
    """The record of every player of a run. Times are seconds since its start, NaN where it never came to
    that.

    Attributes:
        state: uint8[n], a PlayerState.
        intended_s: float64[n], when the player meant to arrive.
        arrived_s, queued_s, assigned_s, connected_s, died_s, ended_s: float64[n], when each step happened.
        region, match_id: list of n, of the last match that the player was assigned to, or "".
        reason: list of n, why a player was lost or not matched, or "".
        rtt_ms, received_kbit_s, sent_kbit_s: float64[n], over the time connected; UDP payload.
        player_id: int64[n], 0 before the login.
        tickets_opened: int64[n], tickets that the player has held.
        requeues: int64[n], times that a player queued again because a game server died.
        requeues_with_age: int64[n], those of them in which the player kept the time in the queue.
        quits: int64[n], matches left without a good-bye, on purpose.
        disconnects, reconnects: int64[n], connections dropped on purpose, and those of them that came back.
        roams: int64[n], times that a player's address changed in a match.
        tokens_expired: int64[n], times that a game server told the client that its token has expired.
        told_…: int64[n] for each name of `protocol.reasons`, sessions of which a game server has told the
            client that it does not let it in, or lets it go, for that reason.
        crashes: int64[n], clients killed in a match, on purpose.
        kills_seen, deaths_seen: int64[n], kills by the player and deaths of the player, over all their lives,
            that their own clients were told of.
        matches_missed: int64[n], times that a client was away from a match, or left it, before it was over:
            its counts are not all that there were.
        back_s: seconds from each such crash until the player was in the match again, of those who came back.
        roam_back_s: seconds from the first datagram of each such address until the game server was heard
            there.
        return_s: seconds from each attempt to come back into a match after a dropped connection until that
            was done.
        waits: those that ended in a match.
        vain_waits: those that did not: given up, expired, lost, or cut off by the end of the run. Their
            seconds are the time waited at least.
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
        self.roams = np.zeros(count, np.int64)
        self.tokens_expired = np.zeros(count, np.int64)
        for name in reasons.NAMES[1:]:
            setattr(self, TOLD + name, np.zeros(count, np.int64))
        self.crashes = np.zeros(count, np.int64)
        self.kills_seen = np.zeros(count, np.int64)
        self.deaths_seen = np.zeros(count, np.int64)
        self.matches_missed = np.zeros(count, np.int64)
        self.back_s: list[float] = []
        self.roam_back_s: list[float] = []
        self.return_s: list[float] = []
        self.waits: list[Wait] = []
        self.vain_waits: list[Wait] = []

    def __len__(self) -> int:
        return len(self.state)

    def note_told(self, bot: int, reason: int) -> None:
        """Note what a game server said of a session: a number of `protocol.reasons`; 0: nothing."""
        if 0 < reason < len(reasons.NAMES):
            getattr(self, TOLD + reasons.NAMES[reason])[bot] += 1

    def told(self) -> dict[str, int]:
        """How many sessions ended by a game server's word, by its reason."""
        counts = {name: int(getattr(self, TOLD + name).sum()) for name in reasons.NAMES[1:]}
        return {name: count for name, count in counts.items() if count}

    def count_by_state(self) -> npt.NDArray[np.int64]:
        """int64[states]: players in each PlayerState."""
        return np.bincount(self.state, minlength=len(PlayerState))

    def count(self, *states: PlayerState) -> int:
        """The number of players in any of these states."""
        return int(np.isin(self.state, states).sum())

    @property
    def tickets(self) -> int:
        """Tickets that all players together have held."""
        return int(self.tickets_opened.sum())

    def record_wait(self, wait: Wait) -> None:
        """Note the end of a player's wait.

        It counts from when the player meant to queue, not from when the generator got to it: a late generator
        or a slow login must not make it look shorter.
        """
        (self.waits if wait.end is WaitEnd.MATCHED else self.vain_waits).append(wait)

    def wait_times_s(self) -> npt.NDArray[np.float64]:
        """float64[waits]: seconds of each wait, first those that ended in a match, then all others, which
        count with the time waited at least.

        Without the others the percentiles would be those of the lucky: the fewer players get a match, the
        shorter their waits would look.
        """
        return np.array([wait.seconds for wait in (*self.waits, *self.vain_waits)], np.float64)

    def waits_ended(self) -> npt.NDArray[np.bool_]:
        """bool[waits], in the order of :meth:`wait_times_s`: whether it ended in a match."""
        return np.arange(len(self.waits) + len(self.vain_waits)) < len(self.waits)

    def waits_cut_off(self) -> npt.NDArray[np.bool_]:
        """bool[waits], in the order of :meth:`wait_times_s`: whether the end of the run cut it off."""
        return np.array([wait.end is WaitEnd.CUT_OFF for wait in (*self.waits, *self.vain_waits)], np.bool_)

    @property
    def never_queued(self) -> int:
        """Players of whom no wait is known: they never came, or were lost before they queued."""
        return len(self) - len({wait.bot for wait in (*self.waits, *self.vain_waits)})

    @property
    def came(self) -> int:
        """Players who have arrived."""
        return int(np.isfinite(self.arrived_s).sum())

    @property
    def abandoned_share(self) -> float:
        """Share of the players who came and gave up waiting for a match; 0 where nobody came.

        Who was still taking the ticket back when the run ended has given up, too.
        """
        gave_up = self.state == PlayerState.CANCELLED
        gave_up[[wait.bot for wait in self.vain_waits if wait.end is WaitEnd.GAVE_UP]] = True
        return int(gave_up.sum()) / self.came if self.came else 0.0

    def match_ids(self) -> list[str]:
        """Ids of the matches that players were assigned to, in the order of the assignments."""
        return list(
            dict.fromkeys(wait.match_id for wait in sorted(self.waits, key=lambda wait: wait.until_s))
        )

    def witnesses(self) -> npt.NDArray[np.int64]:
        """int64[witnesses]: the players who saw all of their matches to the end, by their numbers."""
        played = np.isfinite(self.connected_s) & (self.player_id > 0)
        return np.flatnonzero(played & (self.matches_missed == 0))

    def count_reasons(self) -> dict[str, int]:
        """How many players were lost or not matched for each reason, the most frequent first."""
        tally: dict[str, int] = {}
        for reason in self.reason:
            if reason:
                tally[reason] = tally.get(reason, 0) + 1
        return dict(sorted(tally.items(), key=lambda item: -item[1]))
