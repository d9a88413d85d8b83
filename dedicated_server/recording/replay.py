"""Replay: play a recorded match again, and compare its state with the recording every second, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from dedicated_server.cards import ModeCard, cards_in_force, unknown_mode
from dedicated_server.protocol.fields import MAX_ENTITIES
from dedicated_server.recording.file import (
    CHUNK,
    END,
    MATCH,
    DamagedRecordingError,
    Section,
    read_sections,
    unpack_chunk,
)
from dedicated_server.recording.playback import Playback
from dedicated_server.recording.recorder import state_hash
from dedicated_server.simulation.match import MatchConfig, RosterPlayer
from dedicated_server.simulation.world import KILLS
from launchday.settings import settings

MAX_MATCH_S: Final = 24 * 3_600.0


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
    """

    config: MatchConfig
    ticks: int
    compared: int
    difference: ReplayDifference | None
    ended: str | None
    placements: tuple[int, ...]
    kills: int

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
    return _play(Playback(read_config(first.json())), sections)


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


def read_config(described: dict[str, Any]) -> MatchConfig:
    """The configuration of a match section. Raises DamagedRecordingError."""
    try:
        radius_m = described["spawn_radius_m"]
        come_s = described.get("come_timeout_s")  # not in earlier recordings
        config = MatchConfig(
            match_id=UUID(described["match_id"]),
            card=_card_named(str(described["mode"])),
            seed=_integer(described["seed"], 0, 2**128),
            match_s=_number(described["match_s"], MAX_MATCH_S),
            join_timeout_s=_number(described["join_timeout_s"], MAX_MATCH_S),
            come_timeout_s=None if come_s is None else _number(come_s, MAX_MATCH_S),
            tick_hz=_integer(described["tick_hz"], 1, 1_000),
            spawn_radius_m=None if radius_m is None else _number(radius_m, 1e6),
            players=[
                RosterPlayer(
                    _integer(player_id, 0, 2**63 - 1),
                    _integer(team, 0, 2**31 - 1),
                    _integer(entity, 0, 2**16),
                )
                for player_id, team, entity in described["players"]
            ],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedRecordingError(f"the match is not described: {error!r}") from None
    if not 1 <= len(config.players) <= MAX_ENTITIES:
        raise DamagedRecordingError(f"a match of {len(config.players)} players")
    return config


def _card_named(name: str) -> ModeCard:
    cards = cards_in_force(settings().modes)
    if name not in cards:
        raise DamagedRecordingError(f"the match cannot be played: {name!r:.40} {unknown_mode(name, cards)}")
    return cards[name]


def _integer(value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{value!r} is not a number from {least} to {most}")
    return value


def _number(value: Any, most: float) -> float:
    number = float(value)
    if not math.isfinite(number) or not 0.0 <= number <= most:
        raise ValueError(f"{value!r} is not a number from 0 to {most}")
    return number
