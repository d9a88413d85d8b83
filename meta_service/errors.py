"""What can go wrong in the meta service, as one tree.

MetaError
├── StoreAwayError           the global store does not answer; the cache goes on without it
├── WriteBehindFullError     too many accepted changes wait for the store
├── RebuildingError          the cache is being rebuilt from the store
└── RefusedError             the request cannot be done; each kind has its HTTP status and problem type
    ├── UnknownPlayerError       neither the cache nor the store knows the player
    ├── UnknownItemError         not in the catalogue, or not for sale
    ├── UnknownPurchaseError     no such purchase of this player
    ├── InsufficientFundsError   the wallet holds less than the price
    ├── SoldOutError             the stock is used up
    ├── OwnedEnoughError         the player may not own more of the item
    ├── PriceChangedError        the price is not the one the player saw
    ├── NotRefundableError       the time for a refund is over, or the item is no longer owned
    ├── KeyReusedError           the idempotency key belongs to another request
    ├── NameTakenError           another account has the name
    ├── WrongPasswordError       no account has this name and password
    ├── TooManyAttemptsError     too many wrong passwords for one name
    ├── PartyError               what a party or its member may not do now; each kind has its slug
    ├── FriendshipError          what cannot become a friendship; each kind has its slug
    ├── UnknownMatchError        no such match in the store
    └── SessionEndedError        the session was superseded or revoked, or its refresh token was used twice
"""

from __future__ import annotations


class MetaError(Exception):
    """Base of the meta service's errors."""


class StoreUnavailableError(MetaError):
    """Raised when the global store cannot be reached or does not answer in time. The caller may try again later."""


class WriteBehindFullError(MetaError):
    """Raised when as many changes wait for the store as may. Loadouts wait until it has caught up; nothing else does."""


class RebuildingError(MetaError):
    """Raised when somebody else is still rebuilding what was asked for. The caller tries again in a second."""


class RefusedError(MetaError):
    """Base of refusals; the message says what the caller may do.

    Attributes:
        status: the HTTP status it is answered with.
        slug: the problem's type.
    """

    status = 409
    slug = "refused"


class UnknownPlayerError(RefusedError):
    """Raised when a player is known nowhere. The caller should log in."""

    status, slug = 404, "unknown-player"


class UnknownItemError(RefusedError):
    """Raised when an item is not in the catalogue, or not for sale now."""

    status, slug = 404, "unknown-item"


class UnknownPurchaseError(RefusedError):
    """Raised when there is no such purchase, or it is another player's."""

    status, slug = 404, "unknown-purchase"


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


class KeyReusedError(RefusedError):
    """Raised when an idempotency key came with a different request before. Use a new key for a new request."""

    status, slug = 422, "idempotency-key-reused"


class NameTakenError(RefusedError):
    """Raised when another account has the name. The player should choose another."""

    slug = "name-taken"


class WrongPasswordError(RefusedError):
    """Raised when the name or the password is wrong; which of the two is not told."""

    status, slug = 401, "wrong-password"


class TooManyAttemptsError(RefusedError):
    """Raised when a name saw too many wrong passwords of late, whoever tried. The caller waits a minute."""

    status, slug = 429, "too-many-attempts"


class PartyError(RefusedError):
    """Raised when a party refuses; ``slug`` says why, see ``parties.REFUSALS``."""

    def __init__(self, status: int, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug


class FriendshipError(RefusedError):
    """Raised when a friendship cannot be; ``slug`` says why.

    ``friend-is-self``: the player asked for themselves; ``friends-full``: one of the two has as many as one may have;
    ``no-such-friendship``: nobody asked, or it has ended.
    """

    def __init__(self, status: int, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug


class UnknownMatchError(RefusedError):
    """Raised when the store has no such match. One that has just begun is there within a moment."""

    status, slug = 404, "unknown-match"


class SessionEndedError(RefusedError):
    """Raised when a token's session is over; ``slug`` says why. The player logs in again.

    ``session-superseded``: the account logged in elsewhere; ``session-revoked``: logged out, or by support;
    ``refresh-token-reused``: somebody else has a copy of it, so the whole session was ended.
    """

    status = 401

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.slug = slug


_ENDINGS = {
    "superseded": "the account has logged in elsewhere since",
    "revoked": "the session was ended: log in again",
    "unknown": "the session is not known: log in again",
}


def session_ended(how: str) -> SessionEndedError:
    """The error for a session that is ``superseded``, ``revoked`` or ``unknown``."""
    return SessionEndedError(f"session-{how}", _ENDINGS[how])
