"""The folder in which a fleet's servers show their matches: one of its own, below the one that is named.

What is named may be shared memory, a temporary folder or a volume of several fleets, so nothing in it is
removed but what this fleet has made there.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Final

import structlog

from dedicated_server.fleet.pool import metrics
from dedicated_server.match import spectator
from launchday.folders import OwnFolder, is_own_file

FEEDS: Final = ("*.feed", "*.new")

log = structlog.get_logger()


class SpectatorFeeds:
    """The feeds of a fleet's servers. Without a folder there are none, and all else goes on.

    Args:
        parent: the folder that is named.
        name: of the fleet's own one in it.

    Attributes:
        folder: as servers get it in LAUNCHDAY_SPECTATOR_DIR; "" where none can be made.
    """

    def __init__(self, parent: Path, name: str) -> None:
        self._own: OwnFolder | None = None
        try:
            self._own = OwnFolder.take(parent.absolute(), name)
        except OSError as error:
            metrics.disk_errors.labels("spectator feed").inc()
            log.warning(
                "matches are not shown: make the folder writable or make room, and start the fleet again",
                folder=str(parent),
                reason=error.strerror or str(error),
            )
        else:
            self._own.remove_files(FEEDS)  # what a fleet that was killed has left
        self.folder = "" if self._own is None else str(self._own.path)

    def read(self, server: str) -> dict[str, Any] | None:
        """Return what a server shows now; None where that is nothing."""
        return spectator.read_feed(Path(self.folder, f"{server}.feed")) if self.folder else None

    def forget(self, server: str) -> None:
        """Remove what a server that is gone has left."""
        for path in (Path(self.folder, f"{server}.feed"), Path(self.folder, f"{server}.new")):
            if self.folder and is_own_file(path):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove all feeds, and the folder where nothing else lies in it."""
        if self._own is not None:
            self._own.close(FEEDS)
