"""A match between its forming and its assignment, kept in the cache so that any director can finish it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class BackfillTerms(msgspec.Struct, frozen=True):
    """On what terms a match requests backfill for slots that become free; it repeats them with each request.

    Attributes:
        queue: the mode whose players may come.
        until_s: seconds of play after which it requests none any more.
        group: whom its players may meet, see Ticket.group.
        skill_lowest, skill_highest: of its players.
    """

    queue: str
    until_s: float
    group: int
    skill_lowest: float
    skill_highest: float


class MatchProposal(msgspec.Struct, frozen=True):
    """A match whose tickets are claimed and whose server is being found; kept so that any director can finish
    it.

    Attributes:
        match_id: canonical UUID; the allocation's idempotency key too.
        mode, region: names.
        seed: the match's random seed.
        match_s: the longest that it lasts, in seconds.
        formed_at: Unix seconds.
        ticket_ids, player_ids: in order of the players' slots (entities).
        enqueued_at: Unix seconds, each ticket's.
        latency_ms: each ticket's round trip to the region.
        teams: each player's team.
        accept_by: Unix seconds until when the players may accept it; None: they are not asked.
        game_mode: what the game server plays, where its name is not the queue's.
        backfill: on what terms it requests backfill; None: it does not.
        quality: how even the teams are expected to be, see ``match_quality``; None: not known.
    """

    match_id: str
    mode: str
    region: str
    seed: int
    match_s: float
    formed_at: float
    ticket_ids: list[str]
    player_ids: list[int]
    enqueued_at: list[float]
    latency_ms: list[float]
    teams: list[int]
    accept_by: float | None = None
    game_mode: str = ""
    backfill: BackfillTerms | None = None
    quality: float | None = None


class Withdrawal(NamedTuple):
    """What became of the tickets of a match that was given back.

    Attributes:
        ended: places of the tickets that ended: their players had cancelled them, or were refused too often.
        refusals: how often the players of a ticket that searches again were refused at a check-out, at most.
    """

    ended: list[int]
    refusals: int


class UnreadableProposal(NamedTuple):
    """A match that lies in the cache and cannot be read.

    Attributes:
        match_id: its id.
        ticket_ids: what in it looks like its tickets.
        player_ids: theirs.
    """

    match_id: str
    ticket_ids: list[str]
    player_ids: list[int]
