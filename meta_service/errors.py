"""What can go wrong in the meta service and in a call to it, as one tree.

::

    MetaError
    ├── StoreUnavailableError    the global store does not answer; the cache goes on without it
    │   └── StoreLateError           one connection to it did not answer in time, and was ended
    ├── WriteBehindFullError     too many accepted changes wait for the store
    ├── RebuildingError          the cache is being rebuilt from the store
    ├── SessionUnknownError      a login of another region that is not known here yet
    ├── SchemaError              the store's schema cannot be changed as asked; the text says what to do
    │   └── SchemaBusyError          a table was not free for ten minutes
    ├── RefusedError             the request cannot be done; each kind has its HTTP status and problem type
    │   ├── UnknownPlayerError       neither the cache nor the store knows the player
    │   ├── UnknownItemError         not in the catalogue, or not for sale
    │   ├── UnknownPurchaseError     no such purchase of this player
    │   ├── UnknownMatchError        no such match in the store
    │   ├── UnknownSeasonError       no such season in the table, or none has begun
    │   ├── MatchClosedError         the match was given up; its server ends itself
    │   ├── NotInMatchError          the player is in no match that they could be put out of
    │   ├── InsufficientFundsError   the wallet holds less than the price
    │   ├── SoldOutError             the stock is used up
    │   ├── OwnershipLimitError      the player may not own more of the item
    │   ├── PriceChangedError        the price is not the one the player saw
    │   ├── NotRefundableError       the time for a refund is over, or the item is no longer owned
    │   ├── UnknownCurrencyError     nothing costs it, and it is not in the list of currencies
    │   ├── WalletFullError          the wallet would hold more than a wallet can
    │   ├── TooFewItemsError         the player has fewer pieces than are to be taken
    │   ├── KeyReusedError           the idempotency key belongs to another request
    │   ├── NameTakenError           another account has the name
    │   ├── BadNameError             no display name: what of it is wrong
    │   ├── NameChangedLatelyError   the display name was changed too short a while ago
    │   ├── PlaceholderDeviceError   the device id is one that stands for nobody
    │   ├── PlatformTokenError       a platform's token is not valid
    │   ├── UnknownIssuerError       no platform of this name is set up
    │   ├── IssuerUnavailableError   a platform did not tell the key that a token names
    │   ├── WrongPasswordError       no account has this name and password
    │   ├── TooManyAttemptsError     too many wrong passwords for one name from one address
    │   ├── HashingBusyError         more passwords are to be checked than the machine can hash
    │   ├── SlugRefusedError         base of those of several kinds, each with its slug
    │   │   ├── LoadoutError             what cannot be worn, or not by this player; each kind has its slug
    │   │   ├── LoginLinkError           what cannot be a way to log in to an account; each kind has its slug
    │   │   ├── PartyError               what a party or its member may not do now; each kind has its slug
    │   │   └── FriendshipError          what cannot become a friendship; each kind has its slug
    │   ├── BlockError               who cannot be blocked; each kind has its slug
    │   ├── BannedError              an operator keeps the player out, for a time or for good
    │   └── SessionEndedError        the session was superseded or revoked, or its refresh token was reused
    └── MetaClientError          what a call through ``meta_service.client`` raises
        ├── MetaUnavailableError     no answer, or 503, after the retries; trying again later is safe
        └── MetaRefusedError         any other error answer, with its problem details
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType


class MetaError(Exception):
    """Base of the meta service's errors. Raised itself only when no candidate id is left for a device."""


class StoreUnavailableError(MetaError):
    """Raised when the global store cannot be reached or does not answer in time. Try again later."""


class StoreLateError(StoreUnavailableError):
    """Raised when a statement was not answered in time. Its connection was ended: try again at once."""


class WriteBehindFullError(MetaError):
    """Raised for a loadout while the write-behind stream is full. Try again later; all else goes on."""


class RebuildingError(MetaError):
    """Raised while another process rebuilds what was asked for. Try again in a second."""


class SessionUnknownError(MetaError):
    """Raised for a token of a login in another region that is not known here yet. Try again in a second."""

    def __init__(self) -> None:
        super().__init__("the login is not known in this region yet: try again")


