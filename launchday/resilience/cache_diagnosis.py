"""Why a cache cannot be spoken to where something answers at its address: TLS, the login, another kind."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any

from launchday.cache_address import CacheAddress
from launchday.resilience import cache_checks as checks
from launchday.resilience.requirements import Fault

LOOK_S = 0.5
LOGIN_WORDS = (
    "authentication required",  # NOAUTH
    "invalid username-password pair",  # WRONGPASS
    "invalid password",
    "without any password configured",
    "password cannot be read",
)


async def why_not(address: CacheAddress, error: BaseException) -> Fault | None:
    """Say what an error at an address comes from, with the line to type; None where nothing answers there.

    Args:
        address: whose first host is looked at.
        error: of redis-py, or the system's.
    """
    if not address.hosts:
        return None
    said = _said(error)
    host, port = address.hosts[0]
    place: dict[str, Any] = {"scheme": "rediss" if address.tls else "redis", "host": host, "port": port}
    if any(words in said for words in LOGIN_WORDS):
        return checks.LOGIN.fault("the cache refuses the login", **place)
    if "cluster support disabled" in said:
        return checks.NODE_ADDRESS.fault("this is one node, and no cluster", **place)
    if address.kind == "sentinel" and "unknown command" in said:
        name = address.name
        return checks.SENTINEL_ADDRESS.fault("this is no Sentinel", **place | {"port": 26379}, name=name)
    if "no such master" in said:
        return checks.SENTINEL_ADDRESS.fault(f"the Sentinels watch no {address.name}", **place, name="NAME")
    return await _why_not_tls(address, said, host, port)


async def _why_not_tls(address: CacheAddress, said: str, host: str, port: int) -> Fault | None:
    plain = "" if address.kind == "node" else f"+{address.kind}"
    if address.tls:
        if "mismatch" in said or "not valid for" in said:
            return checks.HOST_NAME.fault("the cache's certificate is for another name")
        if "certificate verify failed" in said or "certificate_verify_failed" in said:
            return checks.AUTHORITY.fault("the cache's certificate is by an authority that is not trusted")
        if "certificate required" in said:
            return checks.CERTIFICATE.fault("the cache asks for a certificate")
        if await _speaks_plain(host, port):
            return checks.TLS.fault("the cache speaks no TLS", scheme=f"redis{plain}")
        if await _speaks_tls(host, port):
            return checks.CERTIFICATE.fault(
                "the cache ends the connection, as one that asks for a certificate"
            )
    elif await _speaks_tls(host, port):
        return checks.TLS.fault("the cache speaks TLS alone", scheme=f"rediss{plain}")
    return None


def _said(error: BaseException | None) -> str:
    words: list[str] = []
    while error is not None and len(words) < 5:
        words.append(str(error))
        error = error.__cause__ or error.__context__
    return " ".join(words).lower()


async def _speaks_plain(host: str, port: int) -> bool:
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(LOOK_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"PING\r\n")
                return (await reader.read(1))[:1] in (b"+", b"-")
            finally:
                writer.close()
    return False


async def _speaks_tls(host: str, port: int) -> bool:
    """Whether a TLS handshake is answered; nothing is sent over it, so nothing is trusted."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(LOOK_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
            writer.close()
            return True
    return False
