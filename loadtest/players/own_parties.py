"""Parties on our own backend: the players come together in the meta service before they queue.

The one with the lowest number leads: opens the party, invites the others and queues it once they all have
joined and are ready. Each step is a request of the player's own, as their client would make it. A party stays
together from match to match; who has gone home is removed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, Protocol

from loadtest.target import Ask, Party

GATHER_S = 30.0  # for the others; whoever waits for longer queues alone


@dataclass(frozen=True, slots=True)
class GatheredParty:
    """A party as a member reads it.

    Attributes:
        party_id: in the meta service.
        members: player ids, and whether each is ready.
        claim: what a ticket needs; empty while the party does not queue.
    """

    party_id: str
    members: dict[int, bool]
    claim: str = ""


class PartyClient(Protocol):
    """What parties need of the meta service.

    Every method raises BackendUnavailableError (try again) and BackendRefusedError (do not).
    """

    async def open_party(self, token: str, size: int) -> GatheredParty:
        """The party that the player leads, a new one where they lead none; leaves another's."""
        ...

    async def invite(self, token: str, player_id: int) -> None:
        """Invite a player."""
        ...

    async def dismiss(self, token: str, player_id: int) -> None:
        """Remove a member."""
        ...

    async def join_party(self, token: str, party_id: str) -> None:
        """Accept an invitation; leaves another party for it."""
        ...

    async def be_ready(self, token: str) -> None:
        """Say that the player is ready to play."""
        ...

    async def queue_party(self, token: str, mode: str) -> GatheredParty:
        """Queue the party that the player leads."""
        ...

    async def read_party(self, token: str) -> GatheredParty:
        """The player's party."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """Who gathers: the number of the bot, their session token and their player id."""

    number: int
    token: str
    player_id: int


class NotTogetherError(Exception):
    """Raised where the others do not come, or one of them was lost on the way."""


@dataclass(slots=True)
class _Gathering:
    """A party on its way into the queue.

    Attributes:
        members: who has come, by number.
        party: once its leader has opened it and invited all.
        ready: numbers of those who have joined and are ready.
        over: for how many of them it is over.
    """

    members: dict[int, Member] = field(default_factory=dict)
    ready: set[int] = field(default_factory=set)
    party: GatheredParty | None = None
    over: int = 0
    all_here: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    all_ready: asyncio.Event = field(default_factory=asyncio.Event)
    queued: asyncio.Event = field(default_factory=asyncio.Event)
    broken: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, event: asyncio.Event) -> None:
        """Wait for the others. Raises NotTogetherError."""
        waiting = [asyncio.ensure_future(each.wait()) for each in (event, self.broken)]
        try:
            await asyncio.wait(waiting, timeout=GATHER_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        if not event.is_set():
            self.broken.set()
            raise NotTogetherError


class OwnParties:
    """The parties of one run.

    Args:
        client: of the meta service.
    """

    def __init__(self, client: PartyClient) -> None:
        self._client = client
        self._gatherings: dict[str, _Gathering] = {}

    async def gather(self, member: Member, party: Party, mode: str, ask: Ask[Any]) -> str | None:
        """Bring a member into the party and the queue; returns the claim for their ticket.

        None where the party did not come together: they queue alone. A member who lost the connection on the
        way may call it again.
        """
        gathering = self._gatherings.setdefault(party.id, _Gathering())
        gathering.members[member.number] = member
        if len(gathering.members) == party.size:
            gathering.all_here.set()
        try:
            await gathering.until(gathering.all_here)
            if member.number == min(gathering.members):
                claim = await self._lead(gathering, member, party.size, mode, ask)
            else:
                claim = await self._follow(gathering, member, ask)
        except NotTogetherError:
            claim = None
        except Exception:
            gathering.broken.set()
            raise
        gathering.over += 1
        if gathering.over == party.size:
            del self._gatherings[party.id]
        return claim

    async def _lead(
        self, gathering: _Gathering, member: Member, size: int, mode: str, ask: Ask[Any]
    ) -> str | None:
        client, token = self._client, member.token
        wanted = {each.player_id for each in gathering.members.values()}
        party = await _asked(ask, "open the party", client.open_party, token, size)
        for player_id in party.members.keys() - wanted:
            await _asked(ask, "remove from the party", client.dismiss, token, player_id)
        for player_id in wanted - party.members.keys():
            await _asked(ask, "invite to the party", client.invite, token, player_id)
        gathering.party = party
        gathering.opened.set()
        await gathering.until(gathering.all_ready)
        queued = await _asked(ask, "queue the party", client.queue_party, token, mode)
        gathering.queued.set()
        return queued.claim or None

    async def _follow(self, gathering: _Gathering, member: Member, ask: Ask[Any]) -> str | None:
        client, token = self._client, member.token
        await gathering.until(gathering.opened)
        party = gathering.party
        assert party is not None
        if member.player_id not in party.members:
            await _asked(ask, "join the party", client.join_party, token, party.party_id)
        if not party.members.get(member.player_id):
            await _asked(ask, "be ready", client.be_ready, token)
        gathering.ready.add(member.number)
        if len(gathering.ready) == len(gathering.members) - 1:
            gathering.all_ready.set()
        await gathering.until(gathering.queued)
        read = await _asked(ask, "read the party", client.read_party, token)
        return read.claim or None


async def _asked(ask: Ask[Any], kind: str, call: Any, *arguments: Any) -> Any:
    def send() -> Awaitable[Any]:
        answer: Awaitable[Any] = call(*arguments)
        return answer

    return await ask(kind, send)
