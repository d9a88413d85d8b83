"""Running matches that want players, as seeds of the greedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matchmaker.plans.greedy.desk import Running
from matchmaker.plans.layout import NONE
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer

ANYWHERE = ""  # the region of a running match that may be wherever all of its players are


@dataclass(frozen=True, slots=True)
class RunningMatch:
    """A running match that wants players.

    Attributes:
        match_id: whatever tells it apart.
        region: where it is played, or ``ANYWHERE``.
        group, platform: whom its players meet, as in TICKET.
        opened_at: when it began to wait for players, on the tickets' clock.
        players: who plays, each with a team.
        room: free seats of each copy of a team.
        excluded: rows of tickets that may not come.
    """

    match_id: str
    region: str
    group: int
    platform: int
    opened_at: float
    players: tuple[TicketPlayer, ...]
    room: tuple[int, ...]
    excluded: tuple[int, ...] = ()

    def tickets(self) -> list[FlexMatchTicket]:
        """A ticket a player: who plays is no party any more."""
        return [
            FlexMatchTicket(
                f"{self.match_id}/{player.player_id}",
                self.opened_at,
                (TicketPlayer(player.player_id, None, player.attributes, player.latency_ms),),
            )
            for player in self.players
        ]


def as_arrays(
    matches: Sequence[RunningMatch],
    places: Sequence[NDArray[np.int64]],
    excluded: Sequence[NDArray[np.int64]],
    copies: int,
    teams: Sequence[str],
    regions: Sequence[str],
    rows: int,
) -> Running:
    """Running matches as the kernel reads them.

    Args:
        places: the places of each match's players in the columns, which stand together.
        excluded: the places of tickets that may not come.
        copies: how many teams there are.
        teams, regions: names of the copies and of the regions.
        rows: how many places there are.
    """
    team = np.zeros(rows, np.int32)
    for match, held in zip(matches, places, strict=True):
        team[held] = [teams.index(player.team or teams[0]) for player in match.players]
    counts = np.array([len(each) for each in excluded], np.int32)
    last = np.cumsum(counts, dtype=np.int32)
    return Running(
        np.array([held[0] for held in places], np.int32),
        np.array([held[-1] + 1 for held in places], np.int32),
        team,
        np.array([match.room for match in matches], np.int32).reshape(len(matches), copies),
        np.array(
            [NONE if match.region == ANYWHERE else regions.index(match.region) for match in matches], np.int32
        ),
        np.array([match.group for match in matches], np.int32),
        np.array([match.platform for match in matches], np.int32),
        (last - counts).astype(np.int32),
        last.astype(np.int32),
        np.concatenate([np.zeros(0, np.int64), *excluded]).astype(np.int32),
    )
