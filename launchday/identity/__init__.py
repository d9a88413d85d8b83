"""Says who is calling: signed tokens for players, services and operators, and statements of the meta service.

A token names the key that signed it, and the keys say what they may sign: the meta service's key signs
players' tokens, a service's key tokens of that service, the operators' key theirs. With Ed25519 (EdDSA) a
process has the private keys of its own tokens alone, and the public ones of all; so who verifies tokens can
make none but its own. With one secret (HS256) every process can sign whatever it likes: it is for a laptop,
and for a backend that moves to keys. A player's token carries the role ``player`` and nothing else, so no
service takes it for a service's. `docs/keys.md` has the whole.
"""

from launchday.identity.claims import Identity
from launchday.identity.errors import (
    CannotSignError,
    IdentityError,
    InvalidTokenError,
    KeyFileError,
    WeakSecretError,
)
from launchday.identity.keys import (
    ANY_SUBJECT,
    EDDSA,
    HS256,
    MIN_SECRET_BYTES,
    OPERATOR,
    PLAYER,
    REFRESH,
    SERVICE,
    VIEWER,
    Key,
    KeySet,
)
from launchday.identity.of_settings import KeyWatch, signer_of
from launchday.identity.signer import STATEMENT_TYPE, Signer

__all__ = [
    "ANY_SUBJECT",
    "EDDSA",
    "HS256",
    "MIN_SECRET_BYTES",
    "OPERATOR",
    "PLAYER",
    "REFRESH",
    "SERVICE",
    "STATEMENT_TYPE",
    "VIEWER",
    "CannotSignError",
    "Identity",
    "IdentityError",
    "InvalidTokenError",
    "Key",
    "KeyFileError",
    "KeySet",
    "KeyWatch",
    "Signer",
    "WeakSecretError",
    "signer_of",
]
