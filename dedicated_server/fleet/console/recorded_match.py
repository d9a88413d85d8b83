"""A recording as it is watched: a moment of it, its speed, and the frame that a map is drawn from.

It is played by the same stages as the match was. Going to another moment puts back the last state kept before
it, and plays on from there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from dedicated_server.match.spectator_frame import frame_json
from dedicated_server.match.spectator_layout import MOST_HAPPENED
from dedicated_server.match.spectator_writer import FrameWriter, constants_of, feed_sizes
from dedicated_server.protocol.fields import PHASE_OVER, PHASE_PLAYING, PHASE_WAITING
from dedicated_server.recording.file import CHUNK, read_section, unpack_chunk
from dedicated_server.recording.playback import Playback
from dedicated_server.recording.timeline import Timeline
from dedicated_server.simulation.world import DEATHS, KILLS

SPEEDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
MOST_BEHIND_S: Final = 0.5  # a machine that cannot keep up plays slower than it was told


class RecordedMatch:
    """One recording, which everybody who looks at it sees at the same moment.

    Args:
        path: the file.

    Attributes:
        timeline: what it holds.
        playing: whether time goes on.
        speed: how many times faster than the match was.

    Raises RecordingError and OSError, as `Timeline`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.timeline = Timeline(path)
        self.playing = True
        self.speed = 1.0
        self._playback = Playback(self.timeline.config)
        self._ahead: Iterator[Any] = iter(())
        self._section = 1
        self._owed_ticks = 0.0
        self._lock = threading.Lock()
        match = self._playback.match
        constants = constants_of(match)
        self._memory = bytearray(feed_sizes(match, constants).feed_bytes)
        self._writer = FrameWriter(self._memory, match, constants)

    def read_all(self, stopped: Callable[[], bool]) -> None:
        """Find all that the recording holds; it can be watched meanwhile. For a thread of its own."""
        for _ in self.timeline.read():
            if stopped():
                return

    @property
    def tick(self) -> int:
        """The moment that is shown, in ticks from the beginning of the recording."""
        return self._playback.tick

    @property
    def tick_hz(self) -> int:
        """Ticks a second."""
        return self.timeline.config.tick_hz

    @property
    def at_end(self) -> bool:
        """Whether all that there is has been shown."""
        return self.timeline.finished and self.tick >= self.timeline.last_tick

    def advance(self, passed_s: float) -> None:
        """Play on, so much of the watcher's time later."""
        with self._lock:
            if not self.playing:
                return
            self._owed_ticks += min(passed_s, MOST_BEHIND_S) * self.speed * self.tick_hz
            whole = int(self._owed_ticks)
            self._owed_ticks -= whole
            self._play_to(min(self.tick + whole, self.timeline.last_tick))
            if self.at_end:
                self.playing = False

    def go_to(self, tick: int) -> None:
        """Show another moment, as far as the recording has been read."""
        with self._lock:
            wanted = min(max(tick, 0), self.timeline.last_tick)
            kept = self.timeline.before(wanted)
            if wanted < self.tick or kept.moment.tick > self.tick:
                self._playback.put_back(kept.moment)
                self._section, self._ahead = kept.section, iter(())
            self._play_to(wanted)

    def frame(self) -> dict[str, Any]:
        """The moment as a frame of the spectator feed."""
        with self._lock:
            match, status = self._playback.match, self._playback.match.world.status
            match.roster = self.timeline.roster_at(self.tick)
            phase = PHASE_WAITING if not match.started else PHASE_OVER if match.over else PHASE_PLAYING
            nobody_heard = np.ones(status.shape[1], np.bool_)  # before the first tick all are as they begin
            connected = self._playback.connected if self.tick else nobody_heard
            self._writer.forget()
            for record in self.timeline.happened_by(self.tick, MOST_HAPPENED):
                self._writer.note([record], self.timeline.roster_at(int(record["tick"])))
            self._writer.write(phase, connected, status[KILLS], status[DEATHS])
            frame = frame_json(self._memory)
        assert frame is not None
        return frame

    def _play_to(self, tick: int) -> None:
        """Play up to a tick, or to the end of what there is."""
        while self.tick < tick:
            if next(self._ahead, None) is None and not self._open_chunk():
                return

    def _open_chunk(self) -> bool:
        """Read the next section with ticks; whether there is one."""
        places = self.timeline.places
        while self._section < len(places):
            section = read_section(self._path, places[self._section])
            self._section += 1
            if section.kind == CHUNK:
                self._ahead = self._playback.play(unpack_chunk(section.body)[0])
                return True
        return False
