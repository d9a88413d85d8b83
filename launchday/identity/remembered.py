"""What was verified before, so that a signature is checked once a token and not once a request."""

from __future__ import annotations

from launchday.identity.claims import Identity

MAX_REMEMBERED = 100_000  # players whom one process serves within a token's life; about 45 MB


class Remembered:
    """Verified callers by the hash of the whole token; bounded: the ones not seen for longest are forgotten.

    It has two halves: a newer one that fills, and an older one whose entries move over when they are asked
    for, and which is let go whole. So nothing is ever searched for what to forget.

    Args:
        limit: of entries.
    """

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._half = max(1, limit // 2)
        self._newer: dict[bytes, Identity] = {}
        self._older: dict[bytes, Identity] = {}

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def get(self, mark: bytes) -> Identity | None:
        """Return the caller whose token has this hash; None where it is not remembered."""
        found = self._newer.get(mark)
        if found is None and (found := self._older.pop(mark, None)) is not None:
            self.put(mark, found)
        return found

    def put(self, mark: bytes, caller: Identity) -> None:
        """Remember a caller whose token was verified."""
        if len(self._newer) >= self._half:
            self._older, self._newer = self._newer, {}
        self._newer[mark] = caller

    def clear(self) -> None:
        """Forget all: the keys are others."""
        self._newer, self._older = {}, {}
