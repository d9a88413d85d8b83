"""The log files of game servers: named after the server, and after its match too once the server is gone."""

from __future__ import annotations

import os
import re
from collections import deque
from pathlib import Path

from dedicated_server.fleet.pool import metrics
from launchday.folders import is_own_file

MAX_LOGS = 500  # a day of a small fleet; about 4 KB each
MAX_TAIL_BYTES = 8192
SERVER_LOG = re.compile(r"([0-9a-f-]{36}\.)?.+-[0-9a-f]{8}\.log")  # the server, and before it its match


class ServerLogs:
    """The folder of server logs. Of servers that are gone it keeps the newest ``MAX_LOGS``.

    A folder that refuses a rename or a deletion costs a log its name, and nothing else.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        earlier = sorted(
            filter(_is_kept_log, self.folder.glob("*.log")), key=lambda path: path.lstat().st_mtime
        )
        self._kept = deque(earlier)
        self._forget_oldest()

    def path(self, name: str) -> Path:
        """Return where the running server ``name`` writes."""
        return self.folder / f"{name}.log"

    def keep(self, path: Path, match_id: str) -> Path:
        """Keep the log of a server that is gone, under a name with its match (a UUID, or "" for none)."""
        filed = self.folder / f"{match_id}.{path.name}" if match_id else path
        try:
            os.replace(path, filed)
        except FileNotFoundError:  # the server ended before it opened the file
            return path
        except OSError:
            metrics.disk_errors.labels("server logs").inc()
            filed = path
        self._kept.append(filed)
        self._forget_oldest()
        return filed

    def discard(self, path: Path) -> None:
        """Delete the log of a server that had neither a match nor a failure."""
        try:
            path.unlink(missing_ok=True)
        except OSError:
            metrics.disk_errors.labels("server logs").inc()

    def _forget_oldest(self) -> None:
        while len(self._kept) > MAX_LOGS:
            self.discard(self._kept.popleft())


def _is_kept_log(path: Path) -> bool:
    """Whether this is the log of a server that is gone, and no other file of that ending."""
    return SERVER_LOG.fullmatch(path.name) is not None and is_own_file(path)


def tail(path: Path) -> list[str]:
    """Return the last lines of a log, at most ``MAX_TAIL_BYTES`` of it; none when there is no such file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MAX_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return lines[1:] if size > MAX_TAIL_BYTES else lines  # the first may be cut
