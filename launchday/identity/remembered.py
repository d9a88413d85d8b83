"""What was verified before, so that a signature is checked once a token and not once a request."""

from __future__ import annotations

from collections import OrderedDict

from launchday.identity.claims import Identity

MAX_REMEMBERED = 100_000  # players whom one process serves within a token's life; about 40 MB


class Remembered:
    """Verified callers by the hash of the whole token; the one not seen for longest is forgotten first.

    Args:
        limit: of entries.
    """

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._callers: OrderedDict[bytes, Identity] = OrderedDict()

    def __len__(self) -> int:
        return len(self._callers)

    def get(self, mark: bytes) -> Identity | None:
        """Return the caller whose token has this hash; None where it is not remembered."""
        found = self._callers.get(mark)
        if found is not None:
            self._callers.move_to_end(mark)
        return found

    def put(self, mark: bytes, caller: Identity) -> None:
        """Remember a caller whose token was verified."""
        if len(self._callers) >= self._limit:
            self._callers.popitem(last=False)
        self._callers[mark] = caller

    def clear(self) -> None:
        """Forget all: the keys are others."""
        self._callers.clear()
