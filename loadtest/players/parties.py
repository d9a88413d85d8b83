"""Parties: players who queue together, play together and decide together whether to play again.

A party queues when the last of its remaining members is ready. Each match gives it a new party id. After a
game server has died each member queues alone, because nobody can know who is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from loadtest.scenario.population import Population

PartyTicket = tuple[str, int]
"""Id and size of the party that a ticket belongs to."""


@dataclass(frozen=True, slots=True)
class PlayRequest:
    """A party is ready to queue.

    Attributes:
        intended_s: when its last member meant to queue, in seconds of the run.
        party: what its tickets name as the party; None for a player alone.
    """

    intended_s: float
    party: PartyTicket | None


@dataclass(slots=True)
class _ReadyMember:
    """A member who waits for the others."""

    intended_s: float
    ready: asyncio.Future[PlayRequest]


class BotParty:
    """Players who stay together until each of them leaves.

    Args:
        name: unique in all runs.
        members: the bots' numbers.
    """

    def __init__(self, name: str, members: list[int]) -> None:
        self._name = name
        self._remaining = set(members)
        self._ready: dict[int, _ReadyMember] = {}
        self._plays = 0
        self._decisions: list[bool] = []
        self._asked = dict.fromkeys(members, 0)

    async def wait_for_members(self, bot: int, intended_s: float) -> PlayRequest:
        """Be ready since ``intended_s`` (seconds of the run), and wait until every remaining member is."""
        future: asyncio.Future[PlayRequest] = asyncio.get_running_loop().create_future()
        self._ready[bot] = _ReadyMember(intended_s, future)
        self._queue_if_ready()
        try:
            return await future
        finally:
            self._ready.pop(bot, None)

    def plays_again(self, bot: int, decide: Callable[[], bool]) -> bool:
        """Whether the party plays another match: decided once for all members, by the first that asks."""
        asked = self._asked[bot]
        self._asked[bot] = asked + 1
        if asked == len(self._decisions):
            self._decisions.append(decide())
        return self._decisions[asked]

    def leave(self, bot: int) -> None:
        """A member has left; the others do not wait for them any more."""
        self._remaining.discard(bot)
        self._queue_if_ready()

    def _queue_if_ready(self) -> None:
        if not self._remaining or not self._remaining <= self._ready.keys():
            return
        ready = [self._ready.pop(bot) for bot in sorted(self._remaining)]
        self._plays += 1
        party = (f"{self._name}-{self._plays}", len(ready)) if len(ready) > 1 else None
        play = PlayRequest(max(each.intended_s for each in ready), party)
        for each in ready:
            if not each.ready.done():
                each.ready.set_result(play)


@dataclass(slots=True)
class BotParties:
    """The parties of a population, and the matches that their members were put into.

    Attributes:
        by_player: the party of each bot, by its number.
        matches: party id → its size, and the match of each member who got one.
    """

    by_player: list[BotParty] = field(default_factory=list)
    matches: dict[str, tuple[int, list[str]]] = field(default_factory=dict)

    @classmethod
    def of_population(cls, population: Population, run: str) -> BotParties:
        """The parties that the scenario has drawn; ``run`` is a name that no other run has."""
        members: dict[int, list[int]] = {}
        for bot, number in enumerate(population.party.tolist()):
            members.setdefault(number, []).append(bot)
        parties = {number: BotParty(f"{run}-p{number}", bots) for number, bots in members.items()}
        return cls([parties[number] for number in population.party.tolist()])

    @classmethod
    def alone(cls, players: int) -> BotParties:
        """Every player a party of one."""
        return cls([BotParty("", [bot]) for bot in range(players)])

    def record_match(self, party: PartyTicket | None, match_id: str) -> None:
        """Note that a member of ``party`` is in a match; does nothing for a player alone."""
        if party is not None:
            self.matches.setdefault(party[0], (party[1], []))[1].append(match_id)

    @property
    def matched_count(self) -> int:
        """Parties with at least one matched member."""
        return len(self.matches)

    @property
    def whole_count(self) -> int:
        """Parties whose members are all in the same match."""
        return sum(len(found) == size and len(set(found)) == 1 for size, found in self.matches.values())
