"""How others talk to the meta service: its HTTP API, and what rewards publishes straight into the cache.

The messages are those of ``meta_service.messages``; ids of players are plain numbers.
A call raises MetaClientError::

    MetaClientError
    ├── MetaUnavailableError   no answer, or 503, after the retries; trying again later is safe
    └── MetaRefusedError       any other error answer, with its problem details
"""

from __future__ import annotations

from meta_service.client.money import MoneyCalls
from meta_service.client.players import PlayerCalls
from meta_service.client.progression import ProgressCache, RatingCache
from meta_service.client.servers import ServerCalls
from meta_service.client.social import SocialCalls
from meta_service.errors import MetaClientError, MetaRefusedError, MetaUnavailableError
from meta_service.messages.leases import (
    CheckedOut,
    CheckoutRefusal,
    CheckoutResponse,
    CommitRefusal,
    CommitResponse,
    Held,
    MetaCounters,
    PlayerCommit,
    Skills,
)
from meta_service.messages.money import CatalogueItem, Grant, LedgerEntry, OwnedItem, Purchase, Refund
from meta_service.messages.players import Loadout, Profile, Skill
from meta_service.messages.sessions import Account, Session, SessionEnd, SessionEnds
from meta_service.messages.social import (
    Friend,
    Invitation,
    Leaderboard,
    LeaveResponse,
    MatchReport,
    Party,
    PartyMember,
    PastMatch,
    Standing,
)

__all__ = [
    "Account",
    "CatalogueItem",
    "CheckedOut",
    "CheckoutRefusal",
    "CheckoutResponse",
    "CommitRefusal",
    "CommitResponse",
    "Friend",
    "Grant",
    "Held",
    "Invitation",
    "Leaderboard",
    "LeaveResponse",
    "LedgerEntry",
    "Loadout",
    "MatchReport",
    "MetaClient",
    "MetaClientError",
    "MetaCounters",
    "MetaRefusedError",
    "MetaUnavailableError",
    "OwnedItem",
    "Party",
    "PartyMember",
    "PastMatch",
    "PlayerCommit",
    "Profile",
    "ProgressCache",
    "Purchase",
    "RatingCache",
    "Refund",
    "Session",
    "SessionEnd",
    "SessionEnds",
    "Skill",
    "Skills",
    "Standing",
]


class MetaClient(PlayerCalls, MoneyCalls, SocialCalls, ServerCalls):
    """The meta service's API, for players and services alike; see ``Calls`` for the arguments."""
