"""Judges a platform's ID token (OpenID Connect Core 1.0 §3.1.3.7), and says whose it is."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

import httpx2
import jwt

from launchday.clock import Clock
from meta_service.errors import PlatformTokenError, UnknownIssuerError
from meta_service.oidc.issuers import Algorithm, Platform, Platforms
from meta_service.oidc.keys import FETCH_S, PlatformKeys

MAX_SUBJECT_BYTES = 255  # OpenID Connect Core 1.0 §2


@dataclass(frozen=True, slots=True)
class PlatformIdentity:
    """Who a platform says that a player is.

    Attributes:
        issuer: the token's; accounts are kept under it, whatever the platform is called here.
        subject: what names the player there.
    """

    issuer: str
    subject: str


class PlatformVerifier:
    """Verifies tokens of all platforms.

    Args:
        platforms: which there are.
        clock: times the fetches of keys.
        http: the client to fetch them with; None: one of its own.
    """

    def __init__(self, platforms: Platforms, clock: Clock, http: httpx2.AsyncClient | None = None) -> None:
        self._platforms = platforms
        self._http = http or _client(platforms)
        self._keys = {each.name: PlatformKeys(each, self._http, clock) for each in platforms}

    async def verify(self, name: str, token: str, nonce: str | None, now: float) -> PlatformIdentity:
        """Return whose token it is.

        Args:
            name: the platform's.
            token: compact form of a signed JSON Web Token.
            nonce: which the client gave the platform for this token; None: it gave none.
            now: Unix seconds.

        Raises UnknownIssuerError, PlatformTokenError, or IssuerUnavailableError when the token names a key
        that is not known here and the platform does not answer.
        """
        platform = self._platforms.find(name)
        if platform is None:
            raise UnknownIssuerError(f"there is no platform {name} here")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError) as error:
            raise PlatformTokenError(f"the token cannot be read: {error}") from error
        algorithm = header.get("alg")
        if algorithm not in platform.algorithms or algorithm not in get_args(Algorithm):
            raise PlatformTokenError(f"tokens of {name} are signed with {', '.join(platform.algorithms)}")
        if "crit" in header:
            raise PlatformTokenError("the token has an extension that is not known here")
        key_id = header.get("kid")
        keys = await self._keys[name].find(key_id, cast(Algorithm, algorithm))
        claims = _signed(token, keys, algorithm)
        _check_times(claims, platform, now)
        _check_names(claims, platform, nonce)
        subject = claims.get(platform.claim)
        if isinstance(subject, int) and not isinstance(subject, bool):
            subject = str(subject)
        if not isinstance(subject, str) or not _names_somebody(subject):
            raise PlatformTokenError(f"the token's {platform.claim} names nobody")
        return PlatformIdentity(platform.issuer, subject)

    async def close(self) -> None:
        """Stop fetching, and close the client."""
        for keys in self._keys.values():
            await keys.close()
        await self._http.aclose()


def _client(platforms: Platforms) -> httpx2.AsyncClient:
    """One for the platforms' keys; reading whom the system trusts takes 40 ms, which nobody needs without
    platforms.
    """
    trusted: ssl.SSLContext | bool = True if list(platforms) else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx2.AsyncClient(timeout=FETCH_S, follow_redirects=False, verify=trusted)


def _signed(token: str, keys: list[Any], algorithm: str) -> dict[str, Any]:
    """The claims, which one of the keys has signed; what they say is not judged yet."""
    for key in keys:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                options={
                    "verify_exp": False,  # by our clock, below
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": False,
                    "verify_iss": False,
                    "verify_sub": False,
                    "verify_jti": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        return claims
    raise PlatformTokenError("the token is not signed with a key of the platform's")


def _check_times(claims: Mapping[str, Any], platform: Platform, now: float) -> None:
    leeway_s = platform.leeway_s
    ends, issued = _time(claims, "exp"), _time(claims, "iat")
    begins = _time(claims, "nbf")
    if ends is None or ends <= now - leeway_s:
        raise PlatformTokenError("the token is over: get a new one from the platform")
    if begins is not None and begins > now + leeway_s:
        raise PlatformTokenError("the token is not valid yet")
    if issued is not None and issued > now + leeway_s:
        raise PlatformTokenError("the token was issued in the future")
    if platform.max_age_s is not None and (issued is None or issued < now - platform.max_age_s - leeway_s):
        raise PlatformTokenError("the token is too old: get a new one from the platform")


def _check_names(claims: Mapping[str, Any], platform: Platform, nonce: str | None) -> None:
    if claims.get("iss") != platform.issuer:
        raise PlatformTokenError(f"the token is of another issuer than {platform.issuer}")
    given = claims.get("aud")
    audiences = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    if not any(isinstance(one, str) and one in platform.audience for one in audiences):
        raise PlatformTokenError("the token is for another application")
    # One that is for others as well, or was given to another, could have been sent here by them.
    party = claims.get("azp")
    alone = all(one in platform.audience for one in audiences)
    if party not in platform.audience and not (party is None and alone):
        raise PlatformTokenError("the token was given to another application, or does not say to which (azp)")
    if nonce is None and platform.nonce == "needed":
        raise PlatformTokenError("give the nonce with which the token was asked for")
    if nonce is not None and claims.get("nonce") != nonce:
        raise PlatformTokenError("the token was made for another login")


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """A claim's Unix seconds; None where it has none."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise PlatformTokenError(f"the token's {name} is no time")
    return float(value)


def _names_somebody(subject: str) -> bool:
    try:
        return "\0" not in subject and 0 < len(subject.encode()) <= MAX_SUBJECT_BYTES
    except UnicodeEncodeError:
        return False
