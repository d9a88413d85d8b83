"""The timeline of a recording: where it can be gone on from, what happened when, how far it is to be trusted.

It is found by playing the recording once, which takes a second for some minutes of a hundred players. States
are kept on the way, as many as there is memory for, so that any moment of what was read is a few seconds of
play away.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from dedicated_server.recording.description import card_changes, read_config, read_roster_change
from dedicated_server.recording.file import (
    CHUNK,
    END,
    MATCH,
    ROSTER,
    DamagedRecordingError,
    RecordingError,
    Section,
    SectionPlace,
    read_places,
    unpack_chunk,
)
from dedicated_server.recording.playback import Moment, Playback
from dedicated_server.recording.recorder import state_hash
from dedicated_server.simulation.event_buffer import DEATH, KILL, MODE_EVENT
from dedicated_server.simulation.match import MatchConfig, RosterPlayer

MOST_KEPT_BYTES: Final = 256 << 20  # of states: two hours of a hundred players, twenty seconds apart
KEPT_EVERY: Final = 4  # chunks, each up to a second; twice as many whenever there is no room for more
MOST_HAPPENED: Final = 20_000


@dataclass(frozen=True)
class KeptMoment:
    """A state, and the section that follows it."""

    section: int
    moment: Moment


class Timeline:
    """What a recording holds. `read` finds it; meanwhile everything says how it is so far.

    Args:
        path: the recording.

    Attributes:
        config: the match.
        places: where its sections lie.
        kept: states, in the order of time; the first is the beginning.
        happened: kills, deaths and events of the mode, in order.
        last_tick: up to where it was read.
        finished: whether it was read to its end, or as far as it can be.
        ended: why the recording ends; None: its server did not live to say, or it is not read so far.
        placements: by entity, once it was read to its end.

    Raises RecordingError where nothing of it can be shown, and OSError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sections = read_places(path)
        place, first = next(self._sections, (None, None))
        if place is None or first is None or first.kind != MATCH:
            raise DamagedRecordingError(f"{path} does not say which match it is of")
        self.places: list[SectionPlace] = [place]
        self.config: MatchConfig = read_config(first.json())
        changes = card_changes(first.json(), self.config.card)
        self._playback = Playback(self.config)
        self.kept = [KeptMoment(1, self._playback.keep())]
        self.happened: list[npt.NDArray[Any]] = []
        self.rosters: list[tuple[int, tuple[RosterPlayer, ...]]] = [(0, self._playback.match.roster)]
        self.last_tick = 0
        self.finished = False
        self.ended: str | None = None
        self.placements: tuple[int, ...] = ()
        self._remarks = [f"the card of {self.config.mode} has changed since: {', '.join(changes)}"][
            : len(changes)
        ]
        self._diverged = False
        self._every = KEPT_EVERY
        self._ticks: list[int] = []

    @property
    def remark(self) -> str:
        """What is wrong with it, in a line; "" where nothing is."""
        return "; ".join(self._remarks)

    def read(self) -> Iterator[None]:
        """Play the recording to its end, a section at each step. What cannot be played is in ``remark``."""
        try:
            for place, section in self._sections:
                self.places.append(place)
                self._read_section(section)
                yield
            if self.ended is None:
                self._remarks.append(f"the recording was cut short: it ends at {self._clock(self.last_tick)}")
        except (RecordingError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self._remarks.append(f"the recording is damaged from {self._clock(self.last_tick)} on: {reason}")
        self.finished = True

    def before(self, tick: int) -> KeptMoment:
        """The state from which a tick is reached by playing: the last kept one that is not after it."""
        kept = self.kept
        return kept[max(0, bisect.bisect_right(kept, tick, key=lambda one: one.moment.tick) - 1)]

    def roster_at(self, tick: int) -> tuple[RosterPlayer, ...]:
        """Who had the slots at a tick."""
        return self.rosters[max(0, bisect.bisect_right(self.rosters, tick, key=lambda one: one[0]) - 1)][1]

    def happened_by(self, tick: int, most: int) -> list[npt.NDArray[Any]]:
        """What had happened by a tick: the last so many, in order."""
        end = bisect.bisect_right(self._ticks, tick)
        return self.happened[max(0, end - most) : end]

    def _read_section(self, section: Section) -> None:
        playback = self._playback
        if self.ended is not None:
            raise DamagedRecordingError("something follows the end")
        if section.kind == CHUNK:
            chunk, recorded = unpack_chunk(section.body)
            for records in playback.play(chunk):
                self._note(records)
            self.last_tick = playback.tick
            if not self._diverged and state_hash(playback.match.world) != recorded:
                self._diverged = True
                self._remarks.append(
                    f"from {self._clock(self.last_tick)} on this is not what was played: "
                    "the mode or the simulation has changed since"
                )
            self._keep()
        elif section.kind == ROSTER:
            tick, playback.match.roster = read_roster_change(section.json(), playback.match.roster)
            self.rosters.append((tick, playback.match.roster))
        elif section.kind == END:
            self.ended = str(section.json().get("reason"))
            self.placements = tuple(int(place) for place in playback.match.placements())
        else:
            raise DamagedRecordingError(f"a section of unknown kind {section.kind}")

    def _note(self, records: npt.NDArray[Any]) -> None:
        for record in records:
            kind = int(record["kind"])
            if (kind in (KILL, DEATH) or kind >= MODE_EVENT) and len(self.happened) < MOST_HAPPENED:
                self.happened.append(record.copy())
                self._ticks.append(int(record["tick"]))

    def _keep(self) -> None:
        """Keep the state after every few chunks; every other one goes where they take too much room."""
        if len(self.places) - self.kept[-1].section < self._every:
            return
        kept = KeptMoment(len(self.places), self._playback.keep())
        if (len(self.kept) + 1) * kept.moment.size_bytes > MOST_KEPT_BYTES:
            self.kept = self.kept[::2]
            self._every *= 2
        else:
            self.kept.append(kept)

    def _clock(self, tick: int) -> str:
        seconds = tick // self.config.tick_hz
        return f"{seconds // 60}:{seconds % 60:02d}"
