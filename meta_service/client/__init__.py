"""How others talk to the meta service: its HTTP API, and what rewards publishes straight into the cache.

The messages are those of ``meta_service.messages``; ids of players are plain numbers.
A call raises MetaClientError::

    MetaClientError
    ├── MetaUnavailableError   no answer, or 503, after the retries; trying again later is safe
    └── MetaRefusedError       any other error answer, with its problem details
"""

from __future__ import annotations

from meta_service.client.money import MoneyCalls
from meta_service.client.operators import OperatorCalls
from meta_service.client.players import PlayerCalls
from meta_service.client.progression import GivenCache, ProgressCache, RatingCache
from meta_service.client.servers import ServerCalls
from meta_service.client.social import SocialCalls
from meta_service.errors import MetaClientError, MetaRefusedError, MetaUnavailableError
from meta_service.messages.accounts import AccountExport, Deletion, DisplayName, LinkedLogin, LinkedLogins
from meta_service.messages.leases import (
    BannedPlayer,
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
from meta_service.messages.operators import (
    Ban,
    Kick,
    Kicked,
    Kicks,
    OperatorAction,
    PlayerStatus,
    Revocation,
    Revocations,
)
from meta_service.messages.party_claims import PartyClaim, read_claim
from meta_service.messages.players import Loadout, Profile, Skill
from meta_service.messages.progress import ChallengeProgress, Progress, SeasonProgress, TierProgress
from meta_service.messages.sessions import Account, Session, SessionEnd, SessionEnds
from meta_service.messages.social import (
    Friend,
    Invitation,
    Leaderboard,
    LeaveResponse,
    MatchReport,
    Party,
    PartyChange,
    PartyChanges,
    PartyMember,
    PartyQueue,
    PastMatch,
    Standing,
)

__all__ = [
    "Account",
    "AccountExport",
    "Ban",
    "BannedPlayer",
    "CatalogueItem",
    "ChallengeProgress",
    "CheckedOut",
    "CheckoutRefusal",
    "CheckoutResponse",
    "CommitRefusal",
    "CommitResponse",
    "Deletion",
    "DisplayName",
    "Friend",
    "GivenCache",
    "Grant",
    "Held",
    "Invitation",
    "Kick",
    "Kicked",
    "Kicks",
    "Leaderboard",
    "LeaveResponse",
    "LedgerEntry",
    "LinkedLogin",
    "LinkedLogins",
    "Loadout",
    "MatchReport",
    "MetaClient",
    "MetaClientError",
    "MetaCounters",
    "MetaRefusedError",
    "MetaUnavailableError",
    "OperatorAction",
    "OwnedItem",
    "Party",
    "PartyChange",
    "PartyChanges",
    "PartyClaim",
    "PartyMember",
    "PartyQueue",
    "PastMatch",
    "PlayerCommit",
    "PlayerStatus",
    "Profile",
    "Progress",
    "ProgressCache",
    "Purchase",
    "RatingCache",
    "Refund",
    "Revocation",
    "Revocations",
    "SeasonProgress",
    "Session",
    "SessionEnd",
    "SessionEnds",
    "Skill",
    "Skills",
    "Standing",
    "TierProgress",
    "read_claim",
]


class MetaClient(PlayerCalls, MoneyCalls, SocialCalls, ServerCalls, OperatorCalls):
    """The meta service's API, for players, services and operators alike; see ``Calls`` for the arguments."""
