"""Issues and verifies tokens and statements."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from launchday.clock import Clock
from launchday.identity.claims import (
    Claims,
    Header,
    Identity,
    decoded,
    encoded,
    read_claims,
    read_header,
    read_statement,
    split,
)
from launchday.identity.errors import InvalidTokenError
from launchday.identity.keys import PLAYER, REFRESH, SERVICE, Key, KeySet
from launchday.identity.remembered import Remembered

STATEMENT_TYPE = "statement+jwt"  # in the header: no token of a caller has it (RFC 8725 §3.11)
NAME = "launchday"  # issuer and audience where the settings say nothing
TYPE = "JWT"
MAX_HEADS = 64  # a key has one or two


@functools.lru_cache(maxsize=256)
def _frozen(roles: tuple[str, ...]) -> frozenset[str]:
    """Roles as a set, one object for all callers who have them."""
    return frozenset(roles)


class Signer:
    """Issues and verifies tokens. Time is given by the caller, in Unix seconds.

    Args:
        keys: the one secret, or the keys that this process knows.
        tolerance_s: seconds for which a token is taken beyond its end where this machine's wall clock is
            ahead of the time that the region's processes share: it was stepped, or it is wrong.
        issuer: whom tokens say that they are from, and must.
        audience: whom they say that they are for, and must.
        plain: sign as releases without ``kid``, ``iss`` and ``aud`` do and read it, while they run beside
            this one; with the one secret.

    Raises:
        WeakSecretError: the secret is too short.
    """

    def __init__(
        self,
        keys: str | KeySet,
        tolerance_s: float = 0.0,
        *,
        issuer: str = NAME,
        audience: str = NAME,
        plain: bool = False,
    ) -> None:
        self.keys = KeySet([Key.of_secret(keys)]) if isinstance(keys, str) else keys
        self._tolerance_s = tolerance_s
        self._issuer = issuer
        self._audience = audience
        self._plain = plain
        self._remembered = Remembered()
        self._headers: dict[tuple[str, str], bytes] = {}  # by key and type
        self._heads: dict[bytes, Header] = {}  # first parts of tokens that were valid: to read one is 2 µs

    def use(self, keys: KeySet) -> None:
        """Go on with these keys: tokens of keys that are not among them are refused from now on."""
        self.keys = keys
        self._remembered.clear()
        self._headers.clear()
        self._heads.clear()

    def player_token(
        self, player_id: int, now: float, ttl_s: float, session_id: str = "", generation: int = 0
    ) -> str:
        """Sign a session token for one player; ``generation`` is that of the pair it belongs to.

        Raises CannotSignError.
        """
        exchanged = {"gen": generation} if generation else {}
        return self._token(str(player_id), (PLAYER,), now, ttl_s, sid=session_id, **exchanged)

    def refresh_token(
        self, player_id: int, now: float, ttl_s: float, session_id: str, generation: int
    ) -> str:
        """Sign the token that is exchanged for the session's next pair of tokens. Raises CannotSignError."""
        return self._token(str(player_id), (REFRESH,), now, ttl_s, sid=session_id, gen=generation)

    def service_token(
        self, name: str, now: float, ttl_s: float = 24 * 3600.0, roles: Iterable[str] = (SERVICE,)
    ) -> str:
        """Sign a token for a service or an operator. Raises CannotSignError."""
        return self._token(name, roles, now, ttl_s)

    def service_tokens(self, name: str, clock: Clock, ttl_s: float) -> Callable[[], str]:
        """Return what gives a service's token for each of its calls: signed anew once half of its life is
        over, and when another key signs.

        Raises CannotSignError now, where no key here signs for it.
        """
        source = _ServiceTokens(self, name, clock, ttl_s)
        source()
        return source

    def verify(self, token: str, now: float) -> Identity:
        """Return the caller that a token names; raises InvalidTokenError.

        Its signature is checked once: a token is remembered (see `Remembered`) until the keys change.
        """
        mark = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        caller = self._remembered.get(mark)
        if caller is None:
            caller = self._verified(token, now)
            if caller.expires_at > now:
                self._remembered.put(mark, caller)
        if caller.expires_at <= now:
            raise InvalidTokenError("the token has expired: log in again")
        return caller

    def statement(self, kind: str, body: Mapping[str, object], now: float, ttl_s: float) -> str:
        """Sign something that the meta service vouches for, such as who is in a party, for others to read.

        Args:
            kind: what it is about; whoever reads it names the same.
            body: what is stated, as JSON can say it.
            now: Unix seconds.
            ttl_s: seconds for which it holds.

        Raises:
            CannotSignError: this process has no key for players' tokens, which is the meta service's.
        """
        key = self.keys.signing((PLAYER,), "", now)
        claims = {"iss": self._issuer, "aud": kind, "iat": int(now), "exp": int(now + ttl_s)}
        return self._signed(key, STATEMENT_TYPE, {**claims, "body": dict(body)})

    def read_statement(self, kind: str, text: str, now: float) -> dict[str, object]:
        """Return the body of a statement of this kind.

        Raises InvalidTokenError for one that is forged, of another kind, or has ended, and for a caller's
        token.
        """
        header, payload, signature, signed = split(text)
        head = read_header(header)
        if head.typ != STATEMENT_TYPE:
            raise InvalidTokenError(f"this is no statement of the kind {kind}")
        key = self._proven(head, signed, signature)
        said = read_statement(payload)
        if said.aud != kind or not key.gives((PLAYER,)) or said.iss != self._issuer:
            raise InvalidTokenError(f"this is no statement of the kind {kind}")
        if min(said.exp, key.ends_at) <= now:
            raise InvalidTokenError("the statement has expired: ask for a new one")
        return said.body

    def time(self, clock: Clock) -> float:
        """The time by which a token is judged (Unix seconds): the wall clock, for by that it was dated.

        Where that is ahead of the shared time, the latter decides, as far as the tolerance goes: a step of
        five minutes makes no token older. Where it is behind, nobody's token ends early.
        """
        wall = clock.wall()
        return max(min(wall, clock.now()), wall - self._tolerance_s)

    def _verified(self, token: str, now: float) -> Identity:
        header, payload, signature, signed = split(token)
        head = self._heads.get(header) or read_header(header)
        if head.typ == STATEMENT_TYPE:
            raise InvalidTokenError("the token is not valid: it is a statement, and names no caller")
        key = self._proven(head, signed, signature)
        claims = read_claims(payload)
        if not self._is_for_us(claims, key):
            raise InvalidTokenError("the token is not valid: its issuer or its audience is another")
        if not self.keys.may_sign(key, claims.roles, claims.sub):
            raise InvalidTokenError("the token is not valid: its key signs no such token")
        if claims.nbf > now:
            raise InvalidTokenError("the token is not valid yet")
        if len(self._heads) < MAX_HEADS:
            self._heads[header] = head
        ends_at = min(claims.exp, key.ends_at)
        return Identity(claims.sub, _frozen(tuple(claims.roles)), ends_at, claims.sid, claims.gen)

    def _proven(self, head: Header, signed: bytes, signature: bytes) -> Key:
        """Return the key that has signed, by its own algorithm and no other (RFC 8725 §3.1)."""
        key = self.keys.find(head.kid)
        if key is None or head.alg != key.algorithm:
            raise InvalidTokenError("the token is not valid: its key is not known here")
        try:
            proven = key.has_signed(signed, decoded(signature))
        except ValueError:
            proven = False
        if not proven:
            raise InvalidTokenError("the token is not valid: its signature is not its key's")
        return key

    def _is_for_us(self, claims: Claims, key: Key) -> bool:
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        issuer_fits = claims.iss == self._issuer or (key.is_plain and not claims.iss)
        return issuer_fits and (self._audience in audiences or (key.is_plain and audiences == [""]))

    def _token(self, subject: str, roles: Iterable[str], now: float, ttl_s: float, **more: str | int) -> str:
        roles = sorted(roles)
        key = self.keys.signing(roles, subject, now)
        claims: dict[str, Any] = {"sub": subject, "roles": roles, "iat": int(now), "exp": int(now + ttl_s)}
        claims |= more
        if not (self._plain and key.is_plain):
            claims |= {"iss": self._issuer, "aud": self._audience}
        return self._signed(key, TYPE, claims)

    def _signed(self, key: Key, kind: str, claims: Mapping[str, Any]) -> str:
        header = self._headers.get((key.key_id, kind))
        if header is None:
            names = {"alg": key.algorithm, "kid": key.key_id, "typ": kind}
            if self._plain and key.is_plain and kind == TYPE:
                del names["kid"]
            header = self._headers[key.key_id, kind] = encoded(msgspec.json.encode(names))
        signed = header + b"." + encoded(msgspec.json.encode(claims))
        return (signed + b"." + encoded(key.signature(signed))).decode()


class _ServiceTokens:
    """What `Signer.service_tokens` returns."""

    def __init__(self, signer: Signer, name: str, clock: Clock, ttl_s: float) -> None:
        self._signer = signer
        self._name = name
        self._clock = clock
        self._ttl_s = ttl_s
        self._key: Key | None = None
        self._token = ""
        self._signed_at = 0.0

    def __call__(self) -> str:
        now = self._clock.wall()
        key = self._signer.keys.signing((SERVICE,), self._name, now)
        if key != self._key or not 0.0 <= now - self._signed_at < self._ttl_s / 2:
            self._token = self._signer.service_token(self._name, now, self._ttl_s)
            self._key, self._signed_at = key, now
        return self._token
