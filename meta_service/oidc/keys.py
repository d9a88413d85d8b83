"""A platform's public keys: fetched when needed, kept, and asked for anew when a token names another.

Anybody can send tokens that name made-up keys. So a platform is asked at most once in `REFETCH_S`, whoever
sends what, and by one request for all that wait. What was fetched stays good while the platform does not
answer: only keys that nobody here has seen have to wait for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import jwt
import structlog

from launchday.clock import Clock
from launchday.resilience import deadline
from meta_service.errors import IssuerUnavailableError
from meta_service.oidc.issuers import Algorithm, Platform, is_safe

FETCH_S = 3.0  # for the keys, discovery included; a login waits no longer
REFETCH_S = 30.0  # between two fetches: a key that a platform begins to use is known here after so long
RETRY_S = 2.0  # after one that failed
STALE_S = 3600.0  # keys that are older are fetched anew with the next login, which does not wait for it
MAX_BYTES = 256 * 1024  # of an answer; the largest that are known have 10 KB
MAX_KEYS = 64
MIN_RSA_BITS = 2048  # RFC 7518 §3.3

_KEY_TYPES: dict[Algorithm, tuple[str, str | None]] = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "EdDSA": ("OKP", "Ed25519"),
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Key:
    key_id: str | None
    kind: str
    curve: str | None
    parts: Mapping[str, Any]


class PlatformKeys:
    """The keys of one platform.

    Args:
        platform: whose.
        http: the client to fetch them with.
        clock: times the fetches (monotonic).
    """

    def __init__(self, platform: Platform, http: httpx2.AsyncClient, clock: Clock) -> None:
        self._platform = platform
        self._http = http
        self._clock = clock
        self._keys: tuple[_Key, ...] = ()
        self._fetched_at: float | None = None
        self._asked_at: float | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None, algorithm: Algorithm) -> list[Any]:
        """The keys by which a token may be signed; empty: the platform has no such.

        Args:
            key_id: which the token names; None: any of the algorithm's.
            algorithm: of the signature.

        Raises IssuerUnavailableError when only the platform could tell, and it does not.
        """
        now = self._clock.monotonic()
        found = self._fitting(key_id, algorithm)
        if found:
            if self._fetched_at is None or now - self._fetched_at > STALE_S:
                self._ask(now)
            return found
        fetch = self._ask(now)
        if fetch is not None:
            await asyncio.shield(fetch)
            found = self._fitting(key_id, algorithm)
        if not found and self._failed:
            raise IssuerUnavailableError(
                f"{self._platform.name} does not tell its keys now: try again in a moment"
            )
        return found

    async def close(self) -> None:
        """Stop fetching."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _fitting(self, key_id: str | None, algorithm: Algorithm) -> list[Any]:
        kind, curve = _KEY_TYPES[algorithm]
        fitting = (
            key
            for key in self._keys
            if key_id in (None, key.key_id) and key.kind == kind and curve in (None, key.curve)
        )
        return [key for parts in fitting if (key := _usable(parts.parts, algorithm)) is not None]

    def _ask(self, now: float) -> asyncio.Task[None] | None:
        """The fetch that is under way, or a new one where it is time for one; None: it was asked lately."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        pause_s = RETRY_S if self._failed else REFETCH_S
        if self._asked_at is not None and now - self._asked_at < pause_s:
            return None
        self._asked_at = now
        with deadline.serving(None):  # for all that wait, not for the request that came first
            self._fetching = asyncio.get_running_loop().create_task(self._fetch(), name="platform's keys")
        return self._fetching

    async def _fetch(self) -> None:
        try:
            async with deadline.within(self._clock, FETCH_S):
                url = self._platform.jwks_url or await self._discover()
                self._keys = _read(await self._get(url))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, TimeoutError, ValueError) as error:
            self._failed = True
            log.warning("platform's keys not fetched", platform=self._platform.name, reason=repr(error))
        else:
            self._failed = False
            self._fetched_at = self._clock.monotonic()
            log.info("platform's keys fetched", platform=self._platform.name, keys=len(self._keys))

    async def _discover(self) -> str:
        """Find the keys' address as OpenID Connect Discovery 1.0 says."""
        issuer = self._platform.issuer
        document = await self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != issuer:
            raise ValueError(f"the discovery document is of another issuer than {issuer}")
        url = document.get("jwks_uri")
        if not isinstance(url, str) or not is_safe(url):
            raise ValueError("the discovery document names no https:// address of keys")
        return url

    async def _get(self, url: str) -> dict[str, Any]:
        async with self._http.stream("GET", url, headers={"Accept": "application/json"}) as answer:
            if answer.status_code != httpx2.codes.OK:
                raise ValueError(f"{url} answered {answer.status_code}")
            body = bytearray()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MAX_BYTES:
                    raise ValueError(f"{url} gave more than {MAX_BYTES} bytes")
        try:
            content = json.loads(body)
        except RecursionError as error:
            raise ValueError(f"{url} gave JSON that is nested too deeply") from error
        if not isinstance(content, dict):
            raise ValueError(f"{url} gave no JSON object")
        return content


def _read(document: Mapping[str, Any]) -> tuple[_Key, ...]:
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise ValueError("the key set has no keys")
    return tuple(
        _Key(
            key.get("kid") if isinstance(key.get("kid"), str) else None,
            str(key.get("kty", "")),
            str(key["crv"]) if "crv" in key else None,
            key,
        )
        for key in listed[:MAX_KEYS]
        if isinstance(key, dict) and key.get("use", "sig") == "sig"
    )


def _usable(parts: Mapping[str, Any], algorithm: Algorithm) -> Any:
    """PyJWT's form of a key; None where it is broken, too short, for another algorithm, or where its private
    part was published: whoever read it can sign for anybody.
    """
    if parts.get("alg", algorithm) != algorithm or "d" in parts:
        return None
    try:
        key = jwt.PyJWK(dict(parts), algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return None if getattr(key, "key_size", MIN_RSA_BITS) < MIN_RSA_BITS and parts["kty"] == "RSA" else key
