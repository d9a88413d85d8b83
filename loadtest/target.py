"""The plug of the load test: what a backend must do to be flooded, by a class of one's own.

``launchday flood SCENARIO --target mymodule:MyTarget`` makes one ``MyTarget()`` and lets all players of the
scenario play on it. The players' journeys (arrivals, patience, retries, parties, leaving, coming back) are
the load test's own; a target only says how each step is done on its backend. Our own backend is one target
among others.

The steps of a player, in order; every method is a coroutine, and what they return is handed on untouched::

    session = await target.log_in(player)
    ticket = await target.queue(session, request)
    match = await target.wait(session, ticket)  # or leave(session, ticket), when patience is over
    connection = await target.connect(session, match)
    await target.play(session, connection)          # to the end of the match
    await target.leave(session, ticket, connection)

Many players are in the same target at the same time, on one event loop: a method must not block it, and what
belongs to one player belongs into the session, ticket or connection.

What goes wrong is raised, from ``loadtest.errors``:

- BackendUnavailableError: a passing failure. The player tries again, as often as the scenario's ``retries``
  say, and not before ``retry_after_s``.
- BackendRefusedError: trying again does not help. The player is lost, and the report counts the reason.
- NoMatchError, in ``wait``: the ticket has ended without a match.
- SessionBrokenError, in ``connect`` and ``play``: the game server is gone. The player queues again.
- anything else: the player is lost with that as the reason, and the run goes on.

A method may be cancelled at any await: by patience in ``wait``, by the end of the match's time in ``play``,
and at the end of the run. ``log_in``, ``queue``, ``connect`` and ``leave`` have ANSWER_S for each try.

A target may be an async context manager; it is entered before the first player arrives and left after the
last one has ended. What else it may have, each for itself: :class:`CountsTickets`, :class:`Shop`,
:class:`GathersParties`, :class:`KeepsTickets`, :class:`RenewsMatches`, :class:`Roams`,
:class:`SavesProgress`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeVar, runtime_checkable

T = TypeVar("T")

ANSWER_S = 10.0  # in which a target answers one try; as long as our own clients wait

Session = Any  # what a target knows of a logged-in player
Ticket = Any  # of a player in its queue
Connection = Any  # of a player in a match


@dataclass(frozen=True, slots=True)
class Player:
    """A player of the scenario, as a target gets to know them.

    Attributes:
        number: from 0, in the order of arrival.
        device_id: a name that no other player has, in no other run.
        mode: the name of the mode that they play.
        location: where they live, a region of region_rtt.csv.
        latencies_ms: region of the scenario's fleet → round trip in ms, the player's own link included.
        skill: true skill on OpenSkill's scale, 0 to 60.
        platform: what they play on, such as "pc".
        cross_play: whether they meet players of other platforms.
        behaviour: the kind of player, such as "fighter".
    """

    number: int
    device_id: str
    mode: str
    location: str = ""
    latencies_ms: Mapping[str, float] = field(default_factory=dict)
    skill: float = 0.0
    platform: str = ""
    cross_play: bool = True
    behaviour: str = ""


@dataclass(frozen=True, slots=True)
class Party:
    """Players who queue together and are not to be split.

    Attributes:
        id: the same for all its members; each match of theirs has another one.
        size: how many they are. Each of them queues, at the same time.
        claim: what ``gather`` has returned to this member, on a target that has it.
    """

    id: str
    size: int
    claim: Any = None


@dataclass(frozen=True, slots=True)
class QueueRequest:
    """What a player asks for when pressing Play.

    Attributes:
        player: who queues.
        key: the same for every try of this ticket, and no other's: a target may use it to open a ticket once.
        party: with whom; None for a player alone.
        match_players: of a full match of the player's mode, by the scenario.
        match_s: seconds that a match of that mode lasts at most, by the scenario.
    """

    player: Player
    key: str
    party: Party | None = None
    match_players: int = 2
    match_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Match:
    """Where a player has been put.

    Attributes:
        id: the same for all players of the match.
        region: where it is played; "" where the target has none.
        slot: the player's number in it; −1 where the target has none.
        details: whatever the target needs to connect. Nobody else looks at it.
    """

    id: str
    region: str = ""
    slot: int = -1
    details: Any = None


class PlayEnd(StrEnum):
    """Why ``play`` has returned."""

    OVER = "over"  # the match is over
    DIED = "died"  # the player is dead and the match goes on: ``play`` is called again if they watch


class Target(Protocol):
    """A backend that can be flooded."""

    async def log_in(self, player: Player) -> Session:
        """Log a player in; returns what later calls for them are given.

        Raises:
            BackendUnavailableError: try again.
            BackendRefusedError: do not.
        """
        ...

    async def queue(self, session: Session, request: QueueRequest) -> Ticket:
        """Queue a player for a match; returns their ticket.

        Raises:
            BackendUnavailableError: try again.
            BackendRefusedError: do not.
            PlayerInMatchError: they are in a match that is not over; they come back into it.
        """
        ...

    async def wait(self, session: Session, ticket: Ticket) -> Match:
        """Wait until the ticket has a match, however long it takes.

        It is cancelled when the player's patience is over; ``leave`` follows.

        Raises:
            NoMatchError: the ticket has ended without one.
            BackendUnavailableError: try again; calling it again goes on waiting.
            BackendRefusedError: do not.
        """
        ...

    async def connect(self, session: Session, match: Match) -> Connection:
        """Connect to the match's game server; returns the connection. Also called for coming back into it.

        A backend that has no game servers returns whatever ``play`` needs.

        Raises:
            SessionBrokenError: the game server does not answer: the player queues again.
            PlayerLostError: it cannot be done at all.
        """
        ...

    async def play(self, session: Session, connection: Connection) -> PlayEnd | None:
        """Play; returns when the match is over (None or OVER), or when the player has died in it (DIED).

        It is cancelled where the player leaves early or loses the connection, and may then be called again
        with a new one; where the player has got another address, with the same.

        Raises:
            SessionBrokenError: the game server is not heard any more: the player queues again.
        """
        ...

    async def leave(
        self,
        session: Session,
        ticket: Ticket,
        connection: Connection | None = None,
        *,
        silently: bool = False,
    ) -> Match | None:
        """Leave the queue, or the match.

        Args:
            session: of the player.
            ticket: with which they queued.
            connection: to the match that they leave; None where they take the ticket back instead.
            silently: vanish without a word, as a client that crashed or lost its network. A target that makes
                no difference may leave it out.

        Returns:
            From the queue: the match, where the ticket has got one meanwhile; None where it is taken back.
            From a match: None.

        Raises:
            NoMatchError: the ticket has ended by itself meanwhile.
            BackendUnavailableError: try again.
        """
        ...


def target_name(make: Callable[[], Any]) -> str:
    """How a target is called in reports: the name of its class."""
    return str(getattr(make, "__name__", type(make).__name__))


Ask = Callable[[str, Callable[[], Awaitable[T]]], Awaitable[T]]
"""Makes a request under a name, measures it, and repeats it as the scenario's ``retries`` say."""


