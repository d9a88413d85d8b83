"""What a call to the meta service can raise."""

from __future__ import annotations


class MetaClientError(Exception):
    """Base of what a call can raise."""


class MetaUnavailableError(MetaClientError):
    """Raised when the service, or the cache behind it, did not answer. The caller may try again."""


class MetaRefusedError(MetaClientError):
    """Raised when the service refused the request.

    Attributes:
        status: the HTTP status.
        kind: the problem's type without its prefix, such as ``forbidden``; empty if there was none.
    """

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(f"{status} {kind}: {detail}")
        self.status = status
        self.kind = kind
