"""What can be wrong with a token or its key."""

from __future__ import annotations

from launchday.errors import LaunchdayError


class IdentityError(LaunchdayError):
    """Base of what can be wrong with a token or its key."""


class InvalidTokenError(IdentityError):
    """Raised when a token is malformed, forged, or expired. The caller should log in again."""


class WeakSecretError(IdentityError):
    """Raised when there is neither a key file nor a signing secret, or the secret is too short.

    Set LAUNCHDAY_IDENTITY_KEYS or LAUNCHDAY_IDENTITY_SECRET.
    """


class KeyFileError(IdentityError):
    """Raised when a key file cannot be read or makes no sense. The text names the file and the key."""


class CannotSignError(IdentityError):
    """Raised when no key of this process may sign such a token. Name a file with one that may in
    LAUNCHDAY_IDENTITY_KEYS.
    """