@runtime_checkable
class CountsTickets(Protocol):
    """A target that counts by itself what it has done, so that the ledger can compare.

    Lines are made of the names that are there: ``queued``, ``matched``, ``cancelled``, ``expired`` and
    ``failed`` (tickets), ``matches_formed`` and ``matches_ended``. They may have begun at any number: what
    counts is by how much they grow.
    """

    async def counters(self) -> Mapping[str, int]:
        """The counters now. Raises BackendUnavailableError."""
        ...


@runtime_checkable
class Shop(Protocol):
    """A target whose players can shop, as some kinds of players do before they queue."""

    async def shop(self, session: Session, key: str, ask: Ask[Any]) -> None:
        """Visit the shop.

        Args:
            session: of the player.
            key: no other visit has it: for a purchase that happens once, however often it is tried.
            ask: makes each request: ``await ask("purchase", lambda: self.buy(session, key))``. The objective
                purchase_p95_s looks at the kind "purchase".
        """
        ...


@runtime_checkable
class GathersParties(Protocol):
    """A target on which the members of a party come together before they queue."""

    async def gather(self, session: Session, party: Party, mode: str, ask: Ask[Any]) -> Any:
        """Bring a member into the party. All of them call it at about the same time.

        Args:
            session: of the player.
            party: who they queue with.
            mode: that they play.
            ask: makes each request, as in :class:`Shop`.

        Returns:
            What the member's ticket needs, which is ``party.claim`` when they queue; None: the party did not
            come together, and they queue alone.
        """
        ...


@runtime_checkable
class KeepsTickets(Protocol):
    """A target that queues players again by itself when their game server is lost."""

    async def requeued(self, session: Session, ticket: Ticket) -> Ticket | None:
        """The ticket that replaces that of a lost match; None where the player has to queue again."""
        ...


@runtime_checkable
class RenewsMatches(Protocol):
    """A target that tells a client once more where its match is. Without it, a client that comes back
    connects with what it was told first.
    """

    async def renew(self, session: Session, ticket: Ticket) -> Match | None:
        """The match of a ticket, as it is now; None where that match is over."""
        ...


@runtime_checkable
class Roams(Protocol):
    """A target whose players can get another address in a match. On any other they keep the one they have."""

    async def roam(self, session: Session, connection: Connection) -> float | None:
        """Go on from another address without a word, as from Wi-Fi to a mobile network.

        Returns:
            Seconds until the game server was heard there; None where the match ended first.

        Raises:
            SessionBrokenError: it never was.
        """
        ...


@runtime_checkable
class SavesProgress(Protocol):
    """A target whose players may not queue again before the match that they left early is over and saved."""

    async def saved(self, session: Session, match: Match, longest_s: float) -> None:
        """Wait until a player may queue again, or until ``longest_s`` seconds are over."""
        ...
