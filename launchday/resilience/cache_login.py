"""A cache's password that lies in a file: read at each connection, so it is changed without a restart."""

from __future__ import annotations

from pathlib import Path

from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError


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
