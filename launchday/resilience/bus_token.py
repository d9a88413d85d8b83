"""Tokens of OAUTHBEARER, printed by a command of the user's, as clouds' tools do.

Nothing that the command prints is ever logged: it may be a token, or a part of one.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
import os
import shlex
import signal
from typing import Any, cast

from launchday.clock import Clock
from launchday.settings import env_name

ANSWER_S = 20.0  # for the command: tools of clouds are slow to start, and ask over the network
EARLY_SHARE, EARLY_S = 0.2, 60.0  # a token is renewed so long before its end: the lesser of both
UNKNOWN_LIFE_S = 60.0  # of a token that does not tell when it expires
MAX_TOKEN_BYTES = 64 * 1024
SETTING = env_name("kafka_token_command")


class NoTokenError(OSError):
    """Raised where there is no token; the text is one line. Try again, as with a broker that is away."""


class TokenCommand:
    """Runs the command when a token is wanted and the last one is about to expire.

    Args:
        command: its words, parted as a shell does; no shell runs it.
        clock: tells whether a token has expired.
    """

    def __init__(self, command: str, clock: Clock) -> None:
        self._command = command
        self._clock = clock
        self._token = ""
        self._renew_at = 0.0  # Unix seconds
        self._asking = asyncio.Lock()

    async def token(self) -> str:
        """Return a token that has not expired. Raises NoTokenError."""
        async with self._asking:  # clients that reconnect at once run one command
            now = self._clock.wall()
            if not self._token or now >= self._renew_at:
                token, expires_at = read_token(await self._run(), now)
                early_s = min(EARLY_S, EARLY_SHARE * (expires_at - now))
                self._token, self._renew_at = token, expires_at - early_s
            return self._token

    async def _run(self) -> bytes:
        try:
            words = shlex.split(self._command)
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except ValueError as error:
            raise NoTokenError(f"{SETTING} cannot be read: {error}") from error
        except OSError as error:
            raise NoTokenError(f"{SETTING} cannot be run: {words[0]}: {error.strerror}") from error
        try:
            async with asyncio.timeout(ANSWER_S):
                printed = await _read(process)
                code = await process.wait()
        except TimeoutError as error:
            raise NoTokenError(
                f"{SETTING} printed no token within {ANSWER_S:g} s: run it by hand and see"
            ) from error
        finally:
            await _end(process)
        if code:
            raise NoTokenError(f"{SETTING} ended with code {code}: run it by hand and see")
        return printed


async def _read(process: asyncio.subprocess.Process) -> bytes:
    """What a command prints until it ends; raises NoTokenError where that is too much for a token."""
    printed = b""
    while chunk := await cast(asyncio.StreamReader, process.stdout).read(MAX_TOKEN_BYTES):
        printed += chunk
        if len(printed) > MAX_TOKEN_BYTES:
            raise NoTokenError(f"{SETTING} printed no token, but more than {MAX_TOKEN_BYTES:,} bytes")
    return printed


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a command that still runs, and what it has started, and wait for nobody who has its output open."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    # Without it wait() waits until the last of its children has closed the pipe, which may be never.
    cast(Any, process)._transport.close()
    await process.wait()


def read_token(printed: bytes, now: float) -> tuple[str, float]:
    """Read what the command printed: a token alone, or JSON.

    JSON has it as ``access_token`` (RFC 6749, 5.1) or ``token``; when it expires as ``expires_in`` (seconds),
    ``expires_at`` (Unix seconds) or ``expiry_ms`` (Unix milliseconds). Otherwise ``exp`` of a JWT tells it.

    Args:
        printed: the command's standard output.
        now: Unix seconds.

    Returns:
        The token, and when it expires, Unix seconds.

    Raises:
        NoTokenError: it is none; the text has nothing of it.
    """
    text = printed.decode(errors="replace").strip()
    found: dict[str, Any] = {}
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise NoTokenError(f"{SETTING} printed JSON that is broken: run it by hand and see") from None
        text = str(found.get("access_token") or found.get("token") or "")
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise NoTokenError(f"{SETTING} printed no token: it has to print a JWT, or JSON with access_token")
    known = (told for told in (_expiry(found, now), _jwt_expiry(text)) if told is not None)
    expires_at = next(known, now + UNKNOWN_LIFE_S)
    if expires_at <= now:
        raise NoTokenError(f"{SETTING} printed a token that has expired: see to the clock, or to its cache")
    return text, expires_at


def _expiry(found: dict[str, Any], now: float) -> float | None:
    try:
        if "expires_in" in found:
            return _finite(now + float(found["expires_in"]))
        if "expires_at" in found:
            return _finite(float(found["expires_at"]))
        if "expiry_ms" in found:
            return _finite(float(found["expiry_ms"]) / 1000)
    except (TypeError, ValueError, OverflowError):
        pass
    return None


def _jwt_expiry(token: str) -> float | None:
    """The claim ``exp``; None where the token is no JWT, or has none."""
    try:
        _, claims, _ = token.split(".")
        return _finite(float(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]))
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None  # JSON of Python has NaN, too
