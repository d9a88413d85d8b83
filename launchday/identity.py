"""Says who is calling: signed tokens for players and for services.

One secret signs both; the roles inside tell them apart. A player's token carries the role ``player`` and
nothing else, so no service takes it for a service's.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import jwt
import msgspec

from launchday.clock import Clock
from launchday.errors import LaunchdayError

ALGORITHM = "HS256"
STATEMENT_TYPE = "statement+jwt"  # in the header: no token of a caller has it (RFC 8725 §3.11)
PLAYER = "player"
SERVICE = "service"
REFRESH = "refresh"  # gives access to nothing: it is only exchanged for a new pair of tokens
OPERATOR = "operator"
VIEWER = "viewer"
MIN_SECRET_BYTES = 32  # RFC 7518 §3.2: an HS256 key is at least as long as its hash


class IdentityError(LaunchdayError):
    """Base of what can be wrong with a token or its key."""


class InvalidTokenError(IdentityError):
    """Raised when a token is malformed, forged, or expired. The caller should log in again."""


class WeakSecretError(IdentityError):
    """Raised when the signing secret is missing or too short. Set LAUNCHDAY_IDENTITY_SECRET."""


class _Claims(msgspec.Struct, forbid_unknown_fields=True):
    """The payload of a token of our own form."""

    sub: str
    roles: list[str]
    exp: int
    iat: int = 0
    sid: str = ""
    gen: int = 0


class _Statement(msgspec.Struct):
    """The payload of a statement; ``aud`` is its kind."""

    aud: str
    exp: int
    body: dict[str, object]


_read_claims = msgspec.json.Decoder(_Claims).decode
_read_statement = msgspec.json.Decoder(_Statement).decode


def _decoded(part: bytes) -> bytes:
    """Decode a part of a token, which is base64 for URLs without its padding."""
    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified caller.

    Attributes:
        subject: a player id in decimal, or a service's name.
        roles: what it may do.
        expires_at: Unix seconds.
        session_id: of a player's login; empty for services.
        generation: of a player's pair of tokens: how many pairs its session had before it.
    """

    subject: str
    roles: frozenset[str]
    expires_at: float
    session_id: str = ""
    generation: int = 0

    @property
    def player_id(self) -> int:
        """The caller's player id; raises InvalidTokenError for a service's token."""
        if PLAYER not in self.roles:
            raise InvalidTokenError("this is not a player's token")
        return int(self.subject)


