"""Replay: play a recorded match again, and compare its state with the recording every second, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dedicated_server.recording.description import card_changes, read_config, read_roster_change
from dedicated_server.recording.file import (
    CHUNK,
    END,
    MATCH,
    ROSTER,
    DamagedRecordingError,
    Section,
    read_sections,
    unpack_chunk,
)
from dedicated_server.recording.playback import Playback
from dedicated_server.recording.recorder import state_hash
from dedicated_server.simulation.match import MatchConfig
from dedicated_server.simulation.world import KILLS


@dataclass(frozen=True)
class ReplayDifference:
    """Where a replay differs from the recording."""

    tick: int
    what: str


@dataclass(frozen=True)
class ReplayResult:
    """How a replay went.

    Attributes:
        config: the match.
        ticks: how many were played again.
        compared: states compared with the recording's, one a second.
        difference: the first that was not equal to the last bit; None: there was none.
        ended: why the recording ends; None: the server did not live to say.
        placements: by entity, as they stand at the end of the replay.
        kills: of all players together.
        changed: what of the mode's folder is another now than when the match was recorded, by its names.
    """

    config: MatchConfig
    ticks: int
    compared: int
    difference: ReplayDifference | None
    ended: str | None
    placements: tuple[int, ...]
    kills: int
    changed: tuple[str, ...] = ()

    @property
    def identical(self) -> bool:
        """Whether the replay is the match that was recorded, bit for bit, as far as the recording goes."""
        return self.difference is None


def replay(path: Path) -> ReplayResult:
    """Play the recording at ``path`` again, up to the first difference.

    Raises RecordingError where the file is no recording or is damaged, and OSError where it cannot be read.
    """
    sections = read_sections(path)
    first = next(sections, None)
    if first is None or first.kind != MATCH:
        raise DamagedRecordingError(f"{path} does not say which match it is of")
    described = first.json()
    config = read_config(described)
    return replace(_play(Playback(config), sections), changed=tuple(card_changes(described, config.card)))


def _play(playback: Playback, sections: Iterator[Section]) -> ReplayResult:
    compared, difference, ended = 0, None, None
    for section in sections:
        if ended is not None:
            raise DamagedRecordingError("something follows the end")
        if section.kind == CHUNK:
            chunk, recorded = unpack_chunk(section.body)
            for _ in playback.play(chunk):
                pass
            compared += 1
            if state_hash(playback.match.world) != recorded:
                difference = ReplayDifference(playback.tick, "the state")
                break
        elif section.kind == ROSTER:
            _, playback.match.roster = read_roster_change(section.json(), playback.match.roster)
        elif section.kind == END:
            end = section.json()
            ended = str(end.get("reason"))
            placements = end.get("placements")
            if placements and placements != _placements(playback):
                difference = ReplayDifference(playback.tick, "the placements")
        else:
            raise DamagedRecordingError(f"a section of unknown kind {section.kind}")
    match = playback.match
    return ReplayResult(
        config=match.config,
        ticks=playback.ticks,
        compared=compared,
        difference=difference,
        ended=ended,
        placements=tuple(_placements(playback)),
        kills=int(match.world.status[KILLS].sum()),
    )


def _placements(playback: Playback) -> list[int]:
    return [int(placement) for placement in playback.match.placements()]
