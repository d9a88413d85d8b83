"""``python kafka_token.py KEY USER SECONDS AUDIENCE``: prints a signed token, as an issuer's tool would."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from pathlib import Path

from launchday import startup

ISSUER = "https://issuer.test"
KEY_ID = "1"
OPENSSL_S = 30


def signed_token(key: Path, user: str, life_s: float, audience: str) -> str:
    """Make a token (JWT, RS256).

    Args:
        key: PEM file of the issuer's RSA key.
        user: whom the token is for.
        life_s: seconds until it expires.
        audience: what it is for.
    """
    now = time.time()
    claims = {"sub": user, "iss": ISSUER, "aud": audience, "iat": int(now), "exp": int(now + life_s)}
    parts = [base64_url(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": KEY_ID}, claims)]
    argv = ["openssl", "dgst", "-sha256", "-sign", str(key)]
    done = subprocess.run(
        argv, input=".".join(parts).encode(), capture_output=True, timeout=OPENSSL_S, check=True
    )
    return ".".join([*parts, base64_url(done.stdout)])


def base64_url(data: bytes) -> str:
    """URL-safe and without padding, as in tokens and ids of clusters."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


if __name__ == "__main__":
    startup.prepare()
    file, name, seconds, meant_for = sys.argv[1:]
    print(json.dumps({"access_token": signed_token(Path(file), name, float(seconds), meant_for)}))
