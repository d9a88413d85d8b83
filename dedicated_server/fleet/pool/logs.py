"""Game servers' log files: named for the server while it runs, and for its match too once it is gone."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

MAX_LOGS = 500  # a day of a small fleet; about 4 KB each
MAX_TAIL_BYTES = 8192


class ServerLogs:
    """The folder of server logs; it keeps the newest ``KEPT_LOGS`` of servers that are gone."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        earlier = sorted(self.folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
        self._kept = deque(earlier)
        self._forget_oldest()

    def path(self, name: str) -> Path:
        """Where the running server ``name`` writes."""
        return self.folder / f"{name}.log"

    def keep(self, path: Path, match_id: str) -> Path:
        """File the log of a server that is gone; ``match_id`` (a UUID, or "" for none) leads its new name."""
        filed = self.folder / f"{match_id}.{path.name}" if match_id else path
        try:
            os.replace(path, filed)
        except FileNotFoundError:  # it never came so far as to open it
            return path
        self._kept.append(filed)
        self._forget_oldest()
        return filed

    def discard(self, path: Path) -> None:
        """Delete the log of a server that came and went without a match or a fault."""
        path.unlink(missing_ok=True)

    def _forget_oldest(self) -> None:
        while len(self._kept) > MAX_LOGS:
            self._kept.popleft().unlink(missing_ok=True)


def tail(path: Path) -> list[str]:
    """The last lines of a log, at most ``TAIL_BYTES`` of them; none when there is no such file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MAX_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return lines[1:] if size > MAX_TAIL_BYTES else lines  # the first may be cut
