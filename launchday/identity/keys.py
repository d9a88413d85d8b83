"""Keys, and what each of them may sign.

A key signs tokens with its roles alone, and for its subjects alone; whoever verifies asks the same of the
token, so a service whose key is stolen can be posed as, and nobody else can. Of several keys that may sign a
token, the one signs that began last: a new key is published before it begins, and the old one verifies what
it has signed until that has ended.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from nacl import bindings
from nacl.exceptions import CryptoError

from launchday.identity.errors import CannotSignError, WeakSecretError

PLAYER = "player"
SERVICE = "service"
REFRESH = "refresh"  # gives access to nothing: it is only exchanged for a new pair of tokens
OPERATOR = "operator"
VIEWER = "viewer"

HS256 = "HS256"
EDDSA = "EdDSA"
MIN_SECRET_BYTES = 32  # RFC 7518 §3.2: an HS256 key is at least as long as its hash
SEED_BYTES = bindings.crypto_sign_SEEDBYTES
SIGNATURE_BYTES = bindings.crypto_sign_BYTES
ANY_SUBJECT = "*"  # every name that no other key has for its own
WHAT_IS_NEEDED = (
    f"LAUNCHDAY_IDENTITY_SECRET must be at least {MIN_SECRET_BYTES} bytes: openssl rand -hex 32; "
    "or name a key file in LAUNCHDAY_IDENTITY_KEYS: launchday keys make"
)


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    Attributes:
        key_id: names it in tokens (``kid``).
        algorithm: `HS256` or `EDDSA`.
        roles: that it may give; None: any.
        subjects: whom it may name, or `ANY_SUBJECT`.
        signs_from: Unix seconds from which on it signs.
        ends_at: Unix seconds from which on nothing that it signed is taken.
        private: the secret of HS256, or the seed of Ed25519; empty: it only verifies.
        public: Ed25519's public key; empty for HS256.
        owner: the name of its file in a folder of keys.
        is_plain: it is the one secret: tokens without ``kid``, ``iss`` and ``aud``, as releases before these
            made them, are taken where it has signed them.
    """

    key_id: str
    algorithm: str
    roles: frozenset[str] | None = None
    subjects: tuple[str, ...] = (ANY_SUBJECT,)
    signs_from: float = -math.inf
    ends_at: float = math.inf
    private: bytes = field(default=b"", repr=False)
    public: bytes = b""
    owner: str = ""
    is_plain: bool = False

    @staticmethod
    def of_secret(secret: str) -> Key:
        """Return the key that the setting ``identity_secret`` is. Raises WeakSecretError."""
        private = secret.encode()
        if len(private) < MIN_SECRET_BYTES:
            raise WeakSecretError(WHAT_IS_NEEDED)
        key_id = hmac.digest(private, b"launchday key id", "sha256")[:6].hex()
        return Key(key_id, HS256, private=private, is_plain=True)

    @staticmethod
    def of_seed(
        seed: bytes,
        roles: Iterable[str],
        subjects: Sequence[str] = (ANY_SUBJECT,),
        signs_from: float = -math.inf,
        owner: str = "",
    ) -> Key:
        """Return the Ed25519 key of a seed of `SEED_BYTES` random bytes."""
        public, _ = bindings.crypto_sign_seed_keypair(seed)
        return Key(
            thumbprint(public),
            EDDSA,
            frozenset(roles),
            tuple(subjects),
            signs_from,
            private=seed,
            public=public,
            owner=owner,
        )

    def signature(self, signed: bytes) -> bytes:
        """Sign; the key has its private part."""
        if self.algorithm == HS256:
            return hmac.digest(self.private, signed, "sha256")
        signature: bytes = bindings.crypto_sign(signed, self.private + self.public)[:SIGNATURE_BYTES]
        return signature

    def has_signed(self, signed: bytes, signature: bytes) -> bool:
        """Whether a signature is this key's."""
        if self.algorithm == HS256:
            return hmac.compare_digest(hmac.digest(self.private, signed, "sha256"), signature)
        if len(signature) != SIGNATURE_BYTES:
            return False
        try:
            bindings.crypto_sign_open(signature + signed, self.public)
        except CryptoError:
            return False
        return True

    def gives(self, roles: Iterable[str]) -> bool:
        """Whether it may give all of these roles."""
        return self.roles is None or self.roles.issuperset(roles)


class KeySet:
    """The keys that one process knows: all that sign, and the private parts of its own.

    Args:
        keys: with different ids.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = tuple(keys)
        self._by_id = {key.key_id: key for key in self.keys}
        self._claimed = {name for key in self.keys for name in key.subjects if name != ANY_SUBJECT}
        self._plain = next((key for key in self.keys if key.is_plain), None)

    def find(self, key_id: str) -> Key | None:
        """Return the key that a token names; the one secret where it names none."""
        return self._by_id.get(key_id) if key_id else self._plain

    def may_sign(self, key: Key, roles: Iterable[str], subject: str) -> bool:
        """Whether a key may sign a token of this subject with these roles."""
        if not key.gives(roles):
            return False
        if subject in key.subjects:
            return True
        return ANY_SUBJECT in key.subjects and (key.is_plain or subject not in self._claimed)

    def signing(self, roles: Iterable[str], subject: str, now: float) -> Key:
        """Return the key that signs a token of this subject with these roles at Unix second ``now``.

        Raises CannotSignError.
        """
        roles = tuple(roles)
        own = [key for key in self.keys if key.private and self.may_sign(key, roles, subject)]
        if not own:
            raise CannotSignError(
                f"no key here signs a token of {subject!r:.80} with the role {' and '.join(roles)}: name a "
                "file with one in LAUNCHDAY_IDENTITY_KEYS"
            )
        if len(own) == 1:
            return own[0]
        begun = [key for key in own if key.signs_from <= now < key.ends_at]
        if not begun:  # a clock that is far behind the one by which the keys were made
            return min(own, key=lambda key: key.signs_from)
        return max(begun, key=lambda key: key.signs_from)


def thumbprint(public: bytes) -> str:
    """Return the id of an Ed25519 key: the first 16 characters of its thumbprint (RFC 7638, RFC 8037)."""
    x = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
    said = f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'
    return base64.urlsafe_b64encode(hashlib.sha256(said.encode()).digest()).decode()[:16]
