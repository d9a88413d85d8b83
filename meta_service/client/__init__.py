"""How others talk to the meta service: its HTTP API, and the one thing that goes straight to the cache.

MetaClientError
├── MetaUnavailableError   no answer, or 503, after the retries; trying again later is safe
└── MetaRefusedError       any other error answer, with its problem details
"""

from __future__ import annotations

from meta_service.client.answers import (
    CatalogueItem,
    CheckedOut,
    CheckoutRefusal,
    CheckoutResponse,
    CommitRefusal,
    CommitResponse,
    Grant,
    LedgerEntry,
    Loadout,
    MetaCounters,
    OwnedItem,
    Profile,
    Purchase,
    Refund,
    Session,
    Skill,
)
from meta_service.client.errors import MetaClientError, MetaRefusedError, MetaUnavailableError
from meta_service.client.money import MoneyCalls
from meta_service.client.players import PlayerCalls
from meta_service.client.progress import ProgressCache
from meta_service.client.ratings import RatingCache
from meta_service.client.servers import PlayerCommit, ServerCalls
from meta_service.client.social import SocialCalls
from meta_service.client.social_answers import (
    Friend,
    Invitation,
    Leaderboard,
    MatchReport,
    Party,
    PartyMember,
    PastMatch,
    Standing,
)

__all__ = [
    "CatalogueItem",
    "CheckedOut",
    "CheckoutRefusal",
    "CheckoutResponse",
    "CommitRefusal",
    "CommitResponse",
    "Friend",
    "Grant",
    "Invitation",
    "Leaderboard",
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
    "Skill",
    "Standing",
]


class MetaClient(PlayerCalls, MoneyCalls, SocialCalls, ServerCalls):
    """The meta service's API, for players and services alike; see ``Calls`` for the arguments."""