class SchemaError(MetaError):
    """Raised when the store's schema cannot be changed as asked. Do as the message says; nothing is lost."""


class SchemaBusyError(SchemaError):
    """Raised when a table was not free for ten minutes. End the transactions it names, and migrate again."""


class RefusedError(MetaError):
    """Base of refusals; the message says what the caller may do.

    Attributes:
        status: the HTTP status it is answered with.
        slug: the problem's type.
        members: what the problem details say besides, by name.
    """

    status = 409
    slug = "refused"
    members: Mapping[str, object] = MappingProxyType({})


class SlugRefusedError(RefusedError):
    """Base of refusals that are of several kinds; ``slug`` says which."""

    def __init__(self, status: int, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug


class UnknownPlayerError(RefusedError):
    """Raised when a player is known nowhere. The caller should log in."""

    status, slug = 404, "unknown-player"


class NotInMatchError(RefusedError):
    """Raised when a player is in no match. The caller may ban them, if they are to stay out."""

    slug = "not-in-match"


class UnknownItemError(RefusedError):
    """Raised when an item is not in the catalogue, or not for sale now."""

    status, slug = 404, "unknown-item"


class UnknownPurchaseError(RefusedError):
    """Raised when there is no such purchase, or it is another player's."""

    status, slug = 404, "unknown-purchase"


class UnknownSeasonError(RefusedError):
    """Raised when a season is neither in the table nor in the store, or none has begun yet."""

    status, slug = 404, "unknown-season"


class InsufficientFundsError(RefusedError):
    """Raised when a wallet holds less than the price. Nothing was booked; the same key may be used again."""

    slug = "insufficient-funds"


class SoldOutError(RefusedError):
    """Raised when the stock does not hold as many pieces as were asked for."""

    slug = "sold-out"


class OwnershipLimitError(RefusedError):
    """Raised when the player would own more of an item than one player may."""

    slug = "ownership-limit"


class PriceChangedError(RefusedError):
    """Raised when the price is not the one the player agreed to. Show the new one and ask again."""

    slug = "price-changed"


class NotRefundableError(RefusedError):
    """Raised when the time for a refund is over, or the player no longer owns what was bought."""

    slug = "not-refundable"


class UnknownCurrencyError(RefusedError):
    """Raised when money is to be given or taken in a currency that there is not. Nothing was booked."""

    status, slug = 422, "unknown-currency"


class WalletFullError(RefusedError):
    """Raised when a wallet would hold more than 2^63 - 1. Nothing was booked."""

    slug = "wallet-full"


class TooFewItemsError(RefusedError):
    """Raised when a player has fewer pieces of an item than are to be taken. Nothing was taken."""

    slug = "too-few-items"


class LoadoutError(SlugRefusedError):
    """Raised for a loadout that cannot be; ``slug`` says why, the text names the item.

    ``unknown-item``: it is not in the catalogue; ``wrong-kind``: a skin is worn as a skin and an emote as an
    emote, and nothing else is worn; ``not-owned``: the player does not own it, and it is not free.
    """


class KeyReusedError(RefusedError):
    """Raised when an idempotency key came with another request before. Use a new key for a new request."""

    status, slug = 422, "idempotency-key-reused"


class NameTakenError(RefusedError):
    """Raised when another account has the name. The player should choose another."""

    slug = "name-taken"


class BadNameError(RefusedError):
    """Raised when what was typed cannot be a display name; says what is wrong. Choose another."""

    status, slug = 422, "bad-name"


class NameChangedLatelyError(RefusedError):
    """Raised when the display name may not be changed yet; says when."""

    slug = "name-changed-lately"


class PlaceholderDeviceError(RefusedError):
    """Raised when a device id is one that many devices send: zeros, an emulator's. Make a random one."""

    status, slug = 422, "placeholder-device"


class LoginLinkError(SlugRefusedError):
    """Raised when a way to log in cannot be linked or unlinked; ``slug`` says why.

    ``login-taken``: it belongs to another account; ``too-many-logins``: the account has as many as it may
    have; ``unknown-login``: the account has no such; ``last-login``: it is the only one, and would leave
    nobody who could open the account; ``deleted-too-often``: of a login whose accounts were deleted as often
    as it has ids.
    """


class PlatformTokenError(RefusedError):
    """Raised when a platform's token is forged, over, or for somebody else's game. Get a new one from it."""

    status, slug = 401, "platform-token-invalid"


class UnknownIssuerError(RefusedError):
    """Raised when no platform of this name is set up (LAUNCHDAY_OIDC)."""

    status, slug = 404, "unknown-issuer"


class IssuerUnavailableError(RefusedError):
    """Raised when a token names a key that only the platform can tell, and it does not answer. Try again."""

    status, slug = 503, "issuer-unavailable"


class WrongPasswordError(RefusedError):
    """Raised when the name or the password is wrong; the answer does not say which of the two."""

    status, slug = 401, "wrong-password"


class TooManyAttemptsError(RefusedError):
    """Raised when an address sent too many wrong passwords for a name within a minute. Wait a minute."""

    status, slug = 429, "too-many-attempts"


class HashingBusyError(RefusedError):
    """Raised when more passwords are to be checked than the machine can hash. Try again in a second."""

    status, slug = 503, "overloaded"


class PartyError(SlugRefusedError):
    """Raised when a party refuses; ``slug`` says why, see ``parties.REFUSALS``."""


class FriendshipError(SlugRefusedError):
    """Raised when a friendship cannot be; ``slug`` says why.

    ``friend-is-self``: the player asked for themselves; ``friends-full``: the player has as many friends and
    requests of their own as one may have; ``no-such-friendship``: nobody asked, or it has ended;
    ``player-blocked``: the player blocks the other one.
    """


class BlockError(RefusedError):
    """Raised when a player cannot be blocked; ``slug`` says why.

    ``block-is-self``: nobody blocks themselves; ``blocks-full``: the list is as long as it may be.
    """

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.slug = slug


class UnknownMatchError(RefusedError):
    """Raised when the store has no such match. One that has just begun is stored within a second."""

    status, slug = 404, "unknown-match"


class MatchClosedError(RefusedError):
    """Raised when a match's players are asked for after it was given up. The server should end itself."""

    slug = "match-closed"


class SessionEndedError(RefusedError):
    """Raised when a token's session is over; ``slug`` says why. The player logs in again.

    ``session-superseded``: the account logged in elsewhere; ``session-revoked``: logged out, or by support;
    ``refresh-token-reused``: the token has been copied, so the whole session was ended.
    """

    status = 401

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.slug = slug


class BannedError(RefusedError):
    """Raised when a player is banned, wherever they knock; the message says why and until when.

    The answer has both as ``reason`` and ``ends_at``: Unix seconds, null where the ban is for good.
    """

    status, slug = 403, "banned"

    def __init__(self, reason: str, ends_at: float | None) -> None:
        until = "for good" if ends_at is None else f"until {_utc_text(ends_at)}"
        super().__init__(f"the player is banned {until}: {reason}")
        self.members = {"reason": reason, "ends_at": ends_at}


def _utc_text(at: float) -> str:
    """A time (Unix seconds) as people read it: ``2026-12-08 14:30 UTC``; far ones by their second."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return f"second {at:.0f}"


_ENDINGS = {
    "superseded": "the account has logged in elsewhere since",
    "revoked": "the session was ended: log in again",
    "unknown": "the session is not known: log in again",
    "erased": "the account was deleted",
}


def session_ended(how: str) -> SessionEndedError:
    """The error for a session that is ``superseded``, ``revoked`` or ``unknown``."""
    return SessionEndedError(f"session-{how}", _ENDINGS[how])


class MetaClientError(MetaError):
    """Base of what a call can raise."""


class MetaUnavailableError(MetaClientError):
    """Raised when the service, or the cache behind it, did not answer. The caller may try again.

    Attributes:
        retry_after_s: seconds after which the service asks to be called again; None where it did not say.
    """

    def __init__(self, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class MetaRefusedError(MetaClientError):
    """Raised when the service refused the request.

    Attributes:
        status: the HTTP status.
        kind: the problem's type without its prefix, such as ``forbidden``; empty if there was none.
    """

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(f"{status} {kind}: {detail}")
        self.status = status
        self.kind = kind
