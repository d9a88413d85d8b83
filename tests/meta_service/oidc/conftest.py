"""A platform on this machine: a real HTTP server with keys, and tokens that it signs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
ALGORITHMS: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def public(name: str, key: Any, key_id: str) -> dict[str, Any]:
    """A private key's public half as a JSON Web Key."""
    jwk: dict[str, Any] = ALGORITHMS[name].to_jwk(key.public_key(), as_dict=True)
    return {**jwk, "kid": key_id, "use": "sig", "alg": name}


class Issuer:
    """One platform; its answers can be changed, and are counted."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken = False
        self.text = ""  # in the place of what it would answer
        self.discovery: dict[str, Any] = {}
        self.keys = [public(name, key, name.lower()) for name, key in KEYS.items()]
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                body = {"keys": issuer.keys} if self.path == "/keys" else issuer.discovery
                self.send_response(500 if issuer.broken else 200)
                self.end_headers()
                self.wfile.write((issuer.text or json.dumps(body)).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.discovery = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def token(self, now: float, algorithm: str = "RS256", key: Any = None, **claims: Any) -> str:
        """A token of this platform; claims that are None are left out."""
        header = {"kid": claims.pop("kid", algorithm.lower())}
        every = {"iss": self.url, "aud": "my-game", "sub": "nina", "iat": now, "exp": now + 600, **claims}
        content = {name: value for name, value in every.items() if value is not None}
        return jwt.encode(content, key or KEYS[algorithm], algorithm=algorithm, headers=header)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    platform = Issuer()
    yield platform
    platform.stop()
