"""The text of a token: three parts in base64 (RFC 7515 §7.1), of which the second holds the claims.

What is read here was signed already, or is about to be checked. It is read strictly all the same: a key's
owner may be mistaken, and a claim of another type must not reach code that takes it for a number.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from launchday.identity.errors import InvalidTokenError
from launchday.identity.keys import PLAYER, REFRESH

MALFORMED = "the token is not valid: it is no JSON Web Token of the compact form"
MAX_TOKEN_CHARACTERS = 8192
MAX_PLAYER_ID = 2**63 - 1
MAX_ROLES = 16

_NAME = r"^[^\x00-\x1f\x7f-\x9f]+\Z"  # what a log, a terminal and a database can hold
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=2**53)]  # NaN is no JSON; infinity is out of range


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


class Header(msgspec.Struct):
    """The first part. What must be understood (``crit``) is nothing that we do."""

    alg: str
    kid: str = ""
    typ: str = ""
    crit: Any = None


class Claims(msgspec.Struct):
    """The payload of a caller's token; what else it claims is nothing to us (RFC 7519 §4)."""

    sub: Annotated[str, msgspec.Meta(max_length=256, pattern=_NAME)]
    roles: Annotated[list[str], msgspec.Meta(max_length=MAX_ROLES)]
    exp: _Seconds
    iat: _Seconds = 0.0
    nbf: _Seconds = 0.0
    iss: str = ""
    aud: str | list[str] = ""
    sid: str = ""
    gen: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = 0


class StatementClaims(msgspec.Struct):
    """The payload of a statement; ``aud`` is its kind."""

    aud: str
    exp: _Seconds
    body: dict[str, Any]
    iss: str = ""


_read_header = msgspec.json.Decoder(Header).decode
_read_claims = msgspec.json.Decoder(Claims).decode
_read_statement = msgspec.json.Decoder(StatementClaims).decode


def encoded(data: bytes) -> bytes:
    """Encode a part of a token: base64 for URLs without its padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def decoded(part: bytes) -> bytes:
    """Decode a part of a token. Raises ValueError for what `encoded` does not make: a token has one text."""
    data = binascii.a2b_base64(part.translate(_FROM_URL) + b"=" * (-len(part) % 4))
    if encoded(data) != part:
        raise ValueError("it is not base64 for URLs")
    return data


_FROM_URL = bytes.maketrans(b"-_", b"+/")


def split(token: str) -> tuple[bytes, bytes, bytes, bytes]:
    """Return a token's header, payload and signature as they stand, and what was signed.

    Raises InvalidTokenError where the text is none.
    """
    try:
        text = token.encode("ascii")
    except UnicodeEncodeError as error:
        raise InvalidTokenError(MALFORMED) from error
    signed, _, signature = text.rpartition(b".")
    header, _, payload = signed.partition(b".")
    if not payload or b"." in payload or len(text) > MAX_TOKEN_CHARACTERS:
        raise InvalidTokenError(MALFORMED)
    return header, payload, signature, signed


def read_header(part: bytes) -> Header:
    """Read a token's first part. Raises InvalidTokenError."""
    try:
        header = _read_header(decoded(part))
    except (ValueError, RecursionError) as error:
        raise InvalidTokenError(MALFORMED) from error
    if header.crit is not None:
        raise InvalidTokenError("the token is not valid: it demands what is not understood here")
    return header


def read_claims(part: bytes) -> Claims:
    """Read what a caller's token claims. Raises InvalidTokenError where it claims no caller."""
    try:
        claims = _read_claims(decoded(part))
    except (ValueError, RecursionError) as error:
        raise InvalidTokenError(f"the token is not valid: {_said(error)}") from error
    if (PLAYER in claims.roles or REFRESH in claims.roles) and not _is_player_id(claims.sub):
        raise InvalidTokenError("the token is not valid: its subject is no player id")
    return claims


def read_statement(part: bytes) -> StatementClaims:
    """Read the payload of a statement. Raises InvalidTokenError where it is none."""
    try:
        return _read_statement(decoded(part))
    except (ValueError, RecursionError) as error:
        raise InvalidTokenError(f"the statement is not valid: {_said(error)}") from error


def _is_player_id(subject: str) -> bool:
    return subject.isascii() and subject.isdecimal() and len(subject) <= 19 and int(subject) <= MAX_PLAYER_ID


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, msgspec.ValidationError) else "its claims are not JSON in base64"
