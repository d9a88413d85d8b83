"""Parties: players who queue together, play together, and go on together. One event loop knows them all.

A party presses Play when the last of those who are still with it is ready; who has gone home is not waited for. What they queue as is
told by a name that is theirs for one match alone. After a game server has died each member queues alone, as nobody can know who is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from loadtest.scenario.population import Population

PartyTicket = tuple[str, int]
"""Name and size of the party that a ticket belongs to."""


@dataclass(frozen=True, slots=True)
class PlayRequest:
    """A party presses Play: when its last member meant to, in seconds of the run, and what it queues as; None: a player alone."""

    intended_s: float
    party: PartyTicket | None


@dataclass(slots=True)
class _Waiting:
    """A member who is ready."""

    intended_s: float
    told: asyncio.Future[PlayRequest]


class BotParty:
    """Some players who stay together until each goes home.

    Args:
        name: no other party's, in any run.
        members: their numbers.
    """

    def __init__(self, name: str, members: list[int]) -> None:
        self._name = name
        self._here = set(members)
        self._ready: dict[int, _Waiting] = {}
        self._plays = 0
        self._decisions: list[bool] = []
        self._asked = dict.fromkeys(members, 0)

    async def wait_for_members(self, bot: int, intended_s: float) -> PlayRequest:
        """Be ready since ``intended_s``, and wait until everybody is."""
        told: asyncio.Future[PlayRequest] = asyncio.get_running_loop().create_future()
        self._ready[bot] = _Waiting(intended_s, told)
        self._press_play()
        try:
            return await told
        finally:
            self._ready.pop(bot, None)

    def plays_again(self, bot: int, decide: Callable[[], bool]) -> bool:
        """Whether it plays another match; decided once for all, by who asks first."""
        asked = self._asked[bot]
        self._asked[bot] = asked + 1
        if asked == len(self._decisions):
            self._decisions.append(decide())
        return self._decisions[asked]

    def leave(self, bot: int) -> None:
        """A member is home; the others need not wait any more."""
        self._here.discard(bot)
        self._press_play()

    def _press_play(self) -> None:
        if not self._here or not self._here <= self._ready.keys():
            return
        ready = [self._ready.pop(bot) for bot in sorted(self._here)]
        self._plays += 1
        wish = (f"{self._name}-{self._plays}", len(ready)) if len(ready) > 1 else None
        play = PlayRequest(max(each.intended_s for each in ready), wish)
        for each in ready:
            if not each.told.done():
                each.told.set_result(play)


@dataclass(slots=True)
class BotParties:
    """The parties of a population, and in which matches those who queued together found themselves.

    Attributes:
        matches: by the name that they queued as: how many they were, and the match of each who got one.
    """

    by_player: list[BotParty] = field(default_factory=list)
    matches: dict[str, tuple[int, list[str]]] = field(default_factory=dict)

    @classmethod
    def of_population(cls, population: Population, run: str) -> BotParties:
        """The scenario's own; ``run`` is a name that no other run has."""
        members: dict[int, list[int]] = {}
        for bot, number in enumerate(population.party.tolist()):
            members.setdefault(number, []).append(bot)
        parties = {number: BotParty(f"{run}-p{number}", bots) for number, bots in members.items()}
        return cls([parties[number] for number in population.party.tolist()])

    @classmethod
    def alone(cls, players: int) -> BotParties:
        """Everybody a party of one."""
        return cls([BotParty("", [bot]) for bot in range(players)])

    def record_match(self, wish: PartyTicket | None, match_id: str) -> None:
        """A player who queued as ``wish`` is in a match."""
        if wish is not None:
            self.matches.setdefault(wish[0], (wish[1], []))[1].append(match_id)

    @property
    def matched_count(self) -> int:
        """Parties of which somebody was matched."""
        return len(self.matches)

    @property
    def whole_count(self) -> int:
        """Parties whose members are all in one and the same match."""
        return sum(len(found) == size and len(set(found)) == 1 for size, found in self.matches.values())
