"""Players' skills, and who of them is in a match, from the meta service: a batch at a time, each player once.

A player whom the meta service refuses fails alone. The batch is halved until they are found, within a budget
of calls: somebody who sends nonsense must not fail the others of the same milliseconds, nor turn one call
into hundreds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import structlog

from matchmaker.errors import SkillsRefusedError, SkillsUnavailableError
from meta_service.client import MetaClient, MetaClientError, MetaRefusedError

# Calls for one batch of 500 at most: enough to find one bad player (2 · 9), and three in most batches.
MAX_CALLS = 32
# What is wrong with one player or the other; 401 and 403 are our own token, and no halving helps.
OF_A_PLAYER = (400, 404, 409, 422)

log = structlog.get_logger()


class HeldPlayer(NamedTuple):
    """Where a player is who is checked out.

    Attributes:
        match_id: canonical UUID.
        server: the game server's name.
        until: Unix seconds until which the lease holds, unless its server ends it before.
    """

    match_id: str
    server: str
    until: float


@dataclass(frozen=True, slots=True)
class PlayerSkills:
    """An answer.

    Attributes:
        ratings: mean and deviation by player.
        held: where those are who are in a match.
        logged_out: those whose session was ended.
        refused: why there is nothing of these players.
        banned: why those are kept out who are banned, and until when (Unix seconds; None: for good).
        queued: the claim with which the party of these players queues.
        void: the claim with which a party of these players queued before it changed.
        blocked: whom these players block, where that was asked.
    """

    ratings: dict[int, tuple[float, float]] = field(default_factory=dict)
    held: dict[int, HeldPlayer] = field(default_factory=dict)
    logged_out: set[int] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)
    banned: dict[int, tuple[str, float | None]] = field(default_factory=dict)
    queued: dict[int, str] = field(default_factory=dict)
    void: dict[int, str] = field(default_factory=dict)
    blocked: dict[int, list[int]] = field(default_factory=dict)

    def add(self, other: PlayerSkills) -> None:
        """Take another answer in."""
        self.ratings.update(other.ratings)
        self.held.update(other.held)
        self.logged_out.update(other.logged_out)
        self.refused.update(other.refused)
        self.banned.update(other.banned)
        self.queued.update(other.queued)
        self.void.update(other.void)
        self.blocked.update(other.blocked)


class Skills(Protocol):
    """Where players' skills come from: the meta service, or a stand-in with the same answer."""

    async def skills(self, mode: str, player_ids: Sequence[int], *, blocks: bool = False) -> PlayerSkills:
        """Return the players' skills, and who is in a match; with ``blocks``, whom they block. Each player is
        named once.

        Raises SkillsRefusedError where something is wrong with one of them, SkillsUnavailableError.
        """


class MetaSkills:
    """Skills from the meta service; never from the client."""

    def __init__(self, meta: MetaClient) -> None:
        self._meta = meta

    async def skills(self, mode: str, player_ids: Sequence[int], *, blocks: bool = False) -> PlayerSkills:
        """Return the players' skills; see `Skills`."""
        try:
            answer = await self._meta.skills(mode, player_ids, blocks=blocks)
        except MetaRefusedError as error:
            kind = SkillsRefusedError if error.status in OF_A_PLAYER else SkillsUnavailableError
            raise kind(str(error)) from error
        except MetaClientError as error:
            raise SkillsUnavailableError(str(error)) from error
        return PlayerSkills(
            {player_id: (skill.mu, skill.sigma) for player_id, skill in answer.skills.items()},
            {
                player_id: HeldPlayer(str(held.match_id), held.server, held.until_ms / 1000)
                for player_id, held in answer.held.items()
            },
            set(answer.logged_out),
            banned={player_id: (ban.reason, ban.ends_at) for player_id, ban in answer.banned.items()},
            queued={player_id: str(claim) for player_id, claim in answer.queued.items()},
            void={player_id: str(claim) for player_id, claim in answer.void.items()},
            blocked=answer.blocked,
        )


async def skills_of(
    source: Skills, mode: str, player_ids: Sequence[int], *, blocks: bool = False
) -> PlayerSkills:
    """Return the skills of a batch's players, each of whom may be named several times.

    Whoever is refused is in ``refused``, and so is whoever was not asked about any more when the budget of
    calls was used up.

    Raises SkillsUnavailableError: there is nothing of any of them.
    """
    found, calls = PlayerSkills(), 0
    waiting = [list(dict.fromkeys(player_ids))]
    while waiting:
        players = waiting.pop()
        if calls == MAX_CALLS:
            found.refused.update(dict.fromkeys(players, "other players of the batch were refused; try again"))
            continue
        calls += 1
        try:
            answer = await source.skills(mode, players, blocks=blocks)
        except SkillsRefusedError as error:
            if len(players) == 1:
                found.refused[players[0]] = str(error)
                log.warning("a player has no skill", player_id=players[0], error=str(error))
            else:
                middle = len(players) // 2
                waiting += [players[middle:], players[:middle]]
            continue
        missing = [each for each in players if each not in answer.ratings]
        found.add(answer)
        found.refused.update(dict.fromkeys(missing, "the meta service gave no skill"))
    return found
