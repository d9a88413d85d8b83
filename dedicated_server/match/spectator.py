"""The spectator feed: a small file in shared memory, written by a match ten times a second, open to local
readers.

Writing is a few copies between two ticks, without a system call or a connection: the match pays the same for
a thousand spectators as for none.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import structlog

from dedicated_server.match.spectator_frame import frame_json
from dedicated_server.match.spectator_layout import HEADER
from dedicated_server.match.spectator_writer import FrameWriter, constants_of, feed_sizes
from dedicated_server.protocol.datagrams import CONNECTED
from dedicated_server.simulation.match import Match
from dedicated_server.tick.engine import Engine
from launchday.folders import create_new
from launchday.mapped_files import map_allocated

PERIOD_S: Final = 0.1

log = structlog.get_logger()


class SpectatorFeed:
    """The writing end, a match's. Raises OSError where the file cannot be created, or has no room.

    It appears under its name once it is whole.
    """

    def __init__(self, path: Path, match: Match) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        constants = constants_of(match)
        descriptor = create_new(fresh)
        try:
            memory = map_allocated(descriptor, feed_sizes(match, constants).feed_bytes)
        except (OSError, ValueError):
            fresh.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        self._writer = FrameWriter(memory, match, constants)
        try:
            os.replace(fresh, path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise

    def note(self, records: npt.NDArray[Any]) -> None:
        """Note what has happened: records of ``EVENT_DTYPE``, as the engine drains them."""
        self._writer.note(records)

    def publish(self, engine: Engine) -> None:
        """Write the match as it is now: about 20 µs for a hundred players."""
        self._writer.write(
            int(engine.phase),
            engine.wire.status == CONNECTED,
            engine.slots.kills,
            engine.slots.deaths,
            engine.arrays.hints.hint_bits & 0xFFFF,
        )

    def close(self) -> None:
        """Remove the file. Readers keep what they have mapped."""
        with contextlib.suppress(OSError):  # the fleet removes it with the server
            self.path.unlink(missing_ok=True)


def open_feed(folder: str, name: str, match: Match) -> SpectatorFeed | None:
    """Create the feed of a server in ``folder``; None where that is "", or refuses: it is optional."""
    if not folder:
        return None
    try:
        return SpectatorFeed(Path(folder) / f"{name}.feed", match)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        log.warning("the match is not shown: make room in the folder", folder=folder, reason=reason)
    return None


def read_feed(path: Path) -> dict[str, Any] | None:
    """Read the newest frame of a feed, JSON-ready; None where there is no feed, or none that is whole.

    Raises FeedVersionError where another version has written it.
    """
    try:
        for _ in range(3):
            data = path.read_bytes()
            again = path.read_bytes()[: HEADER.itemsize]
            header, later = (np.frombuffer(part[: HEADER.itemsize], HEADER, 1)[0] for part in (data, again))
            # A half is written over two publications after it was whole: unchanged or one on is fine.
            if int(later["written"]) - int(header["written"]) < 1:
                return frame_json(data)
    except (OSError, ValueError, IndexError):
        return None
    return None
