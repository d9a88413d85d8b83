"""How others talk to the meta service: its HTTP API, and the one thing that goes straight to the cache.

MetaClientError
├── MetaUnavailableError   no answer, or 503, after the retries; trying again later is safe
└── MetaRefusedError       any other error answer, with its problem details
"""

from __future__ import annotations

from meta_service.client.answers import (
    Books,
    CatalogueItem,
    CheckedOut,
    Checkout,
    CheckoutRefusal,
    Commit,
    CommitRefusal,
    Grant,
    LedgerEntry,
    Loadout,
    Login,
    OwnedItem,
    Profile,
    Purchase,
    Refund,
    Skill,
)
from meta_service.client.errors import MetaClientError, MetaRefusedError, MetaUnavailableError
from meta_service.client.money import MoneyCalls
from meta_service.client.players import PlayerCalls
from meta_service.client.progress import ProgressCache
from meta_service.client.ratings import RatingCache
from meta_service.client.servers import PlayerResult, ServerCalls
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
    "Books",
    "CatalogueItem",
    "CheckedOut",
    "Checkout",
    "CheckoutRefusal",
    "Commit",
    "CommitRefusal",
    "Friend",
    "Grant",
    "Invitation",
    "Leaderboard",
    "LedgerEntry",
    "Loadout",
    "Login",
    "MatchReport",
    "MetaClient",
    "MetaClientError",
    "MetaRefusedError",
    "MetaUnavailableError",
    "OwnedItem",
    "Party",
    "PartyMember",
    "PastMatch",
    "PlayerResult",
    "Profile",
    "ProgressCache",
    "Purchase",
    "RatingCache",
    "Refund",
    "Skill",
    "Standing",
]


class MetaClient(PlayerCalls, MoneyCalls, SocialCalls, ServerCalls):
    """The meta service's API, for players and services alike; see ``Calls`` for the arguments."""
