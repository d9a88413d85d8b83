"""A key file: a set of JSON Web Keys (RFC 7517), with the private parts of its reader's own keys.

Beside what the standards name, a key says what it may sign: ``roles``, ``subjects`` (left out: every name
that no other key has for its own), and from when on it signs (``nbf``) and is taken (until ``exp``), both in
Unix seconds. Ed25519's keys are those of RFC 8037; a secret for HS256 is of the type ``oct``.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from nacl import bindings

from launchday.folders import write_whole
from launchday.identity.errors import KeyFileError
from launchday.identity.keys import ANY_SUBJECT, EDDSA, HS256, MIN_SECRET_BYTES, SEED_BYTES, Key

PUBLIC = "public"  # the name of the file for those who only verify
MAX_FILE_BYTES = 1024 * 1024


class _Jwk(msgspec.Struct, omit_defaults=True):
    kty: str
    kid: str
    alg: str = ""
    crv: str = ""
    x: str = ""
    d: str = ""
    k: str = ""
    use: str = ""
    roles: list[str] | None = None
    subjects: list[str] = []
    nbf: float = -math.inf
    exp: float = math.inf
    owner: str = ""


class _Jwks(msgspec.Struct):
    keys: list[_Jwk]


def read_key_file(path: Path) -> tuple[Key, ...]:
    """Read the keys of a file. Raises KeyFileError, in one line that names the file."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise KeyFileError(f"the key file {path} cannot be read: {error.strerror}") from error
    try:
        return parse_keys(text)
    except KeyFileError as error:
        raise KeyFileError(f"the key file {path}: {error}") from error


def parse_keys(text: bytes) -> tuple[Key, ...]:
    """Read the keys of a file's text. Raises KeyFileError."""
    try:
        found = msgspec.json.decode(text, type=_Jwks)
    except (ValueError, RecursionError) as error:
        raise KeyFileError(f"it is no set of JSON Web Keys: {error}") from error
    if not found.keys:
        raise KeyFileError("it has no key")
    keys: dict[str, Key] = {}
    for jwk in found.keys:
        try:
            key = _read(jwk)
        except ValueError as error:
            raise KeyFileError(f"the key {jwk.kid!r:.80}: {error}") from error
        if key.key_id in keys:
            raise KeyFileError(f"the key {jwk.kid!r:.80} stands twice")
        keys[key.key_id] = key
    return tuple(keys.values())


def write_key_file(path: Path, keys: Iterable[Key]) -> None:
    """Write keys, whole or not at all, for this user alone. Raises OSError."""
    text = msgspec.json.encode({"keys": [_written(key) for key in keys]})
    write_whole(path, msgspec.json.format(text, indent=1) + b"\n", 0o600)


def _read(jwk: _Jwk) -> Key:
    if not jwk.kid:
        raise ValueError("it needs an id (kid)")
    if jwk.kty == "OKP" and jwk.crv == "Ed25519" and jwk.alg in ("", EDDSA, "Ed25519"):
        algorithm, public, private = EDDSA, _bytes(jwk.x), _bytes(jwk.d)
        if len(public) != bindings.crypto_sign_PUBLICKEYBYTES or len(private) not in (0, SEED_BYTES):
            raise ValueError("x and d of an Ed25519 key have 32 bytes each, in base64 for URLs")
        if private and bindings.crypto_sign_seed_keypair(private)[0] != public:
            raise ValueError("its private part d does not belong to its public part x")
    elif jwk.kty == "oct" and jwk.alg in ("", HS256):
        algorithm, public, private = HS256, b"", _bytes(jwk.k)
        if len(private) < MIN_SECRET_BYTES:
            raise ValueError(f"k of a secret has at least {MIN_SECRET_BYTES} bytes, in base64 for URLs")
    else:
        raise ValueError("it is neither Ed25519 (kty OKP, crv Ed25519) nor a secret for HS256 (kty oct)")
    if jwk.nbf >= jwk.exp:
        raise ValueError("it ends (exp) before it begins (nbf)")
    return Key(
        jwk.kid,
        algorithm,
        None if jwk.roles is None else frozenset(jwk.roles),
        tuple(jwk.subjects) or (ANY_SUBJECT,),
        jwk.nbf,
        jwk.exp,
        private,
        public,
        jwk.owner,
    )


def _written(key: Key) -> dict[str, Any]:
    jwk: dict[str, Any] = {"kid": key.key_id, "use": "sig", "alg": key.algorithm}
    if key.algorithm == EDDSA:
        jwk |= {"kty": "OKP", "crv": "Ed25519", "x": _text(key.public)}
        if key.private:
            jwk["d"] = _text(key.private)
    else:
        jwk |= {"kty": "oct", "k": _text(key.private)}
    if key.roles is not None:
        jwk["roles"] = sorted(key.roles)
    if key.subjects != (ANY_SUBJECT,):
        jwk["subjects"] = list(key.subjects)
    if math.isfinite(key.signs_from):
        jwk["nbf"] = key.signs_from
    if math.isfinite(key.ends_at):
        jwk["exp"] = key.ends_at
    if key.owner:
        jwk["owner"] = key.owner
    return jwk


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except ValueError as error:
        raise ValueError("it has a part that is no base64 for URLs") from error


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
