"""The platforms whose tokens log players in, as a file: ``LAUNCHDAY_OIDC``.

.. code-block:: yaml

    platforms:
      - name: example                             # by which a client calls it; accounts are kept under the
      issuer
        issuer: https://accounts.example.com      # the token's "iss", to the letter
        audience: [my-game]                       # one of them has to be in the token's "aud"
        jwks_url: https://accounts.example.com/keys   # left out: found by discovery
        algorithms: [RS256, ES256]
        claim: sub
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from launchday.errors import LaunchdayError

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
Url = Annotated[str, Field(min_length=8, max_length=512)]


class PlatformsError(LaunchdayError):
    """Raised when the file of platforms cannot be used. The text has a line for each mistake."""


class Platform(BaseModel):
    """One platform."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$", description="As clients call it.")
    issuer: Url = Field(description="The token's `iss`, to the letter.")
    audience: tuple[str, ...] = Field(min_length=1, description="One of them has to be in the token's `aud`.")
    jwks_url: Url | None = Field(None, description="Of its public keys; left out: found by discovery.")
    algorithms: tuple[Algorithm, ...] = Field(
        ("RS256", "ES256", "EdDSA"), min_length=1, description="Signatures that are taken."
    )
    claim: str = Field("sub", min_length=1, max_length=64, description="Which claim names the account.")
    leeway_s: float = Field(60.0, ge=0, le=600, description="How far the platform's clock may be off.")
    max_age_s: float | None = Field(
        None,
        gt=0,
        description="Seconds after its issue (`iat`) in which a token is taken; left out: until it ends.",
    )
    nonce: Literal["optional", "needed"] = Field(
        "optional", description="Whether a login has to name the nonce that its token carries."
    )

    @field_validator("audience", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("jwks_url", "issuer")
    @classmethod
    def _is_safe(cls, url: str | None) -> str | None:
        # Who can change keys on their way can log in as anybody.
        if url is not None and not is_safe(url):
            raise ValueError("must be an https:// address (http:// only on this machine)")
        return url


class Platforms:
    """All platforms, by name.

    Args:
        each: no two of one name or issuer.
    """

    def __init__(self, each: tuple[Platform, ...] = ()) -> None:
        self._by_name = {platform.name: platform for platform in each}

    def __iter__(self) -> Iterator[Platform]:
        return iter(self._by_name.values())

    def find(self, name: str) -> Platform | None:
        """The platform of a name; None: there is none."""
        return self._by_name.get(name)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    platforms: tuple[Platform, ...]

    @field_validator("platforms")
    @classmethod
    def _are_told_apart(cls, platforms: tuple[Platform, ...]) -> tuple[Platform, ...]:
        for what in ("name", "issuer"):
            values = [getattr(platform, what) for platform in platforms]
            if twice := {value for value in values if values.count(value) > 1}:
                raise ValueError(f"two platforms have one {what}: {', '.join(sorted(twice))}")
        return platforms


def load(path: str) -> Platforms:
    """Return the platforms of a file, YAML or JSON; an empty path: none. Raises PlatformsError."""
    if not path:
        return Platforms()
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return Platforms(_File.model_validate(content).platforms)
    except ValidationError as error:
        lines = (
            f"LAUNCHDAY_OIDC: {path}: {'.'.join(map(str, mistake['loc'])) or 'file'}: {mistake['msg']}"
            for mistake in error.errors()
        )
        raise PlatformsError("\n".join(lines)) from error
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise PlatformsError(f"LAUNCHDAY_OIDC: {path} cannot be read: {_one_line(error)}") from error


def is_safe(url: str) -> bool:
    """Whether nobody on the way can change what an address gives: https, or this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    return parts.scheme == "http" and (parts.hostname == "localhost" or _is_loopback(parts.hostname or ""))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
