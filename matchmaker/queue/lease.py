"""The lease by which one director at a time leads a queue."""

from __future__ import annotations

from matchmaker.queue.scripts import Scripts


class Lease:
    """The leadership of one queue.

    Args:
        scripts: the cache's scripts.
        mode: the queue.
        lease_s: seconds after which a silent director leads no more. The cache counts them, so no process's
            clock matters.
    """

    def __init__(self, scripts: Scripts, mode: str, lease_s: float) -> None:
        self._scripts = scripts
        self._mode = mode
        self.lease_ms = max(1, round(lease_s * 1000))

    async def acquire(self) -> bytes | None:
        """Take the lead: return the fencing token, or None while another director has it.

        Raises the cache's errors.
        """
        fence: bytes | None = await self._scripts.acquire_lease([self._mode, self.lease_ms], mode=self._mode)
        return fence

    async def release(self, fence: bytes) -> None:
        """Give the lead up at once, so that another director need not wait. Raises the cache's errors."""
        await self._scripts.release_lease([self._mode, fence], mode=self._mode)
