"""One bot's session on a game server, as its coroutine sees it: its link, its status, and its statistics at
the end.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from dedicated_server.protocol import reasons
from dedicated_server.protocol.client.state import (
    CLIENT_CONNECTED,
    CLIENT_DISMISSED,
    CLIENT_GONE,
    CLIENT_REFUSED,
    CLIENT_TIMED_OUT,
)
from loadtest.bots.step import DIED, MATCH_OVER, REASON_AT
from loadtest.scenario.link_profiles import LinkProfile


@dataclass(frozen=True, slots=True)
class PlayerLink:
    """A bot's link to one game server.

    Attributes:
        rtt_ms: round trip, the player's own link included.
        profile: the kind of link.
        region: of the server.
    """

    rtt_ms: float
    profile: LinkProfile
    region: str = ""


@dataclass(frozen=True, slots=True)
class SessionStatistics:
    """What a bot's client had measured when it left.

    Attributes:
        rtt_ms: waits for the server's tick and the client's frame included; NaN where it was never measured.
        received_bytes, sent_bytes: UDP payload.
        kills, deaths: of the bot's player, that its client was told of.
        reason: why the server did not let the client in, or let it go, of `protocol.reasons`; 0: it has not.
    """

    rtt_ms: float
    received_bytes: int
    sent_bytes: int
    kills: int = 0
    deaths: int = 0
    reason: int = 0


class SessionStatus:
    """The status of one session, for the coroutine that waits for its changes.

    Attributes:
        value: the client's state, and whether the player has died and the match is over.
        back_s: seconds that it took until the server was heard at the bot's latest address; None: not yet.
    """

    __slots__ = ("_changed", "back_s", "value")

    def __init__(self) -> None:
        self.value = 0
        self.back_s: float | None = None
        self._changed = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether the server has accepted the client, and is still heard."""
        return self.value & 0xFF == CLIENT_CONNECTED

    @property
    def broken(self) -> bool:
        """Whether the session timed out or was ended by the server, or the handshake failed."""
        return self.value & 0xFF in (CLIENT_TIMED_OUT, CLIENT_GONE, CLIENT_REFUSED, CLIENT_DISMISSED)

    @property
    def reason(self) -> str:
        """What the server has said of it, in a word of `protocol.reasons`; empty: nothing."""
        return reasons.name_of(self.value >> REASON_AT)

    @property
    def expired(self) -> bool:
        """Whether the server has told the client that its token has expired."""
        return self.value & 0xFF == CLIENT_REFUSED and self.value >> REASON_AT == reasons.EXPIRED

    @property
    def died(self) -> bool:
        """Whether the bot's player is dead for good: never in a mode in which the dead return."""
        return bool(self.value & DIED)

    @property
    def match_over(self) -> bool:
        """Whether the server has said that the match is over."""
        return bool(self.value & MATCH_OVER) or self.value >> REASON_AT == reasons.MATCH_OVER

    def update(self, value: int) -> None:
        """Set a new status; called on the event loop."""
        self.value = value
        self._changed.set()

    def come_back(self, after_s: float) -> None:
        """Say that the server was heard at another address; called on the event loop."""
        self.back_s = after_s
        self._changed.set()

    async def wait_for_change(self) -> None:
        """Wait until something has changed since the last wait."""
        await self._changed.wait()
        self._changed.clear()