class Signer:
    """Issues and verifies tokens with one secret. Time is given by the caller, in Unix seconds.

    Args:
        secret: the key.
        tolerance_s: seconds for which a token is taken beyond its end where this machine's wall clock is
            ahead of the time that the region's processes share: it was stepped, or it is wrong.
    """

    def __init__(self, secret: str, tolerance_s: float = 0.0) -> None:
        if len(secret.encode()) < MIN_SECRET_BYTES:
            raise WeakSecretError(
                f"LAUNCHDAY_IDENTITY_SECRET must be at least {MIN_SECRET_BYTES} bytes: openssl rand -hex 32"
            )
        self._secret = secret
        self._tolerance_s = tolerance_s
        self._key = secret.encode()
        self._header = jwt.encode({}, secret, algorithm=ALGORITHM).partition(".")[0].encode()

    def player_token(
        self, player_id: int, now: float, ttl_s: float, session_id: str = "", generation: int = 0
    ) -> str:
        """Sign a session token for one player; ``generation`` is that of the pair it belongs to."""
        exchanged = {"gen": generation} if generation else {}
        return self._sign(str(player_id), (PLAYER,), now, ttl_s, sid=session_id, **exchanged)

    def refresh_token(
        self, player_id: int, now: float, ttl_s: float, session_id: str, generation: int
    ) -> str:
        """Sign the token that is exchanged for the session's next pair of tokens."""
        return self._sign(str(player_id), (REFRESH,), now, ttl_s, sid=session_id, gen=generation)

    def service_token(
        self, name: str, now: float, ttl_s: float = 24 * 3600.0, roles: Iterable[str] = (SERVICE,)
    ) -> str:
        """Sign a token for a service or an operator."""
        return self._sign(name, roles, now, ttl_s)

    def verify(self, token: str, now: float) -> Identity:
        """Return the caller that a token names; raises InvalidTokenError."""
        identity = self._verify_fast(token)
        if identity is None:
            identity = self._verify_with_library(token)
        if identity.expires_at <= now:
            raise InvalidTokenError("the token has expired: log in again")
        return identity

    def statement(self, kind: str, body: Mapping[str, object], now: float, ttl_s: float) -> str:
        """Sign something that this service vouches for, such as who is in a party, for others to read.

        Args:
            kind: what it is about; whoever reads it names the same.
            body: what is stated, as JSON can say it.
            now: Unix seconds.
            ttl_s: seconds for which it holds.
        """
        claims = {"aud": kind, "iat": int(now), "exp": int(now + ttl_s), "body": dict(body)}
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM, headers={"typ": STATEMENT_TYPE})

    def read_statement(self, kind: str, text: str, now: float) -> dict[str, object]:
        """Return the body of a statement of this kind.

        Raises InvalidTokenError for one that is forged, of another kind, or has ended, and for a caller's
        token.
        """
        try:
            signed, _, signature = text.encode("ascii").rpartition(b".")
            header, _, payload = signed.partition(b".")
            if not hmac.compare_digest(hmac.digest(self._key, signed, "sha256"), _decoded(signature)):
                raise InvalidTokenError("the statement is not valid: its signature is another's")
            said = _read_statement(_decoded(payload))
            kinds = msgspec.json.decode(_decoded(header), type=dict[str, object])
        except ValueError as error:
            raise InvalidTokenError("the statement is not valid: it is not one of ours") from error
        if kinds.get("typ") != STATEMENT_TYPE or said.aud != kind:
            raise InvalidTokenError(f"this is no statement of the kind {kind}")
        if said.exp <= now:
            raise InvalidTokenError("the statement has expired: ask for a new one")
        return said.body

    def time(self, clock: Clock) -> float:
        """The time by which a token is judged (Unix seconds): the wall clock, for by that it was dated.

        Where that is ahead of the shared time, the latter decides, as far as the tolerance goes: a step of
        five minutes makes no token older. Where it is behind, nobody's token ends early.
        """
        wall = clock.wall()
        return max(min(wall, clock.now()), wall - self._tolerance_s)

    def _verify_fast(self, token: str) -> Identity | None:
        """Verify a token of our own form with one HMAC: a tenth of the library's time.

        Returns None for any other token; the library then decides.
        """
        try:
            signed, _, signature = token.encode("ascii").rpartition(b".")
            header, _, payload = signed.partition(b".")
            if header != self._header:
                return None
            if not hmac.compare_digest(hmac.digest(self._key, signed, "sha256"), _decoded(signature)):
                return None
            claims = _read_claims(_decoded(payload))
        except ValueError:
            return None
        return Identity(claims.sub, frozenset(claims.roles), float(claims.exp), claims.sid, claims.gen)

    def _verify_with_library(self, token: str) -> Identity:
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                options={"require": ["sub", "exp", "roles"], "verify_exp": False, "verify_iat": False},
            )
            identity = Identity(
                claims["sub"],
                frozenset(claims["roles"]),
                float(claims["exp"]),
                str(claims.get("sid", "")),
                int(claims.get("gen", 0)),
            )
        except (jwt.InvalidTokenError, TypeError, ValueError) as error:
            raise InvalidTokenError(f"the token is not valid: {error}") from error
        return identity

    def _sign(self, subject: str, roles: Iterable[str], now: float, ttl_s: float, **more: str | int) -> str:
        claims = {"sub": subject, "roles": sorted(roles), "iat": int(now), "exp": int(now + ttl_s), **more}
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)
