"""How a cache's connections log in and speak TLS, by its address.

A password that lies in a file is read at each connection, so it is changed without a restart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis.asyncio.connection import SSLConnection, parse_url
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError

from launchday.cache_address import CacheAddress


class FileLogin(CredentialProvider):
    """User and password for redis-py.

    Args:
        file: its text, without white space around it, is the password.
        user: of the access control list; None: the default one.
    """

    def __init__(self, file: Path, user: str | None) -> None:
        self._file = file
        self._user = user

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """(user, password), or (password,) for the default user.

        Raises redis-py's AuthenticationError, which is a ConnectionError, where the file cannot be read.
        """
        try:
            password = self._file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AuthenticationError(
                f"the cache's password cannot be read from {self._file}: {error}"
            ) from error
        return (self._user, password) if self._user else (password,)


def connection_options(address: CacheAddress) -> dict[str, Any]:
    """The arguments of redis-py's connections that an address asks for, but for host and port."""
    found: dict[str, Any] = dict(parse_url(address.node_url))
    for each in ("host", "port"):
        found.pop(each, None)
    if found.get("connection_class") is SSLConnection:
        found.setdefault("ssl_cert_reqs", "required")
        found.setdefault("ssl_password", "")  # without one OpenSSL asks at the terminal for that of a key
    if address.password_file:
        user = found.pop("username", None)
        found.pop("password", None)
        found["credential_provider"] = FileLogin(Path(address.password_file), user)
    return found
